/**
 * Every op, forward and backward, against PyTorch in float64: the cases of `tests/golden/ops.json` (made by
 * `tests/peers/golden_ops.py`) in every variant of the kernels. Tolerances: docs/numerics.md.
 */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import type { Target } from "../../lib/graph/graph.ts";
import { attention } from "../../lib/graph/ops/attention.ts";
import { activate, tanh } from "../../lib/graph/ops/elementwise.ts";
import { embedding } from "../../lib/graph/ops/embedding.ts";
import { layerNorm } from "../../lib/graph/ops/layer_norm.ts";
import { linear } from "../../lib/graph/ops/linear.ts";
import { BCE, criteriaLoss } from "../../lib/graph/ops/losses.ts";
import { pool } from "../../lib/graph/ops/pool.ts";
import { boundaryLoss } from "../../lib/graph/ops/spans.ts";
import type { GoldenTensor } from "../support/golden.ts";
import {
  activationOf,
  constantOf,
  differentiated,
  type GoldenOp,
  parameterOf,
  testGoldenOps,
  wordsOf,
} from "../support/golden_ops.ts";
import { activation, constant, parameter, runGraph, VARIANTS } from "../support/graph_runner.ts";
import { spanTags } from "../support/agents.ts";
import { embeddingInputs, keyLimits } from "../support/op_inputs.ts";
import { runOptimizer } from "../support/optimizer_runner.ts";

const gpu = await openGpu();

const sum = (values: ArrayLike<number>) => Array.from(values).reduce((total, value) => total + value, 0);

/** Distance of the rows of the embedding case in their table. */
const ROWS_APART = 4;

/** A target whose windows, where a variant has them, cut also parameters of 67 elements. */
const narrow = (target: Partial<Target>) => target.maxBindingBytes ? { ...target, maxBindingBytes: 256 } : target;

/** [rows, sum of widths] from [rows, width] each, and back. */
function besides(parts: readonly GoldenTensor[]): Float32Array<ArrayBuffer> {
  const width = parts[0]!.shape.at(-1)!;
  const joined = new Float32Array(parts.length * parts[0]!.data.length);
  parts.forEach(({ data }, part) =>
    data.forEach((value, i) => {
      joined[(Math.floor(i / width) * parts.length + part) * width + i % width] = value;
    })
  );
  return joined;
}

function apart(joined: Float32Array, parts: number, part: number, width: number): Float32Array {
  return joined.filter((_, i) => Math.floor(i / width) % parts === part);
}

