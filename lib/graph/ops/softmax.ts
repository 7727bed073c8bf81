/** Softmax over the last dimension, or over the tokens of each text. */
import { defineOp, expectShape, type Graph, rowKernel } from "../graph.ts";
import { elementCount, type Tensor, width } from "../tensor.ts";
import { KERNELS } from "./kernels.ts";
import { accumulate } from "./elementwise.ts";

interface Attributes {
  /** Elements per row. */
  readonly columns: number;
  /** One word per element: 1 where it counts. */
  readonly mask: Tensor | undefined;
}

function run(g: Graph, tensors: Readonly<Record<string, Tensor>>, { columns, mask }: Attributes): Tensor {
  const rows = elementCount(tensors["y"]!.shape) / columns;
  const { constants, grid } = rowKernel(g.target, rows);
  g.emit({
    kernel: KERNELS.softmax,
    constants: { ...constants, BACKWARD: "dy" in tensors ? 1 : 0, MASK: mask ? 1 : 0 },
    bindings: { ...tensors, ...(mask ? { mask } : {}) },
    dims: { rows, columns },
    grid,
  });
  return tensors["y"]!;
}

const softmaxOp = defineOp<{ x: Tensor }, Attributes, Tensor>("softmax", {
  forward(g, { x }, attributes) {
    const y = run(
      g,
      { x, y: g.tensor("softmax", x.shape) },
      attributes,
    );
    return { output: y, saved: y };
  },
  backward: (g, { x }, dy, y, attributes) => ({
    x: (into) => {
      const dx = run(g, { x: y, y: g.tensor("softmax_dx", x.shape), dy }, attributes);
      if (into) accumulate(g, dx, into);
      return into ?? dx;
    },
  }),
});

/** y = softmax(x) over the last dimension, as `torch.softmax(x, -1)`. x [..., N] → y [..., N]. */
export function softmax(g: Graph, x: Tensor): Tensor {
  return softmaxOp(g, { x }, { columns: width(x), mask: undefined });
}

/**
 * y = softmax over the real tokens of each text, as `torch.softmax(scores.masked_fill(mask == 0, -inf), 1)`; 0 for
 * padding, whatever its scores, and for a text without tokens. scores [B, T, 1], mask [B, T] → y [B, T, 1].
 */
export function tokenSoftmax(g: Graph, scores: Tensor, mask: Tensor): Tensor {
  const [batch, length] = mask.shape as [number, number];
  expectShape("tokenSoftmax", "scores", scores, [batch, length, 1]);
  return softmaxOp(g, { x: scores }, { columns: length, mask });
}
