/**
 * The decision thresholds that maximise macro F1, found exactly: between every two neighbouring scores. Macro F1 is the
 * mean over criteria, so the best threshold of each criterion is found apart from the others'.
 *
 * Between two scores any threshold decides alike. One half is taken where it lies between them, else the middle: a score
 * that comes out a little different elsewhere is then decided as here. Of stretches with the same F1 the one whose
 * threshold is nearest to one half is taken, of two as near the upper one. A criterion without positives stays at one half.
 */
import { type CriteriaPredictions, f1Of } from "./metrics_criteria.ts";

/** The threshold that decides when nothing is calibrated. */
export const DEFAULT_THRESHOLD = 0.5;

/** One decision's score and truth. */
interface Scored {
  readonly score: number;
  readonly criterion: number;
  readonly positive: boolean;
}

/** The best threshold of each criterion [K]. */
export function perClassThresholds(predictions: CriteriaPredictions): number[] {
  const decisions = decisionsOf(predictions);
  return predictions.criteria.map((_, k) => {
    const own = decisions.filter(({ criterion }) => criterion === k);
    return bestThreshold(own.map((one) => ({ ...one, criterion: 0 })), 1);
  });
}

/** The one threshold for all criteria with the best macro F1. */
export function globalThreshold(predictions: CriteriaPredictions): number {
  return bestThreshold(decisionsOf(predictions), predictions.criteria.length);
}

function decisionsOf({ criteria, probabilities, labels }: CriteriaPredictions): Scored[] {
  return Array.from(
    { length: probabilities.length },
    (_, at) => ({ score: probabilities[at]!, criterion: at % criteria.length, positive: labels[at] === 1 }),
  );
}

/** A threshold t with upper ≥ t > lower: it lets in everything from `upper` on and nothing of `lower`. */
function between(lower: number, upper: number): number {
  if (lower < DEFAULT_THRESHOLD && DEFAULT_THRESHOLD <= upper) return DEFAULT_THRESHOLD;
  const middle = (lower + upper) / 2;
  return middle > lower ? middle : upper;
}

/** Goes down through the scores, letting in all of one score at a time. */
function bestThreshold(decisions: readonly Scored[], criteria: number): number {
  const sorted = decisions.toSorted((a, b) => b.score - a.score);
  const counts = Array.from({ length: criteria }, () => ({ tp: 0, fp: 0, fn: 0 }));
  for (const { criterion, positive } of sorted) if (positive) counts[criterion]!.fn++;
  const f1 = new Array<number>(criteria).fill(0);
  let best = { threshold: DEFAULT_THRESHOLD, value: -1 };
  const offer = (threshold: number) => {
    // Added up anew and in the order of the metrics, for the same rounding as theirs.
    const value = f1.reduce((sum, one) => sum + one, 0);
    const nearer = Math.abs(threshold - DEFAULT_THRESHOLD) - Math.abs(best.threshold - DEFAULT_THRESHOLD);
    if (value > best.value || (value === best.value && nearer < 0)) best = { threshold, value };
  };
  // Nothing is let in above the largest score; where that is 1, no threshold keeps it out.
  const largest = sorted[0]?.score ?? 0;
  if (largest < 1) offer(between(largest, 1));
  for (let at = 0; at < sorted.length;) {
    const { score } = sorted[at]!;
    for (; at < sorted.length && sorted[at]!.score === score; at++) {
      const { criterion, positive } = sorted[at]!;
      const count = counts[criterion]!;
      if (positive) {
        count.tp++;
        count.fn--;
      } else count.fp++;
      f1[criterion] = f1Of(count) ?? 0;
    }
    offer(at < sorted.length ? between(sorted[at]!.score, score) : lowest(score));
  }
  return best.threshold;
}

/** A threshold that lets everything in. */
const lowest = (smallest: number) => smallest >= DEFAULT_THRESHOLD ? DEFAULT_THRESHOLD : smallest / 2;
