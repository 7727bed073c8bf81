/** Sums, products and gates of tensors of one shape, element by element. */
import { defineOp, expectShape, flatType, type Graph, linearGrid } from "../graph.ts";
import type { Tensor } from "../tensor.ts";
import { accumulate } from "./elementwise.ts";
import { KERNELS } from "./kernels.ts";

/** The functions of `kernels/combine.wgsl`. */
const FUNCTION = { add: 0, multiply: 1, scale: 2, gate: 3, gate_da: 4, gate_db: 5, gate_dz: 6 } as const;

function run(
  g: Graph,
  name: keyof typeof FUNCTION,
  bindings: { a: Tensor; b?: Tensor; z?: Tensor; d?: Tensor },
  { into, factor = 1 }: { into?: Tensor | undefined; factor?: number } = {},
): Tensor {
  const y = into ?? g.tensor(name, bindings.a.shape);
  const { T, count } = flatType(bindings.a.shape);
  g.emit({
    kernel: KERNELS.combine,
    constants: { FUNCTION: FUNCTION[name], T, ACCUMULATE: into ? 1 : 0 },
    bindings: { ...bindings, y },
    dims: { count, factor },
    grid: linearGrid(count / 64),
  });
  return y;
}

const addOp = defineOp<{ a: Tensor; b: Tensor }, undefined, undefined>("add", {
  forward: (g, inputs) => ({ output: run(g, "add", inputs), saved: undefined }),
  backward(g, _, dy) {
    // Both gradients are dy itself; autodiff copies it before it adds to one of them.
    const share = (into: Tensor | undefined) => {
      if (into) accumulate(g, dy, into);
      return into ?? dy;
    };
    return { a: share, b: share };
  },
});

/** y = a + b. a, b [...] of one shape → y [...]. */
export function add(g: Graph, a: Tensor, b: Tensor): Tensor {
  expectShape("add", "b", b, a.shape);
  return addOp(g, { a, b }, undefined);
}

const multiplyOp = defineOp<{ a: Tensor; b: Tensor }, undefined, undefined>("multiply", {
  forward: (g, inputs) => ({ output: run(g, "multiply", inputs), saved: undefined }),
  backward: (g, { a, b }, dy) => ({
    a: (into) => run(g, "multiply", { a: dy, b }, { into }), //     da = dy ∘ b
    b: (into) => run(g, "multiply", { a: dy, b: a }, { into }), //  db = dy ∘ a
  }),
});

/** y = a ∘ b. a, b [...] of one shape → y [...]. */
export function multiply(g: Graph, a: Tensor, b: Tensor): Tensor {
  expectShape("multiply", "b", b, a.shape);
  return multiplyOp(g, { a, b }, undefined);
}

const scaleOp = defineOp<{ x: Tensor }, { factor: number }, undefined>("scale", {
  forward: (g, { x }, { factor }) => ({ output: run(g, "scale", { a: x }, { factor }), saved: undefined }),
  backward: (g, _, dy, _saved, { factor }) => ({ x: (into) => run(g, "scale", { a: dy }, { into, factor }) }),
});

/** y = factor · x, the factor a constant of the graph. x [...] → y [...]. */
export function scale(g: Graph, x: Tensor, factor: number): Tensor {
  return scaleOp(g, { x }, { factor });
}

const gateOp = defineOp<{ a: Tensor; b: Tensor; z: Tensor }, undefined, undefined>("gate", {
  forward: (g, inputs) => ({ output: run(g, "gate", inputs), saved: undefined }),
  backward: (g, { a, b, z }, dy) => ({
    a: (into) => run(g, "gate_da", { a: dy, z }, { into }), //           da = σ(z) ∘ dy
    b: (into) => run(g, "gate_db", { a: dy, z }, { into }), //           db = (1 - σ(z)) ∘ dy
    z: (into) => run(g, "gate_dz", { a, b, z, d: dy }, { into }), //     dz = σ'(z) ∘ (a - b) ∘ dy
  }),
});

/** y = σ(z) ∘ a + (1 - σ(z)) ∘ b. a, b, z [...] of one shape → y [...]. */
export function gate(g: Graph, a: Tensor, b: Tensor, z: Tensor): Tensor {
  expectShape("gate", "b", b, a.shape);
  expectShape("gate", "z", z, a.shape);
  return gateOp(g, { a, b, z }, undefined);
}
