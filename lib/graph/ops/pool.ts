/** One vector per text: the [CLS] token, or the mean over real tokens. */
import { defineOp, type Graph } from "../graph.ts";
import { type Tensor, width } from "../tensor.ts";
import { KERNELS } from "./kernels.ts";

/** How tokens become one vector. */
export type Pooling = "cls" | "mean";

interface Attributes {
  readonly pooling: Pooling;
  /** [B, T] */
  readonly mask: Tensor;
}

const poolOp = defineOp<{ x: Tensor }, Attributes, undefined>("pool", {
  forward(g, { x }, { pooling, mask }) {
    const [batch, length] = x.shape as [number, number, number];
    const out = g.tensor("pool", [batch, width(x)]);
    const columns = width(x) / 4;
    g.emit({
      kernel: KERNELS.poolForward,
      constants: { COLUMNS: columns, MEAN: pooling === "mean" ? 1 : 0 },
      bindings: { x, out, ...(pooling === "mean" ? { mask } : {}) },
      dims: { batch, length },
      grid: [Math.ceil((batch * columns) / 64), 1, 1],
    });
    return { output: out, saved: undefined };
  },
  backward: (g, { x }, dout, _, { pooling, mask }) => ({
    x: (into) => {
      const [batch, length] = x.shape as [number, number, number];
      const columns = width(x) / 4;
      const dx = into ?? g.tensor("pool_dx", x.shape);
      g.emit({
        kernel: KERNELS.poolBackward,
        constants: { COLUMNS: columns, MEAN: pooling === "mean" ? 1 : 0, ACCUMULATE: into ? 1 : 0 },
        bindings: { dout, dx, ...(pooling === "mean" ? { mask } : {}) },
        dims: { batch, length },
        grid: [Math.ceil((batch * columns) / 64), 1, 1],
      });
      return dx;
    },
  }),
});

/** Pools x [B, T, C] to [B, C]; `mask` [B, T] marks the real tokens. A fully padded row gives 0 under `mean`. */
export function pool(g: Graph, x: Tensor, pooling: Pooling, mask: Tensor): Tensor {
  return poolOp(g, { x }, { pooling, mask });
}
