/** Overlap of sets of character spans. */
import type { CharacterSpan } from "../data/dataset.ts";

/** The spans in order, those that share characters joined. */
export function joined(spans: readonly CharacterSpan[]): CharacterSpan[] {
  const apart: CharacterSpan[] = [];
  for (const { start, end } of spans.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    const last = apart.at(-1);
    if (last && start < last.end) last.end = Math.max(last.end, end);
    else apart.push({ start, end });
  }
  return apart;
}

/** Characters of spans that share none. */
export const sizeOf = (spans: readonly CharacterSpan[]): number =>
  spans.reduce((sum, { start, end }) => sum + end - start, 0);

/** Characters that two sets share; within a set the spans share none. */
export function overlapOf(left: readonly CharacterSpan[], right: readonly CharacterSpan[]): number {
  let overlap = 0;
  for (const one of left) {
    for (const other of right) {
      overlap += Math.max(0, Math.min(one.end, other.end) - Math.max(one.start, other.start));
    }
  }
  return overlap;
}

/** Σ over the spans of the share of each that the others cover; an empty span counts as covered by none. */
export function sharesOf(spans: readonly CharacterSpan[], others: readonly CharacterSpan[]): number {
  return spans.reduce((sum, span) => {
    const size = span.end - span.start;
    return sum + (size > 0 ? overlapOf([span], others) / size : 0);
  }, 0);
}

/** 2ab / (a + b), 0 where both are 0. */
export const harmonicMean = (a: number, b: number): number => a + b === 0 ? 0 : 2 * a * b / (a + b);
