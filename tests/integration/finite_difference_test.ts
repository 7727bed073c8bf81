/**
 * Every op's derivative against differences of its own forward pass, for odd shapes and with dropout on (the same draw
 * gives the same mask), and the graphs around ops: an activation that feeds several ops, gradients that two share.
 *
 * Of f(x) = Σ w ∘ y(x) with random w, the derivative along a random direction v is compared with the five-point
 * difference (8 (f(x + hv) - f(x - hv)) - (f(x + 2hv) - f(x - 2hv))) / 12h, whose error is of order h⁴: with h = 0.02
 * rounding and truncation stay below 1e-4 of ‖df/dx‖, while one wrong factor shows as 1e-1.
 */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import type { StepScalars } from "../../lib/gpu/program.ts";
import type { Graph, Target } from "../../lib/graph/graph.ts";
import { attention } from "../../lib/graph/ops/attention.ts";
import { activation as activate, type ActivationName, ACTIVATIONS } from "../../lib/graph/ops/activation.ts";
import { concat, slice } from "../../lib/graph/ops/columns.ts";
import { add, gate, multiply, scale } from "../../lib/graph/ops/combine.ts";
import { activate as apply, copy, dropout, tanh } from "../../lib/graph/ops/elementwise.ts";
import { embedding } from "../../lib/graph/ops/embedding.ts";
import { layerNorm } from "../../lib/graph/ops/layer_norm.ts";
import { feedForward, linear } from "../../lib/graph/ops/linear.ts";
import { BCE, criteriaLoss, type Loss } from "../../lib/graph/ops/losses.ts";
import { pool } from "../../lib/graph/ops/pool.ts";
import { segmentMean } from "../../lib/graph/ops/segment_mean.ts";
import { boundaryLoss } from "../../lib/graph/ops/spans.ts";
import { softmax } from "../../lib/graph/ops/softmax.ts";
import { broadcastTokens, tokenAttention } from "../../lib/graph/ops/tokens.ts";
import { weightedSum } from "../../lib/graph/ops/weighted_sum.ts";
import { elementCount, type Tensor } from "../../lib/graph/tensor.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { spanTags } from "../support/agents.ts";
import { norm } from "../support/golden.ts";
import { activation, compileGraph, constant, type Leaf, parameter, VARIANTS } from "../support/graph_runner.ts";
import { embeddingInputs, keyLimits } from "../support/op_inputs.ts";

const gpu = await openGpu();
const TOLERANCE = 3e-4;
const DRAW: Partial<StepScalars> = { seed: 7, draw: 3, criteriaScale: 0.25, spanScale: 0.5 };

type Lookup = Readonly<Record<string, Tensor>>;

/** Standard normal numbers that depend on the label alone. */
function normal(label: string, count: number, scale = 1): Float32Array<ArrayBuffer> {
  const random = randomStream(1, "finite difference", label);
  return Float32Array.from({ length: count }, () => scale * random.normal());
}

const hidden = (label: string, ...shape: number[]) => activation(shape, normal(label, elementCount(shape)));
const weight = (label: string, ...shape: number[]) => parameter(shape, normal(label, elementCount(shape), 0.5));
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

interface Check {
  readonly inputs: Record<string, Leaf>;
  /** Appends the op and returns its output, or a loss, whose derivative comes with it. */
  readonly op: (g: Graph, t: Lookup) => Tensor | Loss;
  readonly training?: boolean;
  /** Distance of the differences; smaller for wide inputs, whose elements move a sum together. */
  readonly step?: number;
  /** Elements of the output that count; all unless given. */
  readonly counts?: (index: number) => boolean;
  /** Length of the output; of the first input unless given. */
  readonly outputs?: readonly number[];
}

