/** One vector per text: the [CLS] token, or the mean or the maximum over real tokens. */
import { columnType, defineOp, expectShape, type Graph, linearGrid } from "../graph.ts";
import { type Tensor, width } from "../tensor.ts";
import { KERNELS } from "./kernels.ts";

/** How tokens become one vector. */
export type Pooling = "cls" | "mean" | "max";

interface Attributes {
  readonly pooling: Pooling;
  /** [B, T] */
  readonly mask: Tensor;
}

function specialisation(x: Tensor, pooling: Pooling) {
  const [batch, length] = x.shape as [number, number, number];
  const { T, WIDTH } = columnType(x);
  const flag = (name: Pooling) => pooling === name ? 1 : 0;
  return {
    constants: {
      T,
      U: T === "vec4f" ? "vec4u" : "u32",
      WIDTH,
      CLS: flag("cls"),
      MEAN: flag("mean"),
      MAX: flag("max"),
    },
    dims: { batch, length },
    grid: linearGrid((batch * WIDTH) / 64),
  };
}

const poolOp = defineOp<{ x: Tensor }, Attributes, Tensor | undefined>("pool", {
  forward(g, { x }, { pooling, mask }) {
    const shape = [x.shape[0]!, width(x)];
    const out = g.tensor("pool", shape);
    const winner = pooling === "max" ? g.tensor("pool_winner", shape) : undefined;
    g.emit({
      kernel: KERNELS.poolForward,
      bindings: { x, out, ...(pooling === "cls" ? {} : { mask }), ...(winner ? { winner } : {}) },
      ...specialisation(x, pooling),
    });
    return { output: out, saved: winner };
  },
  backward: (g, { x }, dout, winner, { pooling, mask }) => ({
    x: (into) => {
      const dx = into ?? g.tensor("pool_dx", x.shape);
      const { constants, ...rest } = specialisation(x, pooling);
      g.emit({
        kernel: KERNELS.poolBackward,
        constants: { ...constants, ACCUMULATE: into ? 1 : 0 },
        bindings: { dout, dx, ...(pooling === "mean" ? { mask } : {}), ...(winner ? { winner } : {}) },
        ...rest,
      });
      return dx;
    },
  }),
});

/**
 * Pools x [B, T, C] to [B, C]; `mask` [B, T] marks the real tokens. Of equal maxima the first token has the gradient, as
 * of `torch.max(x, 1)`. A fully padded row gives 0 under `mean` and `max`.
 */
export function pool(g: Graph, x: Tensor, pooling: Pooling, mask: Tensor): Tensor {
  expectShape("pool", "mask", mask, x.shape.slice(0, 2));
  return poolOp(g, { x }, { pooling, mask });
}
