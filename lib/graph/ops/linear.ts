/** Linear layers: one GEMM forward, two backward, with bias and activation fused. */
import {
  type ActivationKind,
  gemmDispatch,
  type GemmEpilogue,
  type GemmLayout,
  type GemmRequest,
  storesHalf,
} from "../../gpu/gemm.ts";
import { defineOp, type Graph } from "../graph.ts";
import { type ElementType, rowCount, type Tensor, width } from "../tensor.ts";
import { columnSum } from "./column_sum.ts";

type Inputs = { x: Tensor; weight: Tensor; bias?: Tensor };

/** Runs a GEMM in one of three layouts: nt C = A·Bᵀ, nn C = A·B, tn C = Aᵀ·B. Shapes in `gpu/gemm.ts`. */
function gemm(
  g: Graph,
  layout: GemmLayout,
  a: Tensor,
  b: Tensor,
  c: Tensor,
  epilogue: GemmEpilogue,
  bound: { bias?: Tensor; aux?: Tensor } = {},
): Tensor {
  const m = layout === "tn" ? width(a) : rowCount(a.shape);
  const n = layout === "nt" ? b.shape[0]! : width(b);
  const k = layout === "tn" ? rowCount(a.shape) : width(a);
  const { preset, subgroupSize } = g.target;
  const operands = { a, b, c, ...(bound.aux ? { aux: bound.aux } : {}) };
  const half = (Object.keys(operands) as (keyof typeof operands)[]).filter((name) => operands[name]?.element === "f16");
  const request: GemmRequest = { layout, m, n, k, epilogue, preset, subgroupSize, half };
  g.products.push(request);
  const product = gemmDispatch({ ...request, variant: g.target.variantOf?.(request) });
  const { kernel, constants, dims, grid, second, scratch, later = [] } = product;
  if (second && scratch) {
    const partials = g.tensor("gemm_partials", scratch);
    g.emit({ kernel, constants, bindings: { a, b, c: partials, ...bound }, dims, grid });
    g.emit({ ...second, bindings: { partials, c } });
  } else {
    for (const step of [{ kernel, constants, dims, grid }, ...later]) {
      g.emit({ ...step, bindings: { a, b, c, ...bound } });
    }
  }
  return c;
}

/** How y = x·Wᵀ is stored where a graph keeps its activations in 16 bits, and sizes allow it. */
function compact(g: Graph, x: Tensor, weight: Tensor): ElementType {
  const [m, n, k] = [rowCount(x.shape), weight.shape[0]!, width(x)];
  const { preset, subgroupSize } = g.target;
  const request = { layout: "nt", m, n, k, epilogue: "none", preset, subgroupSize } as const;
  return g.precision === "f16" && storesHalf(request) ? "f16" : "f32";
}

function inputGradient(g: Graph, { x, weight }: Inputs, dy: Tensor) {
  return (into: Tensor | undefined) =>
    gemm(g, "nn", dy, weight, into ?? g.tensor("linear_dx", x.shape), into ? "accumulate" : "none");
}

const weightGradient = (g: Graph, { x }: Inputs, dy: Tensor) => (into: Tensor | undefined) =>
  gemm(g, "tn", dy, x, into!, "accumulate");

const linearOp = defineOp<Inputs, { compact: boolean }, undefined>("linear", {
  forward(g, { x, weight, bias }, attributes) {
    const shape = [...x.shape.slice(0, -1), weight.shape[0]!];
    const y = g.tensor("linear", shape, attributes.compact ? compact(g, x, weight) : "f32");
    const output = bias ? gemm(g, "nt", x, weight, y, "bias", { bias }) : gemm(g, "nt", x, weight, y, "none");
    return { output, saved: undefined };
  },
  backward: (g, inputs, dy) => ({
    x: inputGradient(g, inputs, dy), //                 dx [M, K] = dy·W
    weight: weightGradient(g, inputs, dy), //           dW [N, K] = dyᵀ·x
    bias: (into) => columnSum(g, dy, into), //          db [N]
  }),
});

/**
 * y = x·Wᵀ + b, as `torch.nn.Linear`, with or without b. x [..., K], weight [N, K], bias [N] → y [..., N]. With `compact`
 * y takes 16 bits an element where the graph's precision says so: not every op reads that.
 */
export function linear(g: Graph, inputs: Inputs, options: { compact?: boolean } = {}): Tensor {
  return linearOp(g, inputs, { compact: options.compact ?? false });
}

type FeedForwardInputs = { x: Tensor; weight: Tensor; bias: Tensor; outputWeight: Tensor; outputBias: Tensor };

interface FeedForwardSaved {
  /** Pre-activation x·Wᵀ + b. [M, F] */
  readonly u: Tensor;
  /** f(u). [M, F] */
  readonly h: Tensor;
}

interface FeedForwardAttributes {
  readonly activation: ActivationKind;
  /** Whether the backward pass makes u and h once more instead of keeping them. */
  readonly recompute: boolean;
}

function inner(g: Graph, { x, weight, bias }: FeedForwardInputs, { activation }: FeedForwardAttributes) {
  const u = g.tensor("feed_forward_u", [...x.shape.slice(0, -1), weight.shape[0]!], compact(g, x, weight));
  const h = g.tensor("feed_forward_h", u.shape, u.element);
  gemm(g, "nt", x, weight, h, `bias_${activation}`, { bias, aux: u });
  return { u, h };
}

const feedForwardOp = defineOp<FeedForwardInputs, FeedForwardAttributes, FeedForwardSaved>("feed_forward", {
  forward(g, inputs, attributes) {
    const { x, outputWeight, outputBias } = inputs;
    const saved = inner(g, inputs, attributes);
    const y = g.tensor("feed_forward", [...x.shape.slice(0, -1), outputWeight.shape[0]!]);
    gemm(g, "nt", saved.h, outputWeight, y, "bias", { bias: outputBias });
    return { output: y, saved };
  },
  backward(g, inputs, dy, saved, attributes) {
    const { activation, recompute } = attributes;
    const { u, h } = recompute ? inner(g, inputs, attributes) : saved;
    const du = g.tensor("feed_forward_du", u.shape, u.element); // du [M, F] = (dy·W₂) ∘ f'(u)
    gemm(g, "nn", dy, inputs.outputWeight, du, `d${activation}`, { aux: u });
    return {
      x: inputGradient(g, inputs, du), //                                            dx [M, K] = du·W₁
      weight: weightGradient(g, inputs, du), //                                      dW₁ [F, K] = duᵀ·x
      bias: (into) => columnSum(g, du, into), //                                     db₁ [F]
      outputWeight: weightGradient(g, { ...inputs, x: h }, dy), //                   dW₂ [N, F] = dyᵀ·h
      outputBias: (into) => columnSum(g, dy, into), //                               db₂ [N]
    };
  },
});

/**
 * y = f(x·W₁ᵀ + b₁)·W₂ᵀ + b₂, the transformer's feed-forward block with activation f.
 * x [..., K], weight [F, K], bias [F], outputWeight [N, F], outputBias [N] → y [..., N].
 */
export function feedForward(g: Graph, inputs: FeedForwardInputs, activation: ActivationKind): Tensor {
  return feedForwardOp(g, inputs, { activation, recompute: g.recompute === "feed_forward" });
}
