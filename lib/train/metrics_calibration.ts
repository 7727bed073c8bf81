/** Whether probabilities mean what they say: Brier score and expected calibration error of one criterion. */

/** Bins of equal width that the probabilities are sorted into (Guo et al., "On calibration of modern neural networks", 2017). */
export const BINS = 15;

/** Posts whose probability is in one bin. */
export interface ReliabilityBin {
  readonly count: number;
  /** null in an empty bin. */
  readonly mean_probability: number | null;
  /** Share of them that have the criterion; null in an empty bin. */
  readonly frequency: number | null;
}

/** Mean squared error of the probabilities (`sklearn.metrics.brier_score_loss`); null without posts. */
export function brierScore(probabilities: ArrayLike<number>, labels: ArrayLike<number>): number | null {
  if (labels.length === 0) return null;
  let total = 0;
  for (let at = 0; at < labels.length; at++) total += (probabilities[at]! - labels[at]!) ** 2;
  return total / labels.length;
}

/**
 * Probability and frequency by bin, as `sklearn.calibration.calibration_curve(strategy="uniform")` with empty bins left
 * in: a probability at an edge is in the bin below it.
 */
export function reliability(
  probabilities: ArrayLike<number>,
  labels: ArrayLike<number>,
  bins = BINS,
): ReliabilityBin[] {
  const sums = Array.from({ length: bins }, () => ({ count: 0, probability: 0, positives: 0 }));
  const edges = Array.from({ length: bins - 1 }, (_, i) => (i + 1) * (1 / bins));
  for (let at = 0; at < labels.length; at++) {
    const probability = probabilities[at]!;
    const above = edges.findIndex((edge) => probability <= edge);
    const bin = sums[above === -1 ? bins - 1 : above]!;
    bin.count++;
    bin.probability += probability;
    bin.positives += labels[at]!;
  }
  return sums.map(({ count, probability, positives }) =>
    count === 0
      ? { count, mean_probability: null, frequency: null }
      : { count, mean_probability: probability / count, frequency: positives / count }
  );
}

/** Expected calibration error: |frequency − mean probability|, averaged over posts; null without posts. */
export function expectedCalibrationError(bins: readonly ReliabilityBin[]): number | null {
  const posts = bins.reduce((sum, { count }) => sum + count, 0);
  if (posts === 0) return null;
  return bins.reduce(
    (sum, { count, mean_probability, frequency }) =>
      count === 0 ? sum : sum + count * Math.abs(frequency! - mean_probability!),
    0,
  ) / posts;
}