/** Compares the gradient of every differentiable input with differences of the output. */
async function check(
  { inputs, op, training = false, step = 0.02, counts = () => true, outputs: shape }: Check,
  target: Partial<Target>,
) {
  const first = Object.keys(inputs)[0]!;
  const outputShape = shape ?? inputs[first]!.shape;
  const projection = normal("projection", elementCount(outputShape)).map((value, i) => counts(i) ? value : 0);
  let isLoss = false;
  const graph = compileGraph(gpu, {
    inputs: { ...inputs, dy: constant(outputShape, projection) } as Record<string, Leaf>,
    build: (g, t: Lookup) => {
      const y = op(g, t);
      if ("items" in y) {
        isLoss = true;
        return { outputs: { y: y.items, dlogits: y.dlogits } };
      }
      // The gradient of an output lies in activation memory, as the output does.
      return { outputs: { y, dlogits: y }, seeds: [[y, copy(g, t["dy"]!)]] as const };
    },
    training,
  }, target);
  const value = async (name: string, direction: Float32Array, distance: number) => {
    const values = inputs[name]!.values as Float32Array;
    const moved = values.map((element, i) => element + distance * direction[i]!);
    const { outputs: { y } } = await graph.run({ [name]: moved }, DRAW);
    return isLoss
      ? y.reduce((sum, item) => sum + item, 0)
      : y.reduce((sum, element, i) => projection[i] === 0 ? sum : sum + element * projection[i]!, 0);
  };
  try {
    const { outputs, gradients } = await graph.run({}, DRAW);
    for (const name of Object.keys(inputs)) {
      if (inputs[name]!.kind === "constant") continue;
      const gradient: Float32Array = isLoss ? outputs.dlogits : gradients[name]!;
      const direction = normal(`direction of ${name}`, gradient.length);
      const expected = (8 * (await value(name, direction, step) - await value(name, direction, -step)) -
        (await value(name, direction, 2 * step) - await value(name, direction, -2 * step))) / (12 * step);
      const difference = Math.abs(dot(gradient, direction) - expected);
      const scale = norm(gradient);
      assert.ok(scale > 0, `${name}: the gradient is 0`);
      assert.ok(
        difference <= TOLERANCE * scale,
        `${name}: derivative ${dot(gradient, direction)} but difference ${expected}, ‖gradient‖ ${scale}`,
      );
    }
  } finally {
    graph.close();
  }
}

