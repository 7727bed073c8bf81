/**
 * The ops that heads, poolings and couplings are made of, forward and backward, against PyTorch in float64: the cases of
 * `tests/golden/head_ops.json` (made by `tests/peers/golden_head_ops.py`) in every variant of the kernels. Each case runs
 * on inputs whose gradients are new tensors, and on parameters, whose gradients are added up. Tolerances: docs/numerics.md.
 */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import type { Graph } from "../../lib/graph/graph.ts";
import { activation } from "../../lib/graph/ops/activation.ts";
import { concat, slice } from "../../lib/graph/ops/columns.ts";
import { add, gate, multiply, scale } from "../../lib/graph/ops/combine.ts";
import { pool } from "../../lib/graph/ops/pool.ts";
import { segmentMean } from "../../lib/graph/ops/segment_mean.ts";
import { attentionPool, broadcastTokens, tokenAttention, tokenDot, tokenSum } from "../../lib/graph/ops/tokens.ts";
import { weightedSum } from "../../lib/graph/ops/weighted_sum.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import {
  activationOf,
  differentiated,
  type GoldenCase,
  type GoldenOp,
  parameterOf,
  testGoldenOps,
  wordsOf,
} from "../support/golden_ops.ts";
import { runGraph, VARIANTS } from "../support/graph_runner.ts";

const gpu = await openGpu();

type Lookup = Readonly<Record<string, Tensor>>;

/** Inputs that are integers; all others are differentiated. */
const WORDS = new Set(["mask", "segments"]);

const numbered = (t: Lookup) => Object.entries(t).filter(([name]) => /^x\d+$/.test(name)).map(([, tensor]) => tensor);

/** The ops of the file on tensors by its names. */
const OPS: Record<string, (g: Graph, t: Lookup, golden: GoldenCase) => Tensor> = {
  activation: (g, t, golden) => activation(g, t["x"]!, golden["activation"]),
  add: (g, t) => add(g, t["a"]!, t["b"]!),
  multiply: (g, t) => multiply(g, t["a"]!, t["b"]!),
  scale: (g, t, { factor }) => scale(g, t["x"]!, factor),
  gate: (g, t) => gate(g, t["a"]!, t["b"]!, t["z"]!),
  concat: (g, t) => concat(g, numbered(t)),
  slice: (g, t, { start, count }) => slice(g, t["x"]!, start, count),
  broadcastTokens: (g, t, { tokens }) => broadcastTokens(g, t["x"]!, tokens),
  weightedSum: (g, t, { softmax }) => weightedSum(g, numbered(t), t["weights"]!, { softmax }),
  pool: (g, t, { pooling }) => pool(g, t["x"]!, pooling, t["mask"]!),
  attentionPool: (g, t) => attentionPool(g, t["x"]!, t["scores"]!, t["mask"]!),
  tokenAttention: (g, t) => tokenAttention(g, t["query"]!, t["keys"]!, t["values"]!, t["mask"]!),
  tokenDot: (g, t, { scale }) => tokenDot(g, t["query"]!, t["keys"]!, scale),
  tokenSum: (g, t) => tokenSum(g, t["x"]!, t["weights"]!),
  segmentMean: (g, t, { count }) => segmentMean(g, t["x"]!, t["segments"]!, count),
};

const runner = (op: (g: Graph, t: Lookup, golden: GoldenCase) => Tensor): GoldenOp => async (get, golden, target) => {
  const leaves = (of: typeof activationOf) =>
    Object.fromEntries(golden.inputs.map((name) => [
      name,
      WORDS.has(name) ? wordsOf(get(name)) : name === "dy" ? activationOf(get(name)) : of(get(name)),
    ]));
  const once = await differentiated(gpu, target, leaves(activationOf), (g, t) => op(g, t, golden));
  // Twice on the same parameters: every gradient is added to one that is there, and doubling is exact.
  const { outputs, gradients } = await runGraph(gpu, {
    inputs: leaves(parameterOf),
    build: (g, t: Lookup) => {
      const [y, again] = [op(g, t, golden), op(g, t, golden)];
      return { outputs: { y, again }, seeds: [[y, t["dy"]!], [again, t["dy"]!]] as const };
    },
  }, target);
  assert.deepEqual(outputs.y, once["y"]);
  assert.deepEqual(outputs.again, once["y"]);
  for (const [name, gradient] of Object.entries(gradients)) {
    if (name !== "dy") assert.deepEqual(gradient, once[`d${name}`]!.map((value) => 2 * value), `d${name} added up`);
  }
  return once;
};

// Windows make a difference to embedding tables alone.
const variants = Object.fromEntries(Object.entries(VARIANTS).filter(([, target]) => !target.maxBindingBytes));

testGoldenOps("head_ops", Object.fromEntries(Object.entries(OPS).map(([name, op]) => [name, runner(op)])), variants);
