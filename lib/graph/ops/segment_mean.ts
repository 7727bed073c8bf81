/** One vector per segment of a text, such as its sentences: the mean over the segment's tokens. */
import { columnType, defineOp, expectShape, type Graph, linearGrid } from "../graph.ts";
import { type Tensor, width } from "../tensor.ts";
import { KERNELS } from "./kernels.ts";

interface Attributes {
  /** [B, T] */
  readonly segments: Tensor;
  readonly count: number;
}

const segmentMeanOp = defineOp<{ x: Tensor }, Attributes, Tensor>("segment_mean", {
  forward(g, { x }, { segments, count }) {
    const [batch, length] = x.shape as [number, number, number];
    const ranges = g.tensor("segment_ranges", [batch, count, 4]);
    g.emit({
      kernel: KERNELS.segmentRanges,
      constants: {},
      bindings: { segments, ranges },
      dims: { batch, length, count },
      grid: linearGrid((batch * count) / 64),
    });
    const out = g.tensor("segment_mean", [batch, count, width(x)]);
    const { T, WIDTH } = columnType(x);
    g.emit({
      kernel: KERNELS.segmentMeanForward,
      constants: { T, WIDTH },
      bindings: { x, segments, ranges, out },
      dims: { rows: batch * count, length, count },
      grid: linearGrid((batch * count * WIDTH) / 64),
    });
    return { output: out, saved: ranges };
  },
  backward: (g, { x }, dout, ranges, { segments, count }) => ({
    x: (into) => {
      const [batch, length] = x.shape as [number, number, number];
      const dx = into ?? g.tensor("segment_mean_dx", x.shape);
      const { T, WIDTH } = columnType(x);
      g.emit({
        kernel: KERNELS.segmentMeanBackward,
        constants: { T, WIDTH, ACCUMULATE: into ? 1 : 0 },
        bindings: { dout, segments, ranges, dx },
        dims: { rows: batch * length, length, count },
        grid: linearGrid((batch * length * WIDTH) / 64),
      });
      return dx;
    },
  }),
});

/**
 * y[b, s] = mean of x[b, t] over the tokens t with segments[b, t] = s; 0 where there is none. Tokens of segment `count` or
 * more (0xffffffff for padding) belong to none. x [B, T, C], segments [B, T] u32 → y [B, count, C]; fast where a segment's
 * tokens are neighbours.
 */
export function segmentMean(g: Graph, x: Tensor, segments: Tensor, count: number): Tensor {
  expectShape("segmentMean", "segments", segments, x.shape.slice(0, 2));
  return segmentMeanOp(g, { x }, { segments, count });
}
