/**
 * Ops whose activations are stored in 16 bits, forward and backward, against PyTorch in float32 (`tests/peers/half_ops.py`)
 * on inputs rounded to 16 bits: 2e-3 of each tensor's norm.
 */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import type { ActivationKind } from "../../lib/gpu/gemm.ts";
import type { Graph } from "../../lib/graph/graph.ts";
import { attention } from "../../lib/graph/ops/attention.ts";
import { activate } from "../../lib/graph/ops/elementwise.ts";
import { layerNorm } from "../../lib/graph/ops/layer_norm.ts";
import { feedForward, linear } from "../../lib/graph/ops/linear.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { norm, relativeDifference } from "../support/golden.ts";
import { activation, constant, type Leaf, parameter, runGraph, VARIANTS } from "../support/graph_runner.ts";
import { keyLimits } from "../support/op_inputs.ts";
import { askPython } from "../support/python.ts";

const gpu = await openGpu();
const TOLERANCE = 2e-3;
/** Texts, tokens, columns and inner columns: rows that no tile divides. */
const [B, T, C, F, HEADS] = [3, 11, 64, 160, 2];

type Tensors = Readonly<Record<string, Tensor>>;

interface HalfCase {
  readonly op: string;
  readonly attributes?: Readonly<Record<string, number>>;
  readonly inputs: Readonly<Record<string, Leaf>>;
  readonly build: (g: Graph, t: Tensors) => Tensor;
  /** Activations of 16 bits that the op must have made. */
  readonly halves: readonly string[];
}

const random = randomStream(5, "half ops");
/** Normal numbers times `scale`, rounded to 16 bits. */
function values(shape: readonly number[], scale: number): Float32Array {
  const count = shape.reduce((product, size) => product * size, 1);
  return Float32Array.from(new Float16Array(Array.from({ length: count }, () => scale * random.normal())));
}
const learned = (...shape: number[]) => parameter(shape, values(shape, 0.2));
const between = (...shape: number[]) => activation(shape, values(shape, 1));

const lengths = [T, 4, 7];
const mask = Uint32Array.from({ length: B * T }, (_, i) => i % T < lengths[Math.floor(i / T)]! ? 1 : 0);

const feed = (kind: ActivationKind): HalfCase => ({
  op: kind,
  inputs: {
    x: between(B, T, C),
    weight: learned(F, C),
    bias: learned(F),
    outputWeight: learned(C, F),
    outputBias: learned(C),
    dy: between(B, T, C),
  },
  build: (g, t) =>
    feedForward(g, {
      x: t["x"]!,
      weight: t["weight"]!,
      bias: t["bias"]!,
      outputWeight: t["outputWeight"]!,
      outputBias: t["outputBias"]!,
    }, kind),
  halves: ["feed_forward_u", "feed_forward_h", "feed_forward_du"],
});

const affine = (t: Tensors) => ({ x: t["x"]!, weight: t["weight"]!, bias: t["bias"]! });

/** Attention between its two projections; the last of 64 columns, or of 9, which the general kernel multiplies. */
const attended = (outputs: number): HalfCase => ({
  op: "attention",
  attributes: { heads: HEADS },
  inputs: {
    x: between(B, T, C),
    weight: learned(3 * C, C),
    bias: learned(3 * C),
    out: learned(outputs, C),
    mask: constant([B, T], mask),
    limits: constant([B], keyLimits(mask, T)),
    dy: between(B, T, outputs),
  },
  build: (g, t) => {
    const qkv = linear(g, affine(t), { compact: true });
    const context = attention(g, qkv, { heads: HEADS, mask: t["mask"]!, limits: t["limits"]! });
    return linear(g, { x: context, weight: t["out"]! });
  },
  halves: ["linear", "attention", "attention_dqkv"],
});

const CASES: Record<string, HalfCase> = {
  "attention between its projections": attended(C),
  "attention before a projection of odd width": attended(9),
  "feed-forward, erf GELU": feed("gelu_erf"),
  "feed-forward, tanh GELU": feed("gelu_tanh"),
  "feed-forward, ReLU": feed("relu"),
  "LayerNorm with a residual": {
    op: "layer_norm",
    inputs: {
      x: between(B, T, C),
      residual: between(B, T, C),
      gamma: learned(C),
      beta: learned(C),
      dy: between(B, T, C),
    },
    build: (g, t) =>
      layerNorm(g, { x: t["x"]!, residual: t["residual"]!, gamma: t["gamma"]!, beta: t["beta"]! }, { epsilon: 1e-12 }),
    halves: ["layer_norm_xhat"],
  },
  "an activation of a compact projection": {
    op: "activate",
    inputs: { x: between(B, T, C), weight: learned(F, C), bias: learned(F), dy: between(B, T, F) },
    build: (g, t) => activate(g, linear(g, affine(t), { compact: true }), "gelu_erf"),
    halves: ["linear"],
  },
};

const { "tables in windows": _, ...variants } = VARIANTS;
let answers: Promise<Record<string, number[]>[]> | undefined;
const ask = () =>
  answers ??= askPython(
    "half_ops.py",
    [],
    Object.values(CASES).map(({ op, attributes = {}, inputs }) => ({
      op,
      attributes,
      inputs: Object.fromEntries(
        Object.entries(inputs).filter(([name]) => name !== "limits")
          .map(([name, { shape, values }]) => [name, { shape, data: [...values] }]),
      ),
    })),
  );

for (const [variant, target] of Object.entries(variants)) {
  Object.entries(CASES).forEach(([name, { inputs, build, halves }], index) => {
    Deno.test(`16 bits: ${name} (${variant})`, async () => {
      const expected = (await ask())[index]!;
      const made = new Set<string>();
      const { outputs, gradients } = await runGraph(gpu, {
        inputs,
        precision: "f16",
        build: (g, t: Tensors) => {
          const tensor = g.tensor;
          const recording: Graph = {
            ...g,
            tensor(label, shape, element) {
              if (element === "f16") made.add(label);
              return tensor(label, shape, element);
            },
          };
          const y = build(recording, t);
          return { outputs: { y }, seeds: [[y, t["dy"]!]] as const };
        },
      }, target);
      const results: Record<string, Float32Array> = {
        y: outputs.y,
        ...Object.fromEntries(Object.entries(gradients).map(([input, value]) => [`d${input}`, value])),
      };
      for (const [output, values] of Object.entries(expected)) {
        // What adds up to nothing has no relative difference: keys' bias does not matter to a softmax.
        assert.ok(norm(values) > 0, output);
        const difference = relativeDifference(results[output]!, values);
        assert.ok(difference <= TOLERANCE, `${output} differs by ${difference}`);
      }
      assert.deepEqual(halves.filter((half) => made.has(half)), halves);
    });
  });
}
