/** Activation functions by name: the ones a configuration may choose for the hidden layers of heads. */
import { defineOp, flatType, type Graph, linearGrid } from "../graph.ts";
import type { Tensor } from "../tensor.ts";
import { activate, tanh } from "./elementwise.ts";
import { KERNELS } from "./kernels.ts";

/** An activation function. */
export interface Activation {
  /** One line for people. */
  readonly summary: string;
  readonly apply: (g: Graph, x: Tensor) => Tensor;
}

/** y = f(x), f a function of `kernels/activation.wgsl`; with `into` and `saved` into += x ∘ f'(saved). */
function run(g: Graph, name: string, x: Tensor, saved?: Tensor, into?: Tensor): Tensor {
  const y = into ?? g.tensor(name, x.shape);
  const { T, count } = flatType(x.shape);
  g.emit({
    kernel: KERNELS.activation,
    constants: { ACTIVATION: name, T, DERIVATIVE: saved ? 1 : 0, ACCUMULATE: into ? 1 : 0 },
    bindings: saved ? { x, y, saved } : { x, y },
    dims: { count },
    grid: linearGrid(count / 64),
  });
  return y;
}

const activationOp = defineOp<{ x: Tensor }, { name: string }, undefined>("activation", {
  forward: (g, { x }, { name }) => ({ output: run(g, name, x), saved: undefined }),
  backward: (g, { x }, dy, _, { name }) => ({ x: (into) => run(g, name, dy, x, into) }),
});

/** An activation whose function and derivative stand in `kernels/activation.wgsl` under that name. */
const inKernel = (name: string, summary: string): Activation => ({
  summary,
  apply: (g, x) => activationOp(g, { x }, { name }),
});

/** Every activation function, as the function of that name in `torch.nn.functional` (leakyrelu: `leaky_relu`). */
export const ACTIVATIONS = {
  gelu: { summary: "x·Φ(x) with the normal distribution Φ by erf", apply: (g, x) => activate(g, x, "gelu_erf") },
  silu: inKernel("silu", "x·σ(x), also called swish"),
  relu: inKernel("relu", "max(x, 0)"),
  leakyrelu: inKernel("leakyrelu", "x where positive, else 0.01·x"),
  mish: inKernel("mish", "x·tanh(log(1 + e^x)), smooth and not monotonic"),
  tanh: { summary: "hyperbolic tangent, bounded by ±1", apply: (g, x) => tanh(g, x) },
  sigmoid: inKernel("sigmoid", "1 / (1 + e^-x), bounded by 0 and 1"),
} as const satisfies Readonly<Record<string, Activation>>;

/** The name of an activation function. */
export type ActivationName = keyof typeof ACTIVATIONS;

/** y = f(x) element by element, f by its name in `ACTIVATIONS`; exact at any finite x. x [...] → y [...]. */
export function activation(g: Graph, x: Tensor, name: ActivationName): Tensor {
  return ACTIVATIONS[name].apply(g, x);
}
