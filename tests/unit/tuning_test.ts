/** The tuning modes as graphs and plans: what is frozen costs nothing. Nothing here runs on a GPU. */
import assert from "node:assert/strict";
import { loadConfig, withParams } from "../../lib/config/compose.ts";
import { align } from "../../lib/gpu/arena.ts";
import { specialise } from "../../lib/gpu/kernel.ts";
import type { Graph, KernelCall, Target } from "../../lib/graph/graph.ts";
import { isTrained } from "../../lib/graph/parameters.ts";
import { elementCount, type Tensor } from "../../lib/graph/tensor.ts";
import { encoderParameters } from "../../lib/model/encoder.ts";
import { LORA_TARGETS, type LoraOptions, loraParameters, type LoraTarget } from "../../lib/model/lora.ts";
import { checkTuning, tunedEncoderParameters, type Tuning, TUNING_MODES } from "../../lib/model/tuning.ts";
import { openBase } from "../../lib/study/base_weights.ts";
import { tuningOf } from "../../lib/study/tuning.ts";
import { checkpointTensors } from "../../lib/train/parameter_arrays.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import type { EncoderConfig, EncoderFamily } from "../../lib/weights/encoder_config.ts";
import { linearAgents } from "../support/agents.ts";

const TARGET: Target = {
  preset: "tiled",
  subgroupSize: 0,
  maxBindingBytes: 2 ** 27,
  maxBufferBytes: 2 ** 28,
  alignment: 256,
};
const GPU = {
  preset: "tiled" as const,
  subgroupSize: 0,
  limits: { maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 2 ** 28 } as GPUSupportedLimits,
};
const LAYERS = 3;

const encoder = (model_type: EncoderFamily = "bert"): EncoderConfig => ({
  model_type,
  vocab_size: 60,
  hidden_size: 32,
  num_hidden_layers: LAYERS,
  num_attention_heads: 2,
  intermediate_size: 48,
  max_position_embeddings: 64,
  type_vocab_size: model_type === "distilbert" ? 0 : 2,
  layer_norm_eps: 1e-12,
  hidden_act: "gelu",
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.1,
  pad_token_id: 0,
});

const lora = (options: Partial<LoraOptions> = {}): Tuning => ({
  mode: "lora",
  freeze_layers: 0,
  lora_rank: 4,
  lora_alpha: 8,
  lora_dropout: 0.1,
  lora_targets: ["query", "value"],
  ...options,
});
const ALL_TARGETS = Object.keys(LORA_TARGETS) as LoraTarget[];

const MODES: Record<string, Tuning> = {
  full: { mode: "full" },
  lora: lora(),
  "lora on every projection": lora({ lora_targets: ALL_TARGETS }),
  "lora on the feed-forward block": lora({ lora_targets: ["output"], lora_dropout: 0 }),
  "lora above 2 layers": lora({ freeze_layers: 2, lora_rank: 3 }),
  bitfit: { mode: "bitfit", freeze_layers: 0 },
  "bitfit above 1 layer": { mode: "bitfit", freeze_layers: 1 },
  "freeze embeddings": { mode: "freeze", freeze_layers: 0 },
  "freeze 2 layers": { mode: "freeze", freeze_layers: 2 },
  "heads alone": { mode: "freeze", freeze_layers: LAYERS },
};

