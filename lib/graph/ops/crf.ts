/**
 * A linear-chain conditional random field over the tags O, B, I of each criterion (Lafferty, McCallum & Pereira 2001):
 * the exact negative log-likelihood with its derivatives, and the most probable tags.
 */
import type { GradientMaker, Graph } from "../graph.ts";
import { type Tensor, width } from "../tensor.ts";
import { columnSum } from "./column_sum.ts";
import { KERNELS } from "./kernels.ts";
import type { Loss } from "./losses.ts";

/** Tags of a criterion's evidence: outside, the first token of a span, a later one. */
export const TAGS = ["O", "B", "I"] as const;

/** Scores of one criterion's CRF: transitions [3, 3] from row to column, start [3], end [3]. */
export const CRF_SCORES = 15;

/** A loss with parameters of its own. */
export interface CrfLoss extends Loss {
  /** [B, 15K]: the derivative with respect to the scores, by text. */
  readonly dscores: Tensor;
  /** Sums `dscores` to the derivative with respect to the scores [K, 15], or adds it to a gradient. */
  readonly dcrf: GradientMaker;
}

/**
 * −log P(tags) as `-torchcrf.CRF(3, batch_first=True)`, weighted per (text, criterion) and by `StepScalars.spanScale`.
 * emissions [B, T, 3K] (column 3k + tag), crf [K, 15], tags [B, T, K], limits [B] (tokens of each text), weight [B, K].
 */
export function crfLoss(
  g: Graph,
  { emissions, crf, tags, limits, weight }: {
    emissions: Tensor;
    crf: Tensor;
    tags: Tensor;
    limits: Tensor;
    weight: Tensor;
  },
): CrfLoss {
  const [batch, length] = emissions.shape as [number, number, number];
  const criteria = width(emissions) / 3;
  const sequences = batch * criteria;
  const items = g.tensor("crf_items", [sequences]);
  const dlogits = g.tensor("crf_demissions", emissions.shape);
  const dscores = g.tensor("crf_dscores", [batch, criteria * CRF_SCORES]);
  g.emit({
    kernel: KERNELS.crfLoss,
    constants: { CRITERIA: criteria },
    bindings: { emissions, crf, gold: tags, limits, weight, demissions: dlogits, dcrf: dscores, items },
    dims: { batch, length },
    grid: [Math.ceil(sequences / 64), 1, 1],
  });
  return { items, dlogits, dscores, dcrf: (into) => columnSum(g, dscores, into) };
}

/** The most probable tags of every criterion, and how far they are from "no evidence". */
export interface DecodedTags {
  /** [B, T, K] of 32-bit words: 0 = O, 1 = B, 2 = I; 0 past the end of a text. */
  readonly tags: Tensor;
  /** [B, K] score of the best path less that of the path of nothing but O; at least 0. */
  readonly margin: Tensor;
}

/** Viterbi decoding as `torchcrf.CRF.decode`; shapes as for {@link crfLoss}. */
export function crfDecode(
  g: Graph,
  { emissions, crf, limits }: { emissions: Tensor; crf: Tensor; limits: Tensor },
): DecodedTags {
  const [batch, length] = emissions.shape as [number, number, number];
  const criteria = width(emissions) / 3;
  const sequences = batch * criteria;
  const tags = g.tensor("crf_tags", [batch, length, criteria]);
  const margin = g.tensor("crf_margin", [batch, criteria]);
  const pointers = g.tensor("crf_pointers", [length * sequences]);
  g.emit({
    kernel: KERNELS.crfViterbi,
    constants: { CRITERIA: criteria },
    bindings: { emissions, crf, limits, pointers, tags, margin },
    dims: { batch, length },
    grid: [Math.ceil(sequences / 64), 1, 1],
  });
  return { tags, margin };
}
