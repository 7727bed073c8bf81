/**
 * How well scores rank the positives before the negatives, as scikit-learn measures it. Equal scores enter together: no
 * threshold tells them apart.
 */

/** Numbers of positives and negatives with one score. */
export interface ScoreGroup {
  readonly score: number;
  readonly positives: number;
  readonly negatives: number;
}

/** Precision and recall at every threshold, thresholds descending. */
export interface PrecisionRecallCurve {
  readonly threshold: number[];
  readonly precision: number[];
  readonly recall: number[];
}

/** Positives and negatives by distinct score, descending. */
export function scoreGroups(scores: ArrayLike<number>, labels: ArrayLike<number>): ScoreGroup[] {
  const order = Array.from(scores, (_, index) => index).sort((a, b) => scores[b]! - scores[a]!);
  const groups: { score: number; positives: number; negatives: number }[] = [];
  for (const index of order) {
    const score = scores[index]!;
    let group = groups.at(-1);
    if (group?.score !== score) groups.push(group = { score, positives: 0, negatives: 0 });
    if (labels[index] === 1) group.positives++;
    else group.negatives++;
  }
  return groups;
}

/** Areas under the curves of scores that come in descending order. */
export interface RankingAreas {
  /** Lets in what has the next lower score. */
  add(positives: number, negatives: number): void;
  /**
   * Average precision: Σ (Rₙ − Rₙ₋₁)·Pₙ over the distinct scores in descending order, without interpolation
   * (`sklearn.metrics.average_precision_score`). null without positives, where scikit-learn warns and gives 0.
   */
  averagePrecision(): number | null;
  /**
   * Area under the ROC curve: the share of pairs of a positive and a negative in which the positive scores more, ties
   * counting one half (`sklearn.metrics.roc_auc_score`). null with one class only, where scikit-learn warns and gives NaN.
   */
  rocAuc(): number | null;
}

/** Areas of nothing yet. */
export function rankingAreas(): RankingAreas {
  let precision = 0, pairs = 0, hits = 0, misses = 0;
  return {
    add(positives, negatives) {
      pairs += negatives * (hits + positives / 2);
      hits += positives;
      misses += negatives;
      if (positives > 0) precision += positives * (hits / (hits + misses));
    },
    averagePrecision: () => hits === 0 ? null : precision / hits,
    rocAuc: () => hits === 0 || misses === 0 ? null : pairs / hits / misses,
  };
}

/** Areas of all groups. */
function areasOf(groups: readonly ScoreGroup[]): RankingAreas {
  const areas = rankingAreas();
  for (const { positives, negatives } of groups) areas.add(positives, negatives);
  return areas;
}

/** See `RankingAreas`. */
export const averagePrecision = (groups: readonly ScoreGroup[]): number | null => areasOf(groups).averagePrecision();
/** See `RankingAreas`. */
export const rocAuc = (groups: readonly ScoreGroup[]): number | null => areasOf(groups).rocAuc();

/**
 * The points of `sklearn.metrics.precision_recall_curve`, but for its last one (recall 0, precision 1), which is no
 * threshold's. null without positives, where scikit-learn warns and gives recall 1.
 *
 * @param limit Points at most: those at even distances among them, the first and the last included
 */
export function precisionRecallCurve(groups: readonly ScoreGroup[], limit = Infinity): PrecisionRecallCurve | null {
  const total = groups.reduce((sum, { positives }) => sum + positives, 0);
  if (total === 0) return null;
  const step = Math.max(1, (groups.length - 1) / (limit - 1));
  const chosen = new Set(Array.from({ length: Math.min(groups.length, limit) }, (_, i) => Math.round(i * step)));
  const curve: PrecisionRecallCurve = { threshold: [], precision: [], recall: [] };
  let hits = 0, taken = 0;
  groups.forEach(({ score, positives, negatives }, at) => {
    hits += positives;
    taken += positives + negatives;
    if (!chosen.has(at)) return;
    curve.threshold.push(score);
    curve.precision.push(hits / taken);
    curve.recall.push(hits / total);
  });
  return curve;
}
