/**
 * What the evidence heads are made of: scores of all short spans, losses against the gold spans of a text, and the best
 * spans of a text. Gold spans are tags [B, T, K] of 32-bit words (0 outside, 1 the first token of a span, 2 a later one),
 * so that a text may have any number of them, or none.
 */
import { defineOp, expectShape, type Graph, linearGrid, rowKernel } from "../graph.ts";
import { elementCount, type Tensor, width } from "../tensor.ts";
import { KERNELS } from "./kernels.ts";
import type { Loss } from "./losses.ts";

/** What every span loss is held against. */
export interface SpanTargets {
  /** [B, T, K] */
  readonly tags: Tensor;
  /** [B]: 1 + the last real token of each text. */
  readonly limits: Tensor;
  /** [B, K] */
  readonly weight: Tensor;
}

/** Runs `band_scores.wgsl` for one of its outputs. */
function band(
  g: Graph,
  part: 0 | 1 | 2 | 3,
  shape: readonly [batch: number, length: number, criteria: number, size: number, band: number],
  bindings: Readonly<Record<string, Tensor>>,
  into: boolean,
  threads: number,
): void {
  const [batch, length, CRITERIA, size, BAND] = shape;
  g.emit({
    kernel: KERNELS.bandScores,
    constants: { PART: part, CRITERIA, WIDTH: size / 4, BAND, ACCUMULATE: into ? 1 : 0 },
    bindings,
    dims: { batch, length },
    grid: linearGrid(threads / 64),
  });
}

const bandOp = defineOp<{ q: Tensor; e: Tensor; ends: Tensor }, { band: number }, undefined>("band_scores", {
  forward(g, { q, e, ends }, { band: BAND }) {
    const [batch, length, size] = e.shape as [number, number, number];
    const criteria = width(ends) / 2;
    if (size % 4 !== 0) throw new RangeError(`Expected band_scores to have a multiple of 4 columns but found ${size}`);
    expectShape("band_scores", "q", q, [batch, length, criteria * size]);
    expectShape("band_scores", "ends", ends, [batch, length, 2 * criteria]);
    const scores = g.tensor("band_scores", [batch, length, criteria * BAND]);
    const shape = [batch, length, criteria, size, BAND] as const;
    band(g, 0, shape, { q, e, ends, scores }, false, elementCount(scores.shape));
    return { output: scores, saved: undefined };
  },
  backward(g, { q, e, ends }, dscores, _, { band: BAND }) {
    const [batch, length, size] = e.shape as [number, number, number];
    const shape = [batch, length, width(ends) / 2, size, BAND] as const;
    return {
      q: (into) => {
        const dq = into ?? g.tensor("band_dq", q.shape);
        band(g, 1, shape, { dscores, e, dq }, into !== undefined, elementCount(q.shape) / 4);
        return dq;
      },
      e: (into) => {
        const de = into ?? g.tensor("band_de", e.shape);
        band(g, 2, shape, { dscores, q, de }, into !== undefined, elementCount(e.shape) / 4);
        return de;
      },
      ends: (into) => {
        const dends = into ?? g.tensor("band_dends", ends.shape);
        band(g, 3, shape, { dscores, dends }, into !== undefined, elementCount(ends.shape));
        return dends;
      },
    };
  },
});

/**
 * Biaffine scores of the spans of at most `band` tokens (Dozat & Manning 2017): q [B, T, K·D] is the start times the
 * bilinear form, e [B, T, D] the end, ends [B, T, 2K] the linear terms of start and end → [B, T, K·band], where column
 * k·band + l of row i is the span from token i to i + l. D is a multiple of 4.
 */
export function bandScores(g: Graph, inputs: { q: Tensor; e: Tensor; ends: Tensor }, band: number): Tensor {
  return bandOp(g, inputs, { band });
}

/**
 * Cross-entropy of span starts and ends over a text's tokens, the mean of both; several gold spans share the probability
 * evenly, and [CLS] has it where there is none. As `torch.nn.functional.cross_entropy` with class probabilities, weighted
 * per (text, criterion) and by `StepScalars.spanScale`. logits [B, T, 2K].
 */
