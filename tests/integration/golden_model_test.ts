/**
 * The whole model against `transformers` and PyTorch: hidden states, logits, losses, every gradient and ten AdamW
 * steps, for the shapes in `tests/golden/` (made by `tests/peers/golden_model.py`). Tolerances: docs/numerics.md.
 */
import assert from "node:assert/strict";
import type { Batch } from "../../lib/data/batches.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { type Target, targetOf } from "../../lib/graph/graph.ts";
import { type Engine, openEngine } from "../../lib/train/engine.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import { linearAgents, noSpans, spanTags } from "../support/agents.ts";
import { variantsInTurn } from "../support/graph_runner.ts";
import { parseEncoderConfig } from "../../lib/weights/encoder_config.ts";
import {
  cosine,
  type GoldenTensor,
  largestDifference,
  norm,
  readGolden,
  readGoldenJson,
  relativeDifference,
} from "../support/golden.ts";

const CASES = [
  ...["bert_odd_cls", "bert_single_mean", "bert_padded_mean", "bert_wide_cls", "bert_no_evidence"],
  ...["roberta_padded_mean", "roberta_tanh_cls", "distilbert_odd_cls", "distilbert_relu_mean"],
];
const gpu = await openGpu();

/** The kernels' variants: what each adapter would run, all of them right on this one. */
const VARIANTS: Record<string, Partial<Target>> = {
  "as chosen for this adapter": {},
  "tiled, as on NVIDIA": { preset: "tiled" },
  "tiled without subgroups": { preset: "tiled", subgroupSize: 0 },
  "tiled, its variants in turn": { preset: "tiled", variantOf: variantsInTurn(1) },
};
/** The last one compiles as many kernels as all the others. */
const casesOf = (variant: Partial<Target>) => variant.variantOf ? ["bert_odd_cls"] : CASES;

function goldenBatch(golden: Map<string, GoldenTensor>): Batch {
  const get = (name: string) => golden.get(`batch.${name}`)!;
  const [size, length] = get("ids").shape as [number, number];
  const words = (name: string) => Uint32Array.from(get(name).data);
  return {
    size,
    length,
    ids: words("ids"),
    mask: words("mask"),
    types: words("types"),
    labels: get("labels").data,
    sampleWeight: get("sampleWeight").data,
    ...noSpans(size, length, 1),
    tags: spanTags({ size, length }, words("spanStart"), words("spanEnd")),
    spanWeight: get("spanWeight").data,
    inputs: Array.from({ length: size }, (_, i) => i),
  };
}

async function openCase(name: string, variant: Partial<Target>) {
  const golden = readGolden(name);
  const json = readGoldenJson(name);
  const { optimizer, config } = json;
  const plan = planEngine(gpu, {
    model: linearAgents({
      encoder: parseEncoderConfig(config, `${name}.json`),
      criteria: json.criteria,
      pooling: json.pooling,
    }),
    optimizer: {
      name: "adamw",
      weightDecay: optimizer.weightDecay,
      beta1: optimizer.betas[0],
      beta2: optimizer.betas[1],
      epsilon: optimizer.eps,
      maxGradNorm: optimizer.maxGradNorm,
    },
    batchSize: json.rows,
    lengths: [json.tokens],
    keepStates: true,
  }, { ...targetOf(gpu), ...variant });
  const engine = await openEngine(gpu, plan);
  poison(engine);
  engine.load("parameter", (tensor) => golden.get(tensor)!.data);
  return { golden, json, engine, batch: goldenBatch(golden) };
}

/** Fills the activations with NaN: a kernel that reads what nothing has written is found out. */
function poison(engine: Engine) {
  for (const chunk of engine.arenas.activation.buffers) {
    gpu.device.queue.writeBuffer(chunk, 0, new Float32Array(chunk.size / 4).fill(NaN));
  }
}

const step = (json: ReturnType<typeof readGoldenJson>, index: number) => ({
  seed: 0,
  step: index + 1,
  learningRate: json.optimizer.learningRates[index] ?? 0,
  draw: index,
  lambdaClass: json.lambdaClass,
  lambdaSpan: json.lambdaSpan,
});

