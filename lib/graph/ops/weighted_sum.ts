/** Sums of tensors weighted by learned scalars: mixes of layers, and couplings of two agents. */
import { sumPartials } from "../../gpu/gemm.ts";
import { defineOp, expectShape, flatType, type Graph, linearGrid, rowKernel } from "../graph.ts";
import type { Tensor } from "../tensor.ts";
import { KERNELS } from "./kernels.ts";
import { softmax } from "./softmax.ts";

/** Tensors that one dispatch reads; WebGPU guarantees 8 storage bindings. */
const GROUP = 4;
/** Elements (vec4 where possible) that one row of lanes sums before partial sums are combined. */
const CHUNK = 2048;

/** y (+)= Σ weights[first + i] · xs[i]. */
function accumulateWeighted(
  g: Graph,
  xs: readonly Tensor[],
  weights: Tensor,
  first: number,
  y: Tensor,
  accumulate: boolean,
): void {
  const { T, count } = flatType(y.shape);
  g.emit({
    kernel: KERNELS.weightedSum,
    constants: { T, INPUTS: xs.length, ACCUMULATE: accumulate ? 1 : 0 },
    bindings: { y, weights, ...Object.fromEntries(xs.map((x, i) => [`x${i}`, x])) },
    dims: { count, first },
    grid: linearGrid(count / 64),
  });
}

/** dweights[i] (+)= Σ dy ∘ xs[i], in two stages of fixed order. */
function weightGradient(g: Graph, xs: readonly Tensor[], dy: Tensor, into: Tensor | undefined): Tensor {
  const { T, lanes, count } = flatType(dy.shape);
  const chunks = Math.ceil(count / CHUNK);
  const partial = g.tensor("weighted_sum_partial", [chunks, xs.length]);
  const { constants, grid } = rowKernel(g.target, chunks);
  xs.forEach((x, i) =>
    g.emit({
      kernel: KERNELS.dotPartial,
      constants: { ...constants, T, VECTOR: lanes === 4 ? 1 : 0, CHUNK },
      bindings: { a: dy, b: x, partial },
      dims: { count, stride: xs.length, first: i },
      grid,
    })
  );
  const out = into ?? g.tensor("weighted_sum_dweights", [xs.length]);
  g.emit({ ...sumPartials(chunks, xs.length, into !== undefined), bindings: { partials: partial, c: out } });
  return out;
}

type Inputs = { weights: Tensor } & Record<string, Tensor>;

const weightedSumOp = defineOp<Inputs, undefined, undefined>("weighted_sum", {
  forward(g, { weights, ...rest }) {
    const xs = Object.values(rest);
    const y = g.tensor("weighted_sum", xs[0]!.shape);
    for (let first = 0; first < xs.length; first += GROUP) {
      accumulateWeighted(g, xs.slice(first, first + GROUP), weights, first, y, first > 0);
    }
    return { output: y, saved: undefined };
  },
  backward(g, { weights, ...rest }, dy) {
    const xs = Object.entries(rest);
    const makers = xs.map(([name, x], i) => {
      const make = (into: Tensor | undefined) => { // dxᵢ = wᵢ · dy
        const dx = into ?? g.tensor("weighted_sum_dx", x.shape);
        accumulateWeighted(g, [dy], weights, i, dx, into !== undefined);
        return dx;
      };
      return [name, make] as const;
    });
    return {
      ...Object.fromEntries(makers),
      weights: (into) => weightGradient(g, xs.map(([, x]) => x), dy, into), // dwᵢ = Σ dy ∘ xᵢ
    };
  },
});

/**
 * y = Σ wᵢ · xᵢ with learned scalars w = weights, or w = softmax(weights) for a weighted mean. xs [...] of one shape,
 * weights [n] → y [...].
 *
 * @throws {RangeError} when the tensors differ in shape or there is not one weight for each
 */
export function weightedSum(g: Graph, xs: readonly Tensor[], weights: Tensor, options: { softmax: boolean }): Tensor {
  const [first] = xs;
  if (!first) throw new RangeError("weightedSum: expected at least one tensor but found none");
  xs.forEach((x, i) => expectShape("weightedSum", `tensor ${i}`, x, first.shape));
  expectShape("weightedSum", "weights", weights, [xs.length]);
  const inputs = Object.fromEntries(xs.map((x, i) => [`x${i}`, x]));
  return weightedSumOp(g, { ...inputs, weights: options.softmax ? softmax(g, weights) : weights }, undefined);
}
