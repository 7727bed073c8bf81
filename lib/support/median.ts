/**
 * The middle one of some numbers, or of an even count the mean of the two in the middle; NaN of none.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(median([9, 1, 4]), 4);
 * assert.equal(median([4, 1]), 2.5);
 * ```
 */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b), half = sorted.length >> 1;
  const upper = sorted[half] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (sorted[half - 1]! + upper) / 2;
}