const planOf = (tuning: Tuning) =>
  planEngine(GPU, {
    model: { ...linearAgents({ encoder: encoder(), criteria: 3, pooling: "mean", dropout: 0.1 }), tuning },
    optimizer: { name: "adamw", weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
    batchSize: 2,
    lengths: [8],
  }, TARGET);

/** The tensors that a call writes to, and all that it binds. */
function touched({ kernel, constants, bindings }: KernelCall): { written: Tensor[]; bound: Tensor[] } {
  const tensor = (name: string) => {
    const bound = bindings[name]!;
    return "tensor" in bound ? bound.tensor : bound;
  };
  const declared = specialise(kernel, constants, new Set()).bindings;
  return {
    written: declared.filter(({ access }) => access === "read_write").map(({ name }) => tensor(name)),
    bound: declared.map(({ name }) => tensor(name)),
  };
}

/** Calls that nothing comes of: neither a gradient nor a metric, now or by what reads them. */
function idleCalls({ calls, kept }: Graph): string[] {
  const needed = new Set<Tensor>(kept);
  const idle: string[] = [];
  for (const call of calls.toReversed()) {
    const { written, bound } = touched(call);
    const counts = written.some((tensor) => tensor.arena !== "activation" || needed.has(tensor));
    if (counts) bound.forEach((tensor) => needed.add(tensor));
    else idle.push(`${call.kernel.name} → ${written.map(({ name }) => name)}`);
  }
  return idle;
}

for (const [name, tuning] of Object.entries(MODES)) {
  Deno.test(`${name}: gradients and moments of what is trained alone, and no call that they do not need`, () => {
    const plan = planOf(tuning);
    const trained = plan.parameters.specs.filter(isTrained);
    const { graph } = plan.training.get(8)!;
    const gradients = new Set(
      graph.calls.flatMap((call) => touched(call).written).filter(({ arena }) => arena === "gradient")
        .map((tensor) => tensor.name),
    );
    assert.deepEqual([...gradients].sort(), trained.map((spec) => `d ${spec.name}`).sort());
    assert.deepEqual(idleCalls(graph), []);

    const bytes = trained.reduce((sum, { shape }) => sum + align(4 * elementCount(shape)), 0);
    assert.equal(plan.memory.gradients, bytes);
    assert.equal(plan.memory.moments, 2 * bytes);
    assert.equal(
      plan.memory.parameters,
      plan.parameters.specs.reduce((sum, { shape }) => sum + align(4 * elementCount(shape)), 0),
    );
    const updated = plan.optimizer.graph.calls.filter(({ kernel }) => kernel.name === "optimizer");
    const spans = updated.map(({ dims }) => 16 * Number(dims["count"]));
    assert.equal(spans.reduce((sum, size) => sum + size, 0), bytes, "the optimizer goes over what is trained");
  });
}

Deno.test("nothing runs backwards below the lowest trained tensor", () => {
  const count = (tuning: Tuning, kernel: string) =>
    planOf(tuning).training.get(8)!.graph.calls.filter((call) => call.kernel.name === kernel).length;
  const counts = Object.values(MODES).map((tuning) => [
    count(tuning, "attention_backward_query"),
    count(tuning, "layer_norm_backward"),
    count(tuning, "embedding_backward"),
  ]);
  assert.deepEqual(Object.fromEntries(Object.keys(MODES).map((name, i) => [name, counts[i]])), {
    full: [3, 7, 2],
    lora: [3, 6, 0],
    "lora on every projection": [3, 6, 0],
    // The lowest adapter is behind the lowest layer's attention.
    "lora on the feed-forward block": [2, 5, 0],
    "lora above 2 layers": [1, 2, 0],
    bitfit: [3, 6, 0],
    "bitfit above 1 layer": [2, 4, 0],
    "freeze embeddings": [3, 6, 0],
    "freeze 2 layers": [1, 2, 0],
    "heads alone": [0, 0, 0],
  });
});

Deno.test("frozen layers keep nothing for a backward pass", () => {
  const activations = (tuning: Tuning) => planOf(tuning).memory.activations;
  const { full, bitfit } = MODES;
  assert.ok(activations(bitfit!) <= activations(full!));
  assert.ok(activations(MODES["freeze 2 layers"]!) < activations(MODES["freeze embeddings"]!));
  assert.ok(activations(MODES["heads alone"]!) < activations(MODES["freeze 2 layers"]!));
});

const trainedNames = (tuning: Tuning, family?: EncoderFamily) =>
  tunedEncoderParameters(encoder(family), tuning).filter(isTrained).flatMap(checkpointTensors).map(({ name }) => name);

Deno.test("each mode trains what it says", () => {
  const all = encoderParameters(encoder()).flatMap(checkpointTensors).map(({ name }) => name);
  const above = (k: number) => (name: string) => Number(/^encoder\.layer\.(\d+)/.exec(name)?.[1] ?? -1) >= k;
  assert.deepEqual(trainedNames({ mode: "full" }), all);
  assert.deepEqual(trainedNames({ mode: "freeze", freeze_layers: 2 }), all.filter(above(2)));
  assert.deepEqual(trainedNames({ mode: "freeze", freeze_layers: 0 }), all.filter(above(0)));
  const biases = trainedNames({ mode: "bitfit", freeze_layers: 0 });
  assert.deepEqual(biases, all.filter((name) => name.endsWith(".bias")));
  assert.equal(biases.length, 1 + 8 * LAYERS, "query, key, value, three dense layers and two norms of each layer");
  assert.deepEqual(trainedNames({ mode: "bitfit", freeze_layers: 1 }), biases.filter(above(1)));
});

Deno.test("adapters have the names and shapes of peft's files, in each family", () => {
  const names = (family: EncoderFamily) => trainedNames(lora({ freeze_layers: 2, lora_targets: ["output"] }), family);
  assert.deepEqual(names("roberta"), [
    "base_model.model.encoder.layer.2.output.dense.lora_A.weight",
    "base_model.model.encoder.layer.2.output.dense.lora_B.weight",
  ]);
  assert.deepEqual(names("distilbert")[0], "base_model.model.transformer.layer.2.ffn.lin2.lora_A.weight");
  const options = lora({ lora_targets: ["output", "query"], lora_rank: 3 }) as Tuning & LoraOptions;
  const shapes = loraParameters({ ...encoder(), num_hidden_layers: 1 }, options).map(({ shape }) => shape);
  assert.deepEqual(shapes, [[3, 32], [32, 3], [3, 48], [32, 3]], "in the order of the forward pass");
});

Deno.test("A starts uniform within 1/√K as torch.nn.Linear does, B at zero, by seed and name", () => {
  using base = openBase({ encoder: encoder(), folder: undefined }, 5);
  const a = base.read("a", [64, 100], "kaiming_uniform");
  assert.ok(a.every((value) => Math.abs(value) <= 0.1));
  assert.ok(Math.max(...a) > 0.099 && Math.min(...a) < -0.099);
  const variance = a.reduce((sum, value) => sum + value ** 2, 0) / a.length;
  assert.ok(Math.abs(variance - 0.01 / 3) < 0.0002, `variance ${variance}`);
  assert.deepEqual(base.read("a", [64, 100], "kaiming_uniform"), a);
  assert.notDeepEqual(base.read("b", [64, 100], "kaiming_uniform"), a);
  const kinds = tunedEncoderParameters(encoder(), lora()).filter(isTrained).map(({ initialisation }) => initialisation);
  assert.deepEqual(new Set(kinds.filter((_, i) => i % 2 === 1)), new Set(["zeros"]));
  assert.deepEqual(new Set(kinds.filter((_, i) => i % 2 === 0)), new Set(["kaiming_uniform"]));
});

Deno.test("a tuning that the model has no room for is refused by its key", () => {
  const refuse = (tuning: Tuning, message: RegExp) =>
    assert.throws(() => checkTuning(encoder(), tuning, "tiny"), { name: "WinnowError", message });
  refuse(lora({ lora_rank: 33 }), /^tuning\.lora_rank is 33 but tiny is 32 wide$/);
  refuse({ mode: "freeze", freeze_layers: 4 }, /^tuning\.freeze_layers is 4 but tiny has 3 layers$/);
  refuse(lora({ freeze_layers: 3 }), /leaves no layer of tiny for adapters/);
  for (const tuning of Object.values(MODES)) checkTuning(encoder(), tuning, "tiny");
});

Deno.test("the configuration names the modes and targets, and each of its keys can be searched", () => {
  const config = (...overrides: string[]) => loadConfig({ file: "configs/quickstart.yaml", overrides });
  assert.deepEqual(tuningOf(config()), { mode: "full" });
  for (const mode of Object.keys(TUNING_MODES)) assert.equal(tuningOf(config(`tuning.mode=${mode}`)).mode, mode);
  const all = ALL_TARGETS.join(",");
  for (const written of [all, `[${all}]`]) {
    const { lora_targets } = tuningOf(config("tuning.mode=lora", `tuning.lora_targets=${written}`)) as LoraOptions;
    assert.deepEqual(lora_targets, ALL_TARGETS);
  }
  assert.deepEqual(
    tuningOf(config("tuning.mode=freeze", "tuning.freeze_layers=1", "tuning.lora_rank=4")),
    { mode: "freeze", freeze_layers: 1 },
  );
  const searched = config(
    "search_space.tuning.mode={type: categorical, choices: [full, lora, bitfit, freeze]}",
    "search_space.tuning.lora_rank={type: int, low: 1, high: 16, log: true}",
    "search_space.tuning.lora_alpha={type: float, low: 1, high: 32}",
    "search_space.tuning.lora_dropout={type: float, low: 0, high: 0.3}",
    "search_space.tuning.freeze_layers={type: int, low: 0, high: 2}",
    "search_space.tuning.lora_targets={type: categorical, choices: ['query,value', 'output']}",
  );
  const drawn = withParams(searched, { "tuning.mode": "lora", "tuning.lora_targets": "query,value" });
  assert.deepEqual((tuningOf(drawn) as LoraOptions).lora_targets, ["query", "value"]);
  const refuse = (override: string, message: RegExp) => assert.throws(() => config(override), { message });
  const targets = /tuning\.lora_targets to be a non-empty list of query, key, .*, output or such names with commas/;
  refuse("tuning.lora_targets=[]", targets);
  refuse("tuning.lora_targets=[query, wrong]", targets);
  refuse("tuning.lora_targets=query value", targets);
  refuse("search_space.tuning.lora_targets={type: categorical, choices: [wrong]}", targets);
  refuse("tuning.mode=prefix", /tuning\.mode to be one of full, lora, bitfit, freeze/);
  refuse("tuning.lora_rank=0", /tuning\.lora_rank to be an integer from 1 to 1024/);
  refuse("tuning.lora_dropout=1", /tuning\.lora_dropout to be a number at least 0 and less than 1/);
});
