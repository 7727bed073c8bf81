/** The best of many scores, and what a query must be. */
import { inputError } from "../support/errors.ts";
import type { VocabularyScores } from "../model/masked_lm.ts";
import type { TokenCandidate, TokenQuery } from "./token_suggestions.ts";

/**
 * The `count` best tokens of one row, best first and among equals the smaller id.
 *
 * @param windows which ids each array of `values` [B, rows] scores
 * @param exclude an id that is left out
 */
export function topCandidates(
  windows: readonly Pick<VocabularyScores, "firstRow" | "rows">[],
  values: readonly Float32Array[],
  row: number,
  count: number,
  exclude?: number,
): TokenCandidate[] {
  const best: TokenCandidate[] = [];
  windows.forEach(({ firstRow, rows }, window) => {
    const scores = values[window]!.subarray(row * rows, (row + 1) * rows);
    scores.forEach((score, i) => {
      const id = firstRow + i;
      if (id === exclude || (best.length === count && !(score > best[count - 1]!.score))) return;
      let place = best.length;
      while (place > 0 && best[place - 1]!.score < score) place--;
      best.splice(place, 0, { id, score });
      if (best.length > count) best.pop();
    });
  });
  return best;
}

/** Refuses queries that have no answer. @throws an input error for an unknown id; a RangeError for a wrong place */
export function checkQueries(rows: readonly TokenQuery[], count: number, vocabulary: number): void {
  if (!(Number.isInteger(count) && count > 0)) {
    throw new RangeError(`Expected count to be an integer greater than 0 but found ${count}`);
  }
  for (const { ids, position } of rows) {
    if (!(Number.isInteger(position) && position >= 0 && position < ids.length)) {
      throw new RangeError(`Expected a position from 0 to below ${ids.length} but found ${position}`);
    }
    const id = ids.find((id) => id >= vocabulary);
    if (id !== undefined) {
      throw inputError(
        `Expected token ids below ${vocabulary} (vocab_size of the model) but found ${id}`,
        "Use the tokenizer that belongs to the model",
      );
    }
  }
}
