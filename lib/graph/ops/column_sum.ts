/** Σ over rows in two stages of fixed order: gradients of biases, LayerNorm parameters and token types. */
import { sumPartials } from "../../gpu/gemm.ts";
import { columnType, type Graph, linearGrid, storage } from "../graph.ts";
import { rowCount, type Tensor, width } from "../tensor.ts";
import { KERNELS } from "./kernels.ts";

/** Rows one thread adds before the partial sums are combined. */
const CHUNK = 64;

/**
 * out[n] = Σ_m x[m, n], or Σ_m x[m, n] · other[m, n], or only over rows where selector[m] = selected, in which case
 * row `selected` of `into` [R, N] is added to. x, other [M, N] → out [N]; `into` is added to.
 */
export function columnSum(
  g: Graph,
  x: Tensor,
  into: Tensor | undefined,
  options: { other?: Tensor; selector?: Tensor; selected?: number } = {},
): Tensor {
  const { other, selector, selected = 0 } = options;
  const rows = rowCount(x.shape);
  const chunks = Math.ceil(rows / CHUNK);
  const { T, WIDTH } = columnType(x);
  const partial = g.tensor("column_partial", [chunks, width(x)]);
  g.emit({
    kernel: KERNELS.columnSum,
    constants: { T, WIDTH, CHUNK, PRODUCT: other ? 1 : 0, SELECT: selector ? 1 : 0, ...storage({ x, other }, T) },
    bindings: { x, partial, ...(other ? { other } : {}), ...(selector ? { selector } : {}) },
    dims: { rows, selected },
    grid: linearGrid((chunks * WIDTH) / 64),
  });
  const out = into ?? g.tensor("column_sum", [width(x)]);
  const columns = width(x);
  g.emit({
    ...sumPartials(chunks, columns, into !== undefined, selected * columns),
    bindings: { partials: partial, c: out },
  });
  return out;
}
