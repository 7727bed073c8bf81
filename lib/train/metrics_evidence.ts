/**
 * Metrics of the evidence agent, from the predicted and the gold character spans of each (post, criterion): any number,
 * or none. Several spans count as their words and characters together.
 *
 * The overlap measures follow SQuAD v1 (Rajpurkar et al., 2016), but compare the text as it is: no lower-casing, and no
 * removal of punctuation and articles, since evidence is a passage and not an answer.
 */
import type { CharacterSpan, Example } from "../data/dataset.ts";

/** One decision of the evidence agent; no span is "no evidence". */
export interface EvidencePair {
  text: string;
  predicted: readonly CharacterSpan[];
  gold: readonly CharacterSpan[];
}

/** Evidence metrics; the field names are those of the reports. A mean over no pairs is 0. */
export interface EvidenceMetrics {
  /** Share of the pairs with gold evidence whose predicted words are the gold words. */
  exact_match: number;
  /** Mean F1 of the bags of words (split at white space), over pairs with gold evidence; predicting none scores 0. */
  token_f1: number;
  /** Mean F1 of the character ranges, over pairs with gold evidence; predicting none scores 0. */
  char_f1: number;
  /** Share of the pairs without gold evidence that are predicted none. */
  null_accuracy: number;
  /** Pairs with gold evidence. */
  support: number;
  /** Pairs without. */
  null_support: number;
}

/** Computes all evidence metrics. */
export function evidenceMetrics(pairs: readonly EvidencePair[]): EvidenceMetrics {
  const totals = { exact_match: 0, token_f1: 0, char_f1: 0, null_accuracy: 0, support: 0, null_support: 0 };
  for (const { text, predicted, gold } of pairs) {
    if (gold.length === 0) {
      totals.null_support++;
      if (predicted.length === 0) totals.null_accuracy++;
      continue;
    }
    totals.support++;
    if (predicted.length === 0) continue;
    const said = words(text, predicted), wanted = words(text, gold);
    if (said.join(" ") === wanted.join(" ")) totals.exact_match++;
    totals.token_f1 += bagF1(said, wanted);
    totals.char_f1 += rangeF1(predicted, gold);
  }
  const support = Math.max(totals.support, 1);
  return {
    ...totals,
    exact_match: totals.exact_match / support,
    token_f1: totals.token_f1 / support,
    char_f1: totals.char_f1 / support,
    null_accuracy: totals.null_accuracy / Math.max(totals.null_support, 1),
  };
}

/**
 * Pairs of all (post, criterion), row by row. Left out are positive labels whose evidence was not found in the post:
 * what should have been predicted there is unknown.
 *
 * @param predicted [N, K] row by row
 */
export function evidencePairs(
  examples: readonly Example[],
  predicted: readonly (readonly CharacterSpan[])[],
): EvidencePair[] {
  return examples.flatMap(({ text, labels, allEvidence }, row) =>
    allEvidence.flatMap((gold, k) =>
      gold.length === 0 && labels[k] === 1 ? [] : [{ text, gold, predicted: predicted[row * labels.length + k] ?? [] }]
    )
  );
}

/** The evidence baseline: the whole post is given as evidence for every criterion. */
export function wholeTextBaseline(examples: readonly Example[]): EvidenceMetrics {
  const whole = examples.flatMap(({ text, labels }) => Array.from(labels, () => [{ start: 0, end: text.length }]));
  return evidenceMetrics(evidencePairs(examples, whole));
}

/** The spans in order, those that share characters joined. */
function joined(spans: readonly CharacterSpan[]): CharacterSpan[] {
  const apart: CharacterSpan[] = [];
  for (const { start, end } of spans.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    const last = apart.at(-1);
    if (last && start < last.end) last.end = Math.max(last.end, end);
    else apart.push({ start, end });
  }
  return apart;
}

function words(text: string, spans: readonly CharacterSpan[]): string[] {
  return joined(spans).flatMap(({ start, end }) => text.slice(start, end).split(/\s+/u).filter((word) => word !== ""));
}

/** Harmonic mean of precision and recall of two bags. */
function bagF1(said: string[], wanted: string[]): number {
  const left = new Map<string, number>();
  for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1);
  let common = 0;
  for (const word of said) {
    const count = left.get(word) ?? 0;
    if (count === 0) continue;
    left.set(word, count - 1);
    common++;
  }
  return common === 0 ? 0 : (2 * common) / (said.length + wanted.length);
}

function rangeF1(a: readonly CharacterSpan[], b: readonly CharacterSpan[]): number {
  const size = (spans: CharacterSpan[]) => spans.reduce((sum, { start, end }) => sum + end - start, 0);
  const [left, right] = [joined(a), joined(b)];
  const overlap = left.reduce(
    (sum, one) =>
      right.reduce(
        (sum, other) => sum + Math.max(0, Math.min(one.end, other.end) - Math.max(one.start, other.start)),
        sum,
      ),
    0,
  );
  return overlap === 0 ? 0 : (2 * overlap) / (size(left) + size(right));
}
