/** Texts that are longer than a model's input, cut or read in overlapping windows. */

/** Tokens [start, end) of a text. */
export interface TokenRange {
  start: number;
  end: number;
}

/**
 * The parts of a text that one input each holds.
 *
 * With an overlap they are the windows of Hugging Face's tokenizers (`return_overflowing_tokens`, where the overlap is
 * called `stride`): all but the last are full, each begins `room − overlap` tokens after the one before, and the first
 * that reaches the end is the last. Every token lies in at least one, and neighbours share `overlap` tokens, the last
 * one included. Without an overlap there is one part, and what does not fit is cut off.
 *
 * @param tokens Length of the text; 0 gives one empty part
 * @param room Tokens that an input has room for
 * @param overlap Tokens that neighbours share, or null
 * @throws RangeError unless 0 ≤ overlap < room: with less progress than a token, windows would stand still or skip some
 */
export function windowRanges(tokens: number, room: number, overlap: number | null): TokenRange[] {
  if (!(Number.isInteger(room) && room > 0)) {
    throw new RangeError(`Expected room to be an integer greater than 0 but found ${room}`);
  }
  if (overlap === null) return [{ start: 0, end: Math.min(tokens, room) }];
  if (!(Number.isInteger(overlap) && overlap >= 0 && overlap < room)) {
    throw new RangeError(
      `Expected overlap to be an integer from 0 to ${room - 1}, room being ${room}, but found ${overlap}`,
    );
  }
  const ranges: TokenRange[] = [];
  for (let start = 0;; start += room - overlap) {
    const end = Math.min(tokens, start + room);
    ranges.push({ start, end });
    if (end === tokens) return ranges;
  }
}