/** How each op of the file is run: golden inputs in, tensors by the names of the file out. */
const OPS: Record<string, GoldenOp> = {
  layerNorm: (get, { eps }, target) =>
    differentiated(
      gpu,
      target,
      {
        x: activationOf(get("x")),
        residual: activationOf(get("residual")),
        weight: parameterOf(get("weight")),
        bias: parameterOf(get("bias")),
        dy: activationOf(get("dy")),
      },
      (g, t) =>
        layerNorm(g, { x: t["x"]!, residual: t["residual"]!, gamma: t["weight"]!, beta: t["bias"]! }, { epsilon: eps }),
    ),
  gelu: (get, _, target) =>
    differentiated(
      gpu,
      target,
      { x: activationOf(get("x")), dy: activationOf(get("dy")) },
      (g, t) => activate(g, t["x"]!, "gelu_erf"),
    ),
  gelu_tanh: (get, _, target) =>
    differentiated(
      gpu,
      target,
      { x: activationOf(get("x")), dy: activationOf(get("dy")) },
      (g, t) => activate(g, t["x"]!, "gelu_tanh"),
    ),
  relu: (get, _, target) =>
    differentiated(
      gpu,
      target,
      { x: activationOf(get("x")), dy: activationOf(get("dy")) },
      (g, t) => activate(g, t["x"]!, "relu"),
    ),
  tanh: (get, _, target) =>
    differentiated(gpu, target, { x: activationOf(get("x")), dy: activationOf(get("dy")) }, (g, t) => tanh(g, t["x"]!)),
  linear: (get, _, target) =>
    differentiated(
      gpu,
      target,
      {
        x: activationOf(get("x")),
        weight: parameterOf(get("weight")),
        bias: parameterOf(get("bias")),
        dy: activationOf(get("dy")),
      },
      (g, t) => linear(g, { x: t["x"]!, weight: t["weight"]!, bias: t["bias"]! }),
    ),
  embedding: async (get, { paddingIndex }, target) => {
    const ids = get("ids");
    const [size, length] = ids.shape as [number, number];
    const [rows, width] = get("weight").shape as [number, number];
    // Rows four apart in a larger table, so that windows of it cut between them.
    const table = new Float32Array(ROWS_APART * rows * width);
    const offset = (i: number) => ROWS_APART * width * Math.floor(i / width) + i % width;
    get("weight").data.forEach((value, i) => table[offset(i)] = value);
    const batch = { size, length, ids: Uint32Array.from(ids.data, (id) => ROWS_APART * id) };
    const { attributes, leaves } = embeddingInputs(batch, ROWS_APART * paddingIndex);
    const { y, dtable } = await differentiated(
      gpu,
      target,
      {
        table: parameter([ROWS_APART * rows, width], table),
        position: parameter([length, width], new Float32Array(length * width)),
        dy: activationOf(get("dy")),
        ...leaves,
      },
      (g, t) => embedding(g, { word: t["table"]!, position: t["position"]! }, attributes(t)),
    );
    const dweight = get("weight").data.map((_, i) => dtable![offset(i)]!);
    const unused = dtable!.filter((_, i) => Math.floor(i / width) % ROWS_APART !== 0);
    assert.ok(unused.every((value) => value === 0), "rows of unused ids have no gradient");
    return { y: y!, dweight };
  },
  pool: (get, { pooling }, target) =>
    differentiated(
      gpu,
      target,
      { x: activationOf(get("x")), mask: wordsOf(get("mask")), dy: activationOf(get("dy")) },
      (g, t) => pool(g, t["x"]!, pooling, t["mask"]!),
    ),
  attention: async (get, { heads, fullyMaskedRows }, target) => {
    const [q, k, v, mask] = ["q", "k", "v", "mask"].map(get) as [GoldenTensor, ...GoldenTensor[]];
    const [batch, length, hidden] = q.shape as [number, number, number];
    const { y, dqkv } = await differentiated(
      gpu,
      target,
      {
        qkv: activation([batch, length, 3 * hidden], besides([q, k!, v!])),
        mask: wordsOf(mask!),
        limits: constant([batch], keyLimits(Uint32Array.from(mask!.data), length)),
        dy: activationOf(get("dy")),
      },
      (g, t) => attention(g, t["qkv"]!, { heads, mask: t["mask"]!, limits: t["limits"]! }),
    );
    // A text without any token attends evenly, as transformers' eager attention does.
    const prefix = fullyMaskedRows.length > 0 ? "uniform." : "";
    return {
      [`${prefix}y`]: y!,
      [`${prefix}dq`]: apart(dqkv!, 3, 0, hidden),
      [`${prefix}dk`]: apart(dqkv!, 3, 1, hidden),
      [`${prefix}dv`]: apart(dqkv!, 3, 2, hidden),
    };
  },
  criteriaLoss: async (get, _, target) => {
    const criteria = get("logits").shape[1]!;
    const { outputs } = await runGraph(
      gpu,
      {
        inputs: {
          logits: activationOf(get("logits")),
          labels: constantOf(get("labels")),
          weight: constantOf(get("sampleWeight")),
        },
        build: (g, { logits, labels, weight }) => ({
          outputs: { ...criteriaLoss(g, { logits, labels, weight }, BCE) },
        }),
      },
      target,
      { criteriaScale: 1 / (criteria * Math.max(1, sum(get("sampleWeight").data))) },
    );
    return { y: Float32Array.of(sum(outputs.items)), dlogits: outputs.dlogits };
  },
  spanLoss: async (get, _, target) => {
    const mask = get("mask"), [size, length] = mask.shape as [number, number];
    const tags = spanTags({ size, length }, get("start").data, get("end").data);
    const { outputs } = await runGraph(
      gpu,
      {
        inputs: {
          logits: activationOf(get("logits")),
          tags: constant([size, length, 3], Uint32Array.from(tags)),
          limits: constant([size], keyLimits(Uint32Array.from(mask.data), length)),
          weight: constantOf(get("weight")),
        },
        build: (g, { logits, ...rest }) => ({ outputs: { ...boundaryLoss(g, logits, rest) } }),
      },
      target,
      { spanScale: 1 / Math.max(1, sum(get("weight").data)) },
    );
    return { y: Float32Array.of(sum(outputs.items)), dlogits: outputs.dlogits };
  },
  adamw: async (get, { betas, eps, weightDecay, learningRates }, target) => {
    const { shape, data } = get("parameter");
    const gradients = get("gradients").data;
    const steps = await runOptimizer(
      gpu,
      { parameter: { shape, decay: weightDecay > 0, initial: data } },
      { name: "adamw", weightDecay, beta1: betas[0], beta2: betas[1], epsilon: eps, maxGradNorm: 0 },
      learningRates.map((learningRate: number, i: number) => ({
        learningRate,
        gradients: { parameter: gradients.slice(i * data.length, (i + 1) * data.length) },
      })),
      narrow(target),
    );
    const stacked = (array: "parameter" | "first" | "second") =>
      Float32Array.from(steps.flatMap((step) => [...step.arrays["parameter"]![array]]));
    return { parameters: stacked("parameter"), ms: stacked("first"), vs: stacked("second") };
  },
  clipGradNorm: async (get, { maxNorm }, target) => {
    const names = ["a", "b", "c"];
    // With beta1 = 0 the first moment is the clipped gradient.
    const [step] = await runOptimizer(
      gpu,
      Object.fromEntries(names.map((name, i) => {
        const { shape, data } = get(name);
        return [name, { shape, decay: i === 0, initial: new Float32Array(data.length) }];
      })),
      { name: "adamw", weightDecay: 0, beta1: 0, beta2: 0, epsilon: 1e-8, maxGradNorm: maxNorm },
      [{ learningRate: 0, gradients: Object.fromEntries(names.map((name) => [name, get(name).data])) }],
      narrow(target),
    );
    return {
      norm: Float32Array.of(step!.norm),
      ...Object.fromEntries(names.map((name) => [`clipped.${name}`, step!.arrays[name]!.first])),
    };
  },
};

testGoldenOps("ops", OPS);

for (const [variant, target] of Object.entries(VARIANTS).slice(0, 3)) {
  Deno.test(`what has no weight in a loss may be NaN (${variant})`, async () => {
    const logits = Float32Array.of(1, NaN, -2, Infinity, NaN, NaN);
    const { outputs: bce } = await runGraph(gpu, {
      inputs: {
        logits: activation([3, 2], logits),
        labels: constant([3, 2], Float32Array.of(1, 0, 1, 0, NaN, 1)),
        weight: constant([3], Float32Array.of(0, 0, 0)),
      },
      build: (g, { logits, labels, weight }) => ({ outputs: { ...criteriaLoss(g, { logits, labels, weight }, BCE) } }),
    }, target);
    assert.deepEqual([...bce.items, ...bce.dlogits], new Array(12).fill(0));
  });
}
