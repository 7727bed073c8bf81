/** Every condition of the full space: what is not drawn is not read, and what is drawn is. */
import assert from "node:assert/strict";
import { loadConfig, withParams } from "../../lib/config/compose.ts";
import type { Config } from "../../lib/config/schema.ts";
import type { Tensor, TensorWindow } from "../../lib/graph/tensor.ts";
import { conditionalSpace, randomParams, type SpaceParameter } from "../../lib/hpo/conditional_space.ts";
import { type Category, valueAt } from "../../lib/hpo/space.ts";
import { trainingAugmentation } from "../../lib/study/augmentation.ts";
import { agentConfig, type ModelSource } from "../../lib/study/model_source.ts";
import type { StudyContext } from "../../lib/study/trial_context.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";

const config = loadConfig({ file: "configs/hpo_study.yaml" });
const space = conditionalSpace(config.search_space);
const conditional = space.parameters.filter(({ when }) => when.length > 0);

const encoder: ModelSource["encoder"] = {
  model_type: "bert",
  vocab_size: 50,
  hidden_size: 32,
  num_hidden_layers: 5,
  num_attention_heads: 2,
  intermediate_size: 64,
  max_position_embeddings: 32,
  type_vocab_size: 2,
  hidden_act: "gelu",
  layer_norm_eps: 1e-12,
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.1,
  pad_token_id: 0,
};
const ADAPTER = {
  limits: { maxStorageBufferBindingSize: 2 ** 30, maxBufferSize: 2 ** 30, minStorageBufferOffsetAlignment: 256 },
  preset: "tiled",
  subgroupSize: 32,
} as unknown as Parameters<typeof planEngine>[0];

const place = (bound: Tensor | TensorWindow) => "tensor" in bound ? [bound.tensor.name, bound.offset] : bound.name;

/** All that a configuration trains and computes: its parameters, and every dispatch of its programs. */
function programOf(trial: Config): string {
  const model = agentConfig(trial, { encoder } as ModelSource, 9);
  const { parameters, training, evaluation } = planEngine(ADAPTER, {
    model,
    optimizer: { name: "adamw", weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
    batchSize: 2,
    lengths: [16],
  });
  const calls = [training, evaluation].flatMap((graphs) => graphs.get(16)!.graph.calls);
  return JSON.stringify([
    model.loss.weighted, // whose weights are an input
    parameters.specs,
    calls.map(({ kernel, constants, dims, grid, bindings }) => [
      kernel.name,
      constants,
      dims,
      grid,
      Object.entries(bindings).map(([name, bound]) => [name, place(bound)]),
    ]),
  ]);
}

/** Values of a parameter that are as far apart as there are. */
function values({ distribution }: SpaceParameter): Category[] {
  if (distribution.type === "categorical") return [...distribution.choices];
  return [valueAt(distribution, 0), valueAt(distribution, 1 - 1e-9)];
}

Deno.test("full space: what its conditions leave out changes no parameter and no dispatch; what they draw does", async (t) => {
  const draws = Array.from({ length: 16 }, (_, number) => randomParams(space, 11, number));
  for (const parameter of conditional.filter(({ name }) => name !== "augmentation.prob")) {
    const { name } = parameter;
    await t.step(name, () => {
      const counts = { drawn: 0, left: 0 };
      for (const params of draws) {
        const programs = new Set(
          values(parameter).map((value) => programOf(withParams(config, { ...params, [name]: value }))),
        );
        const drawn = Object.hasOwn(params, name);
        if (drawn) assert.equal(programs.size, values(parameter).length, `read by ${JSON.stringify(params)}`);
        else assert.equal(programs.size, 1, `not read by ${JSON.stringify(params)}`);
        counts[drawn ? "drawn" : "left"]++;
      }
      assert.ok(counts.drawn > 0 && counts.left > 0, JSON.stringify(counts));
    });
  }
});

Deno.test("full space: augmentation.prob is read only where there are methods", async () => {
  const context = (methods: string, prob: number) =>
    ({ config: withParams(config, { "augmentation.methods": methods, "augmentation.prob": prob }) }) as StudyContext;
  for (const prob of [0, 0.5]) assert.equal(await trainingAugmentation(context("none", prob)), undefined);
  assert.equal(await trainingAugmentation(context("swap", 0)), undefined);
  await assert.rejects(
    trainingAugmentation(context("swap", 0.5)),
    TypeError,
    "it goes on to the posts, which are not there",
  );
  const { when } = conditional.find(({ name }) => name === "augmentation.prob")!;
  assert.deepEqual(when, [{ key: "augmentation.methods", values: ["none"], negated: true }]);
});
