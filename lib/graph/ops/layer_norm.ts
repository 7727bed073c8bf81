/** Residual + dropout + LayerNorm, one fused op with one derivative. */
import { defineOp, type Graph, rowKernel, storage } from "../graph.ts";
import { rowCount, type Tensor, width } from "../tensor.ts";
import { columnSum } from "./column_sum.ts";
import { accumulate, dropoutDims, type DropoutSite, dropoutSite } from "./elementwise.ts";
import { KERNELS } from "./kernels.ts";

interface Attributes {
  readonly epsilon: number;
  readonly drop: DropoutSite | undefined;
}

interface Saved {
  readonly xhat: Tensor;
  readonly rstd: Tensor;
}

function specialisation(g: Graph, x: Tensor) {
  const { constants, grid } = rowKernel(g.target, rowCount(x.shape));
  const columns = width(x) / 4;
  const perLane = Math.ceil(columns / Number(constants["LANES"]));
  return { constants: { ...constants, COLUMNS: columns, PER_LANE: perLane }, grid };
}

type Inputs = { x: Tensor; gamma: Tensor; beta: Tensor; residual?: Tensor };

const layerNormOp = defineOp<Inputs, Attributes, Saved>("layer_norm", {
  forward(g, inputs, { epsilon, drop }) {
    const { x, gamma, beta, residual } = inputs;
    const y = g.tensor("layer_norm", x.shape);
    const xhat = g.tensor("layer_norm_xhat", x.shape, g.precision);
    const rstd = g.tensor("layer_norm_rstd", [rowCount(x.shape)]);
    const { constants, grid } = specialisation(g, x);
    g.emit({
      kernel: KERNELS.layerNormForward,
      constants: { ...constants, RESIDUAL: residual ? 1 : 0, DROPOUT: drop ? 1 : 0, ...storage({ xhat }) },
      bindings: { x, gamma, beta, y, xhat, rstd, ...(residual ? { residual } : {}) },
      dims: { rows: rowCount(x.shape), eps: epsilon, ...dropoutDims(drop) },
      grid,
    });
    return { output: y, saved: { xhat, rstd } };
  },
  backward(g, inputs, dy, { xhat, rstd }, { drop }) {
    const { x, gamma, residual } = inputs;
    const ds = g.tensor("layer_norm_ds", x.shape);
    const dx = drop ? g.tensor("layer_norm_dx", x.shape) : ds;
    const { constants, grid } = specialisation(g, x);
    // Above frozen layers only gamma and beta may want a gradient.
    if (x.requiresGradient || residual?.requiresGradient) {
      g.emit({
        kernel: KERNELS.layerNormBackward,
        constants: { ...constants, DROPOUT: drop ? 1 : 0, ...storage({ xhat }) },
        bindings: { dy, xhat, rstd, gamma, ds, ...(drop ? { dx } : {}) },
        dims: { rows: rowCount(x.shape), ...dropoutDims(drop) },
        grid,
      });
    }
    const added = (value: Tensor) => (into: Tensor | undefined) => {
      if (into) accumulate(g, value, into);
      return into ?? value;
    };
    return {
      x: added(dx), //                                                dx = mask ∘ ds
      residual: added(ds), //                                         dresidual = ds
      gamma: (into) => columnSum(g, dy, into, { other: xhat }), //    dgamma = Σ dy ∘ xhat
      beta: (into) => columnSum(g, dy, into), //                      dbeta = Σ dy
    };
  },
});

/**
 * y = LayerNorm(residual + dropout(x)) · gamma + beta over the last dimension, as `torch.nn.functional.layer_norm`.
 * x, residual [..., C] (C a multiple of 4), gamma, beta [C] → y [..., C].
 */
export function layerNorm(
  g: Graph,
  { x, residual, gamma, beta }: { x: Tensor; residual?: Tensor; gamma: Tensor; beta: Tensor },
  { epsilon, dropout = 0 }: { epsilon: number; dropout?: number },
): Tensor {
  const attributes = { epsilon, drop: dropoutSite(g, dropout) };
  return layerNormOp(g, residual ? { x, gamma, beta, residual } : { x, gamma, beta }, attributes);
}
