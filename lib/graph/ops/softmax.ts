/** Softmax over the last dimension. */
import { defineOp, type Graph, rowKernel } from "../graph.ts";
import { rowCount, type Tensor, width } from "../tensor.ts";
import { KERNELS } from "./kernels.ts";
import { accumulate } from "./elementwise.ts";

const softmaxOp = defineOp<{ x: Tensor }, undefined, Tensor>("softmax", {
  forward(g, { x }) {
    const y = g.tensor("softmax", x.shape);
    const rows = rowCount(x.shape);
    const { constants, grid } = rowKernel(g.target, rows);
    const dims = { rows, columns: width(x) };
    g.emit({ kernel: KERNELS.softmax, constants: { ...constants, BACKWARD: 0 }, bindings: { x, y }, dims, grid });
    return { output: y, saved: y };
  },
  backward: (g, { x }, dy, y) => ({
    x: (into) => {
      const dx = g.tensor("softmax_dx", x.shape);
      const rows = rowCount(x.shape);
      const { constants, grid } = rowKernel(g.target, rows);
      const dims = { rows, columns: width(x) };
      const bindings = { x: y, y: dx, dy };
      g.emit({ kernel: KERNELS.softmax, constants: { ...constants, BACKWARD: 1 }, bindings, dims, grid });
      if (into) accumulate(g, dx, into);
      return into ?? dx;
    },
  }),
});

/** y = softmax(x) over the last dimension, as `torch.softmax(x, -1)`. x [..., N] → y [..., N]. */
export function softmax(g: Graph, x: Tensor): Tensor {
  return softmaxOp(g, { x }, undefined);
}