/** Three texts: whole, with a padded end, and with one token; the mask of attention and pooling. */
const [TEXTS, LENGTH] = [3, 7];
const MASK = Uint32Array.from([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
const masks = {
  mask: constant([TEXTS, LENGTH], MASK),
  limits: constant([TEXTS], keyLimits(MASK, LENGTH)),
};
const [HEADS, HIDDEN] = [2, 24];

const IDS = Uint32Array.from([3, 9, 9, 38, 3, 20, 1, 9, 2, 39, 3, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0]);
const embedded = embeddingInputs(
  { size: TEXTS, length: LENGTH, ids: IDS, mask: MASK, types: IDS.map((id) => id % 2) },
  0,
);

const attend = (dropout: number): Check => ({
  inputs: { qkv: hidden("qkv", TEXTS, LENGTH, 3 * HIDDEN), ...masks },
  op: (g, t) => attention(g, t["qkv"]!, { heads: HEADS, mask: t["mask"]!, limits: t["limits"]!, dropout }),
  outputs: [TEXTS, LENGTH, HIDDEN],
  training: dropout > 0,
});

const normalise = (dropout: number, residual: boolean): Check => ({
  inputs: {
    x: hidden("x", 5, 36),
    gamma: weight("gamma", 36),
    beta: weight("beta", 36),
    ...(residual ? { residual: hidden("residual", 5, 36) } : {}),
  },
  op: (g, t) =>
    layerNorm(g, t as { x: Tensor; gamma: Tensor; beta: Tensor; residual?: Tensor }, { epsilon: 1e-5, dropout }),
  training: dropout > 0,
});

const CHECKS: Record<string, Check> = {
  embedding: {
    inputs: {
      word: weight("word", 40, 32),
      position: weight("position", 16, 32),
      tokenType: weight("type", 2, 32),
      ...embedded.leaves,
    },
    op: (g, t) =>
      embedding(g, { word: t["word"]!, position: t["position"]!, tokenType: t["tokenType"]! }, embedded.attributes(t)),
    outputs: [TEXTS, LENGTH, 32],
    // Padding reaches no loss.
    counts: (i) => MASK[Math.floor(i / 32)] === 1,
  },
  linear: {
    inputs: { x: hidden("x", 5, 12), weight: weight("weight", 9, 12), bias: weight("bias", 9) },
    op: (g, t) => linear(g, t as { x: Tensor; weight: Tensor; bias: Tensor }),
    outputs: [5, 9],
  },
  "linear of aligned sizes": {
    inputs: { x: hidden("x", 37, 64), weight: weight("weight", 32, 64), bias: weight("bias", 32) },
    op: (g, t) => linear(g, t as { x: Tensor; weight: Tensor; bias: Tensor }),
    outputs: [37, 32],
  },
  "linear of many tokens, whose weight gradient is summed in slices": {
    inputs: { x: hidden("x", 1100, 32), weight: weight("weight", 32, 32), bias: weight("bias", 32) },
    op: (g, t) => linear(g, t as { x: Tensor; weight: Tensor; bias: Tensor }),
  },
  ...Object.fromEntries(
    ([["gelu_erf", 5, 12, 18], ["gelu_tanh", 5, 12, 18], ["gelu_erf", 37, 32, 64], ["gelu_tanh", 37, 32, 64]] as const)
      .map((
        [kind, rows, width, inner],
      ) => [
        `feedForward ${rows} x ${width} x ${inner}, ${kind}`,
        {
          inputs: {
            x: hidden("x", rows, width),
            weight: weight("weight", inner, width),
            bias: weight("bias", inner),
            outputWeight: weight("outputWeight", width, inner),
            outputBias: weight("outputBias", width),
          },
          step: 0.005,
          op: (g, t) => feedForward(g, t as unknown as Parameters<typeof feedForward>[1], kind),
        } satisfies Check,
      ]),
  ),
  layerNorm: normalise(0, false),
  "layerNorm with residual": normalise(0, true),
  "layerNorm with residual and dropout": normalise(0.3, true),
  attention: attend(0),
  "attention with dropout": attend(0.3),
  "pool cls": {
    inputs: { x: hidden("x", TEXTS, LENGTH, 12), ...masks },
    op: (g, t) => pool(g, t["x"]!, "cls", t["mask"]!),
    outputs: [TEXTS, 12],
  },
  "pool mean": {
    inputs: { x: hidden("x", TEXTS, LENGTH, 12), ...masks },
    op: (g, t) => pool(g, t["x"]!, "mean", t["mask"]!),
    outputs: [TEXTS, 12],
  },
  gelu: { inputs: { x: hidden("x", 5, 13) }, op: (g, t) => apply(g, t["x"]!, "gelu_erf") },
  "gelu, tanh form": { inputs: { x: hidden("x", 5, 13) }, op: (g, t) => apply(g, t["x"]!, "gelu_tanh") },
  tanh: { inputs: { x: hidden("x", 5, 13) }, op: (g, t) => tanh(g, t["x"]!) },
  softmax: { inputs: { x: hidden("x", 5, 13) }, op: (g, t) => softmax(g, t["x"]!) },
  "softmax of long rows": { inputs: { x: hidden("x", 3, 150) }, op: (g, t) => softmax(g, t["x"]!) },
  tokenAttention: {
    inputs: {
      values: hidden("values", TEXTS, LENGTH, 9),
      query: hidden("query", TEXTS, 9),
      ...masks,
      keys: hidden("keys", TEXTS, LENGTH, 9),
    },
    op: (g, t) => tokenAttention(g, t["query"]!, t["keys"]!, t["values"]!, t["mask"]!),
    outputs: [TEXTS, 9],
  },
  "weightedSum by softmax": {
    inputs: { a: hidden("a", 5, 13), b: hidden("b", 5, 13), c: hidden("c", 5, 13), weights: weight("weights", 3) },
    op: (g, t) => weightedSum(g, [t["a"]!, t["b"]!, t["c"]!], t["weights"]!, { softmax: true }),
  },
  dropout: { inputs: { x: hidden("x", 5, 13) }, op: (g, t) => dropout(g, t["x"]!, 0.4), training: true },
  criteriaLoss: {
    inputs: {
      logits: hidden("logits", 4, 9),
      labels: constant([4, 9], normal("labels", 36).map((value) => value > 0 ? 1 : 0)),
      weight: constant([4], Float32Array.of(1, 0, 1, 2)),
    },
    op: (g, t) => criteriaLoss(g, { logits: t["logits"]!, labels: t["labels"]!, weight: t["weight"]! }, BCE),
  },
  boundaryLoss: {
    inputs: {
      logits: hidden("logits", TEXTS, LENGTH, 6),
      limits: masks.limits,
      tags: constant(
        [TEXTS, LENGTH, 3],
        Uint32Array.from(
          spanTags({ size: TEXTS, length: LENGTH }, [0, 1, 2, 0, 1, 1, 0, 0, 0], [0, 6, 4, 0, 1, 2, 0, 0, 0]),
        ),
      ),
      weight: constant([TEXTS, 3], Float32Array.of(1, 1, 0, 0.5, 1, 1, 1, 0, 0)),
    },
    op: (g, t) => boundaryLoss(g, t["logits"]!, { tags: t["tags"]!, limits: t["limits"]!, weight: t["weight"]! }),
  },
};

/** Graphs in which an activation feeds several ops, so that its gradient is a sum. */
const SHARED: Record<string, Check> = {
  "an activation that feeds attention twice": {
    ...attend(0),
    op: (g, t) => {
      const options = { heads: HEADS, mask: t["mask"]!, limits: t["limits"]! };
      const once = attention(g, t["qkv"]!, options);
      return layerNorm(
        g,
        { x: attention(g, t["qkv"]!, options), residual: once, gamma: t["gamma"]!, beta: t["beta"]! },
        {
          epsilon: 1e-5,
        },
      );
    },
    inputs: { ...attend(0).inputs, gamma: weight("gamma", HIDDEN), beta: weight("beta", HIDDEN) },
  },
  "a sum of an activation and itself": {
    ...normalise(0, false),
    op: (g, t) =>
      layerNorm(g, { x: t["x"]!, residual: t["x"]!, gamma: t["gamma"]!, beta: t["beta"]! }, { epsilon: 1e-5 }),
  },
  "residual branches whose gradients are one tensor": {
    inputs: {
      x: hidden("x", 5, 36),
      z: hidden("z", 5, 36),
      gamma: weight("gamma", 36),
      beta: weight("beta", 36),
    },
    op: (g, t) => {
      const affine = { gamma: t["gamma"]!, beta: t["beta"]! };
      const inner = layerNorm(g, { x: t["x"]!, residual: t["z"]!, ...affine }, { epsilon: 1e-5 });
      return layerNorm(g, { x: inner, residual: t["x"]!, ...affine }, { epsilon: 1e-5 });
    },
  },
  "sums, whose gradients are those of their inputs": {
    inputs: { a: hidden("a", 5, 13), b: hidden("b", 5, 13) },
    op: (g, t) => {
      const sum = add(g, t["a"]!, t["b"]!);
      const twice = add(g, sum, sum);
      return multiply(g, add(g, twice, t["a"]!), add(g, sum, t["b"]!));
    },
  },
  "an activation that feeds every op of heads": {
    inputs: {
      x: hidden("x", TEXTS, LENGTH, HIDDEN),
      weights: weight("weights", 3),
      segments: constant([TEXTS, LENGTH], MASK.map((real, i) => real ? Math.floor(i % LENGTH / 2) : 0xffffffff)),
      ...masks,
    },
    op: (g, t) => {
      const x = t["x"]!;
      // ReLU and its leaky form have no derivative at 0, which differences may cross.
      const smooth = (Object.keys(ACTIVATIONS) as ActivationName[]).filter((name) => !name.endsWith("relu"));
      const curved = smooth.map((name) => activate(g, x, name)).reduce((sum, part) => add(g, sum, part));
      const mixed = weightedSum(g, [x, curved, multiply(g, x, x)], t["weights"]!, { softmax: true });
      const gated = gate(g, x, scale(g, curved, 0.3), mixed);
      const wide = concat(g, [slice(g, x, 3, 10), slice(g, gated, 0, HIDDEN - 10)]);
      const query = pool(g, x, "mean", t["mask"]!);
      const attended = tokenAttention(g, query, wide, x, t["mask"]!);
      const sentences = segmentMean(g, add(g, wide, broadcastTokens(g, attended, LENGTH)), t["segments"]!, LENGTH);
      return add(g, sentences, gated);
    },
    outputs: [TEXTS, LENGTH, HIDDEN],
  },
  "an activation that feeds every op": {
    inputs: {
      x: hidden("x", TEXTS, LENGTH, HIDDEN),
      gamma: weight("gamma", HIDDEN),
      beta: weight("beta", HIDDEN),
      weight: weight("weight", HIDDEN, HIDDEN),
      bias: weight("bias", HIDDEN),
      ...masks,
    },
    op: (g, t) => {
      const x = t["x"]!;
      const affine = { gamma: t["gamma"]!, beta: t["beta"]! };
      const add = (a: Tensor, b: Tensor) =>
        layerNorm(g, { x: a, residual: b, ...affine }, { epsilon: 1e-5, dropout: 0.2 });
      const layer = (input: Tensor) => linear(g, { x: input, weight: t["weight"]!, bias: t["bias"]! });
      const parts = [
        tanh(g, x),
        apply(g, x, "gelu_erf"),
        softmax(g, x),
        dropout(g, x, 0.3),
        layer(x),
        layer(layer(x)),
      ];
      return pool(g, parts.reduce(add, x), "mean", t["mask"]!);
    },
    outputs: [TEXTS, HIDDEN],
    training: true,
  },
};

for (const [variant, target] of Object.entries(VARIANTS)) {
  // Windows make a difference to embedding tables alone.
  const checks = target.maxBindingBytes ? { embedding: CHECKS["embedding"]! } : { ...CHECKS, ...SHARED };
  for (const [name, one] of Object.entries(checks)) {
    Deno.test(`the derivative equals differences: ${name} (${variant})`, () => check(one, target));
  }
}
