/** Concatenation, slices and sums of slices along the last dimension. */
import { defineOp, expectShape, type Graph, linearGrid } from "../graph.ts";
import { rowCount, type Tensor, width } from "../tensor.ts";
import { accumulate, copy } from "./elementwise.ts";
import { KERNELS } from "./kernels.ts";

/** Copies `columns` columns of x from `xFirst` on to y from `yFirst` on. */
function copyColumns(
  g: Graph,
  x: Tensor,
  y: Tensor,
  { columns, xFirst = 0, yFirst = 0 }: { columns: number; xFirst?: number; yFirst?: number },
  mode: "replace" | "accumulate" | "fill" = "replace",
): Tensor {
  const counts = { columns, x_width: width(x), x_first: xFirst, y_width: width(y), y_first: yFirst };
  const lanes = Object.values(counts).every((count) => count % 4 === 0) ? 4 : 1;
  const dims = Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, count / lanes]));
  const rows = rowCount(x.shape);
  g.emit({
    kernel: KERNELS.copyColumns,
    constants: {
      T: lanes === 4 ? "vec4f" : "f32",
      ACCUMULATE: mode === "accumulate" ? 1 : 0,
      FILL: mode === "fill" ? 1 : 0,
    },
    bindings: { x, y },
    dims: { rows, ...dims },
    grid: linearGrid((rows * (mode === "fill" ? width(y) : columns)) / lanes / 64),
  });
  return y;
}

const inputName = (index: number): string => `x${index}`;

const concatOp = defineOp<Record<string, Tensor>, { starts: readonly number[]; total: number }, undefined>("concat", {
  forward(g, inputs, { starts, total }) {
    const xs = Object.values(inputs);
    const y = g.tensor("concat", [...xs[0]!.shape.slice(0, -1), total]);
    xs.forEach((x, i) => copyColumns(g, x, y, { columns: width(x), yFirst: starts[i]! }));
    return { output: y, saved: undefined };
  },
  backward: (g, inputs, dy, _, { starts }) =>
    Object.fromEntries(
      Object.entries(inputs).map(([name, x], i) => [
        name,
        (into: Tensor | undefined) =>
          copyColumns(
            g,
            dy,
            into ?? g.tensor("concat_dx", x.shape),
            { columns: width(x), xFirst: starts[i]! },
            into ? "accumulate" : "replace",
          ),
      ]),
    ),
});

/**
 * y = the tensors side by side along the last dimension, as `torch.cat(xs, -1)`. xs [..., Nᵢ], at least two → y [..., ΣNᵢ].
 *
 * @throws {RangeError} when there are fewer than two, or they differ in more than the last dimension
 */
export function concat(g: Graph, xs: readonly Tensor[]): Tensor {
  const [first] = xs;
  if (!first || xs.length < 2) throw new RangeError(`concat: expected at least 2 tensors but found ${xs.length}`);
  const starts: number[] = [];
  let total = 0;
  xs.forEach((x, i) => {
    expectShape("concat", `tensor ${i}`, x, [...first.shape.slice(0, -1), width(x)]);
    starts.push(total);
    total += width(x);
  });
  return concatOp(g, Object.fromEntries(xs.map((x, i) => [inputName(i), x])), { starts, total });
}

const sliceOp = defineOp<{ x: Tensor }, { start: number; columns: number }, undefined>("slice", {
  forward(g, { x }, { start, columns }) {
    const y = g.tensor("slice", [...x.shape.slice(0, -1), columns]);
    return { output: copyColumns(g, x, y, { columns, xFirst: start }), saved: undefined };
  },
  backward: (g, { x }, dy, _, { start, columns }) => ({
    x: (into) =>
      copyColumns(
        g,
        dy,
        into ?? g.tensor("slice_dx", x.shape),
        { columns, yFirst: start },
        into ? "accumulate" : "fill",
      ),
  }),
});

/**
 * y = x[..., start : start + columns], as `torch.narrow(x, -1, start, columns)`. x [..., N] → y [..., columns].
 *
 * @throws {RangeError} when x does not have these columns
 */
export function slice(g: Graph, x: Tensor, start: number, columns: number): Tensor {
  if (!(start >= 0 && columns > 0 && start + columns <= width(x))) {
    throw new RangeError(`slice: expected columns within 0 and ${width(x)} but found ${start} to ${start + columns}`);
  }
  return sliceOp(g, { x }, { start, columns });
}

const addColumnsOp = defineOp<Record<string, Tensor>, { starts: Readonly<Record<string, number>> }, undefined>(
  "add_columns",
  {
    forward(g, { x, ...deltas }, { starts }) {
      const y = copy(g, x!);
      for (const [name, delta] of Object.entries(deltas)) {
        copyColumns(g, delta, y, { columns: width(delta), yFirst: starts[name]! }, "accumulate");
      }
      return { output: y, saved: undefined };
    },
    backward: (g, { x: _, ...deltas }, dy, _saved, { starts }) => ({
      // dx is dy itself; autodiff copies it before it adds to it.
      x: (into) => {
        if (into) accumulate(g, dy, into);
        return into ?? dy;
      },
      ...Object.fromEntries(
        Object.entries(deltas).map(([name, delta]) => [
          name,
          (into: Tensor | undefined) =>
            copyColumns(
              g,
              dy,
              into ?? g.tensor("add_columns_ddelta", delta.shape),
              { columns: width(delta), xFirst: starts[name]! },
              into ? "accumulate" : "replace",
            ),
        ]),
      ),
    }),
  },
);

/**
 * y = x with each delta added to the columns from its start on. x [..., N], deltas [..., Nᵢ] → y [..., N].
 *
 * @throws {RangeError} when a delta has other rows than x, or columns that x does not have
 */
export function addColumns(g: Graph, x: Tensor, deltas: readonly { start: number; delta: Tensor }[]): Tensor {
  deltas.forEach(({ start, delta }, i) => {
    expectShape("add_columns", `delta ${i}`, delta, [...x.shape.slice(0, -1), width(delta)]);
    if (!(start >= 0 && start + width(delta) <= width(x))) {
      throw new RangeError(
        `add_columns: expected columns within 0 and ${width(x)} but found ${start} to ${start + width(delta)}`,
      );
    }
  });
  const inputs = Object.fromEntries(deltas.map(({ delta }, i) => [inputName(i), delta]));
  const starts = Object.fromEntries(deltas.map(({ start }, i) => [inputName(i), start]));
  return addColumnsOp(g, { x, ...inputs }, { starts });
}
