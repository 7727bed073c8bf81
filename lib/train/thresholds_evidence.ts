/**
 * The evidence thresholds that maximise the macro F1 of spans with credit for parts (`partialScore`), on the spans that
 * were found for each (post, criterion).
 *
 * Chosen spans share no character, so each brings its own precision and recall, and letting one more in is an addition:
 * for a given least score of further spans, the null threshold is found exactly, as in thresholds_criteria.ts. Of the
 * least scores, the distinct ones are tried, at most 64 at even distances among them. Of equally good pairs the one
 * nearest to the default is taken, null threshold first.
 */
import { type EvidenceThresholds, PREDICT_ABOVE_NONE, type ScoredEvidence } from "./aggregation.ts";
import type { CharacterSpan } from "../data/dataset.ts";
import { harmonicMean, joined, sharesOf } from "./spans_overlap.ts";

/** All spans that were found for one (post, criterion), and the gold ones. */
export interface EvidenceCandidates {
  readonly criterion: number;
  /** Best first, none of which share a character. */
  readonly candidates: readonly ScoredEvidence[];
  readonly gold: readonly CharacterSpan[];
}

/** Least scores of further spans that are tried at most. */
const LEAST_SCORES = 64;

/** A gain that is smaller is rounding. */
const EPSILON = 1e-12;

/** What letting in a span adds: its share that is gold, and the shares of gold spans that it is. */
interface Gain {
  readonly criterion: number;
  readonly score: number;
  readonly precision: number;
  readonly recall: number;
}

/** The sums of one criterion, and the F1 that they make. */
interface Sums {
  precision: number;
  spans: number;
  recall: number;
  readonly gold: number;
  f1: number;
}

/** The thresholds with the best macro F1; the default ones where there is no gold evidence. */
export function evidenceThresholds(pairs: readonly EvidenceCandidates[]): EvidenceThresholds {
  const gold: number[] = [];
  for (const pair of pairs) gold[pair.criterion] = (gold[pair.criterion] ?? 0) + joined(pair.gold).length;
  const given = pairs.filter(({ candidates }) => candidates.length > 0)
    .map((pair) => gainsOf(pair))
    .toSorted((a, b) => b[0]!.score - a[0]!.score);
  const further = distinct(given.flatMap((gains) => gains.slice(1).map(({ score }) => score)));
  const fallback = PREDICT_ABOVE_NONE;
  let best = { ...fallback, value: valueAt(given, gold, fallback) };
  const offer = (candidate: EvidenceThresholds, value: number) => {
    if (!Number.isFinite(candidate.null_threshold) || !Number.isFinite(candidate.min_span_score)) return;
    const gain = value - best.value;
    if (gain > EPSILON || (gain >= -EPSILON && isNearer(candidate, best))) best = { ...candidate, value };
  };
  for (const min_span_score of thinned(cuts(further), LEAST_SCORES)) {
    const sums = freshSums(gold);
    offer({ null_threshold: cutBelow(given[0]?.[0]?.score ?? 0, Infinity), min_span_score }, macro(sums));
    for (let at = 0; at < given.length;) {
      const { score } = given[at]![0]!;
      for (; at < given.length && given[at]![0]!.score === score; at++) letIn(given[at]!, sums, min_span_score);
      offer({ null_threshold: cutBelow(given[at]?.[0]?.score ?? -Infinity, score), min_span_score }, macro(sums));
    }
  }
  const { null_threshold, min_span_score } = best;
  return { null_threshold, min_span_score };
}

function gainsOf({ criterion, candidates, gold }: EvidenceCandidates): Gain[] {
  const wanted = joined(gold);
  return candidates.map((span) => ({
    criterion,
    score: span.score,
    precision: sharesOf([span], wanted),
    recall: sharesOf(wanted, [span]),
  }));
}

const freshSums = (gold: readonly number[]): Sums[] =>
  Array.from(gold, (count) => ({ precision: 0, spans: 0, recall: 0, gold: count ?? 0, f1: 0 }));

/** Lets in a pair's best span, and the further ones above the least score. */
function letIn(gains: readonly Gain[], sums: readonly Sums[], leastScore: number): void {
  const sum = sums[gains[0]!.criterion]!;
  gains.forEach(({ score, precision, recall }, rank) => {
    if (rank > 0 && score <= leastScore) return;
    sum.precision += precision;
    sum.recall += recall;
    sum.spans++;
  });
  sum.f1 = sum.gold === 0 ? 0 : harmonicMean(sum.precision / Math.max(1, sum.spans), sum.recall / sum.gold);
}

/** Mean F1 of the criteria with gold evidence. */
function macro(sums: readonly Sums[]): number {
  let total = 0, criteria = 0;
  for (const { gold, f1 } of sums) {
    if (gold === 0) continue;
    total += f1;
    criteria++;
  }
  return criteria === 0 ? 0 : total / criteria;
}

function valueAt(
  given: readonly (readonly Gain[])[],
  gold: readonly number[],
  { null_threshold, min_span_score }: EvidenceThresholds,
): number {
  const sums = freshSums(gold);
  for (const gains of given) if (gains[0]!.score > null_threshold) letIn(gains, sums, min_span_score);
  return macro(sums);
}

/** A threshold t with lower ≤ t < upper, 0 where it can be: what scores more is let in. */
function cutBelow(lower: number, upper: number): number {
  if (lower <= 0 && 0 < upper) return 0;
  if (upper === Infinity) return lower + 1;
  if (lower === -Infinity) return upper - 1;
  const middle = (lower + upper) / 2;
  return middle < upper ? middle : lower;
}

/** Descending and without repetitions. */
const distinct = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => b - a);

/** The thresholds that tell neighbouring scores apart, from "none of them" to "all". */
function cuts(scores: readonly number[]): number[] {
  if (scores.length === 0) return [0];
  const found = scores.map((score, i) => cutBelow(scores[i + 1] ?? -Infinity, score));
  return [...new Set([cutBelow(scores[0]!, Infinity), ...found, 0])];
}

/** At most `limit` values at even distances, the default one among them. */
function thinned(values: readonly number[], limit: number): number[] {
  if (values.length <= limit) return [...values];
  const some = Array.from({ length: limit }, (_, i) => values[Math.round(i * (values.length - 1) / (limit - 1))]!);
  return [...new Set([...some, 0])];
}

function isNearer(one: EvidenceThresholds, other: EvidenceThresholds): boolean {
  const distance = Math.abs(one.null_threshold) - Math.abs(other.null_threshold);
  return distance < 0 || (distance === 0 && Math.abs(one.min_span_score) < Math.abs(other.min_span_score));
}