for (const [variant, overrides] of Object.entries(VARIANTS)) {
  for (const name of casesOf(overrides)) {
    Deno.test(`${name} equals transformers: hidden states, logits and losses (${variant})`, async () => {
      const { golden, json, engine, batch } = await openCase(name, overrides);
      const { predictions, criteriaLoss, spanLoss } = await engine.evaluate([batch], step(json, 0));
      const { states, evidenceLogits, probabilities } = predictions[0]!;
      states.forEach((state, layer) => {
        const expected = golden.get(`hidden.${layer}`)!.data;
        const difference = largestDifference(state, expected);
        assert.ok(difference <= 1e-4, `hidden state ${layer} differs by ${difference}`);
      });
      assert.equal(states.length, engine.plan.options.model.encoder.num_hidden_layers + 1);
      const logits = golden.get("logits.criteria")!.data.map((z) => 1 / (1 + Math.exp(-z)));
      assert.ok(largestDifference(probabilities, logits) <= 1e-4, "criteria probabilities");
      assert.ok(largestDifference(evidenceLogits!, golden.get("logits.evidence")!.data) <= 1e-4, "evidence logits");
      const [total, criteria, span] = golden.get("loss")!.data as unknown as [number, number, number];
      assert.ok(Math.abs(criteriaLoss - json.lambdaClass * criteria) <= 1e-5, `criteria loss ${criteriaLoss}`);
      assert.ok(Math.abs(spanLoss - json.lambdaSpan * span) <= 1e-5, `span loss ${spanLoss}`);
      assert.ok(Math.abs(criteriaLoss + spanLoss - total) <= 1e-5, `loss ${criteriaLoss + spanLoss}`);
      engine.close();
    });

    Deno.test(`${name} equals PyTorch: every gradient (${variant})`, async () => {
      const { golden, json, engine, batch } = await openCase(name, overrides);
      engine.gradient(batch, step(json, 0));
      const whole = golden.get("gradientNorm")!.data[0]!;
      for (const tensor of engine.tensors("gradient")) {
        const actual = await tensor.data();
        const expected = golden.get(`grad.${tensor.name}`)!.data;
        if (norm(expected) === 0) {
          assert.equal(norm(actual), 0, `${tensor.name}: expected no gradient`);
        } else if (json.parameters[tensor.name].invariant) {
          assert.ok(norm(actual) <= 1e-5 * whole, `${tensor.name}: ‖g‖ = ${norm(actual)} of ${whole}`);
        } else {
          const relative = relativeDifference(actual, expected);
          assert.ok(relative <= 1e-3, `${tensor.name}: relative difference ${relative}`);
          const alike = cosine(actual, expected);
          assert.ok(alike >= 0.99999, `${tensor.name}: cosine ${alike}`);
        }
      }
      engine.close();
    });

    Deno.test(`${name} equals PyTorch: ten AdamW steps (${variant})`, async () => {
      const { golden, json, engine, batch } = await openCase(name, overrides);
      for (let i = 0; i < 10; i++) engine.step([batch], step(json, i));
      const steps = await engine.drain();
      const last = await engine.evaluate([batch], step(json, 0));
      const losses = [...steps.map(({ loss }) => loss), last.criteriaLoss + last.spanLoss];
      const difference = largestDifference(losses, golden.get("losses")!.data);
      assert.ok(difference <= 1e-4, `losses differ by ${difference}: ${losses}`);
      const norms = golden.get("gradientNorms")!.data;
      steps.forEach(({ gradientNorm }, i) =>
        assert.ok(Math.abs(gradientNorm - norms[i]!) <= 1e-3 * norms[i]!, `gradient norm ${gradientNorm} at step ${i}`)
      );
      for (const tensor of engine.tensors("parameter")) {
        if (json.parameters[tensor.name].invariant) continue;
        const actual = (await tensor.data()).filter((_, i) => i % json.afterStride === 0);
        const relative = relativeDifference(actual, golden.get(`after.${tensor.name}`)!.data);
        assert.ok(relative <= 1e-4, `${tensor.name} after ten steps: relative difference ${relative}`);
      }
      engine.close();
    });
  }
}