export function boundaryLoss(g: Graph, logits: Tensor, { tags: gold, limits, weight }: SpanTargets): Loss {
  const [batch, length] = logits.shape as [number, number, number];
  const rows = batch * width(logits);
  const items = g.tensor("boundary_items", [rows]);
  const dlogits = g.tensor("boundary_dlogits", logits.shape);
  const { constants, grid } = rowKernel(g.target, rows);
  g.emit({
    kernel: KERNELS.boundaryLoss,
    constants: { ...constants, CRITERIA: width(logits) / 2 },
    bindings: { logits, gold, limits, weight, dlogits, items },
    dims: { batch, length },
    grid,
  });
  return { items, dlogits };
}

/**
 * Cross-entropy over all spans of {@link bandScores} within a text, [CLS] alone being "no evidence"; weights and shares as
 * in {@link boundaryLoss}. A gold span longer than the band counts as its beginning. scores [B, T, K·band].
 */
export function spanGridLoss(g: Graph, scores: Tensor, { tags: gold, limits, weight }: SpanTargets): Loss {
  const [batch, length] = scores.shape as [number, number, number];
  const CRITERIA = width(weight), BAND = width(scores) / CRITERIA;
  const rows = batch * CRITERIA;
  const items = g.tensor("span_grid_items", [rows]);
  const dlogits = g.tensor("span_grid_dscores", scores.shape);
  const { constants, grid } = rowKernel(g.target, rows);
  g.emit({
    kernel: KERNELS.spanGridLoss,
    constants: { ...constants, CRITERIA, BAND },
    bindings: { scores, gold, limits, weight, dscores: dlogits, items },
    dims: { batch, length },
    grid,
  });
  return { items, dlogits };
}

/**
 * Binary cross-entropy over the sentences of a text, the mean over its sentences: positive where one of its tokens is
 * evidence. logits [B, S, K]; segments [B, T] of 32-bit words, the sentence of each token, 0xffffffff for none.
 */
export function sentenceLoss(
  g: Graph,
  logits: Tensor,
  { tags: gold, weight, segments }: Pick<SpanTargets, "tags" | "weight"> & { segments: Tensor },
): Loss {
  const [batch, sentences] = logits.shape as [number, number, number];
  const items = g.tensor("sentence_items", logits.shape);
  const dlogits = g.tensor("sentence_dlogits", logits.shape);
  g.emit({
    kernel: KERNELS.sentenceLoss,
    constants: { CRITERIA: width(logits) },
    bindings: { logits, segments, gold, weight, dlogits, items },
    dims: { batch, length: width(segments), sentences },
    grid: linearGrid(elementCount(logits.shape) / 64),
  });
  return { items, dlogits };
}

/** Words per (text, criterion) of {@link topSpans}. */
export const topSpanWords = (count: number): number => 1 + 3 * count;

/**
 * The best `count` spans of every text and criterion, no two of which share a token, by boundary logits [B, T, 2K] or by
 * span scores [B, T, K·band] (`grid`). Spans have at most `band` tokens and lie between `begins` [B] and the separator that
 * ends the text → [B, K, 1 + 3·count] of 32-bit words: the null score (float), then of each span the first token, the last
 * token (0, 0 where none is left) and the score (float).
 */
export function topSpans(
  g: Graph,
  scores: Tensor,
  { begins, limits, criteria, band, count, grid }: {
    begins: Tensor;
    limits: Tensor;
    criteria: number;
    band: number;
    count: number;
    grid: boolean;
  },
): Tensor {
  const [batch, length] = scores.shape as [number, number, number];
  const spans = g.tensor("top_spans", [batch, criteria, topSpanWords(count)]);
  g.emit({
    kernel: KERNELS.topSpans,
    constants: { CRITERIA: criteria, BAND: band, SPANS: count, GRID: grid ? 1 : 0 },
    bindings: { scores, begins, limits, spans },
    dims: { batch, length },
    grid: linearGrid(batch * criteria),
  });
  return spans;
}
