/**
 * Finds an evidence sentence in its post: exactly, else after normalising both, as a UTF-16 character range.
 *
 * Annotations are copied through editors and CSV tools that change quotes, dashes, spaces, case and the composition of
 * accents. Both sides are mapped to a common form and an index map leads a match back to the original characters.
 */

/** How a sentence was found. */
export type AlignmentStatus = "exact" | "normalised" | "not_found";

/** Where a sentence stands in its post: UTF-16 range [start, end), or not at all. */
export type Alignment =
  | { status: "exact" | "normalised"; start: number; end: number }
  | { status: "not_found" };

/** A normalised text with, per UTF-16 unit of it, the range of the original it stands for. */
export interface NormalisedText {
  text: string;
  /** Start in the original of what unit i came from. */
  starts: Uint32Array;
  /** End (exclusive) in the original of what unit i came from. */
  ends: Uint32Array;
  /** 1 where unit i is the first of what one original character (with its marks) became, 0 inside of it. */
  first: Uint8Array;
}

const SINGLE_QUOTES = /^[\u0060\u00b4\u02b9\u02bc\u2018-\u201b\u2032\uff07]$/u;
const DOUBLE_QUOTES = /^[\u00ab\u00bb\u201c-\u201f\u2033\u301d-\u301f\uff02]$/u;
const DASH = /^[\p{Dash_Punctuation}\u2212]$/u;
const INVISIBLE = /^\p{Default_Ignorable_Code_Point}+$/u;
/** One character and the combining marks on it. NFKD never moves anything across such a piece. */
const PIECES = /\P{M}\p{M}*|\p{M}+/gu;

/**
 * Maps a text to the form in which sentences are compared: Unicode NFKD, case folded, quotes straight, runs of dashes
 * and of white space reduced to one, invisible characters (soft hyphen, zero width) dropped.
 *
 * NFKD in place of NFKC because composition looks across characters (Hangul), while decomposition works piece by
 * piece, so that the index map is exact; two texts are equal under one if and only if they are under the other.
 */
export function normaliseText(original: string): NormalisedText {
  const parts: string[] = [];
  const starts: number[] = [], ends: number[] = [], first: number[] = [];
  let previous = "";
  for (const match of original.matchAll(PIECES)) {
    const start = match.index, end = start + match[0].length;
    const piece = normalisePiece(match[0]);
    if (piece === "") continue;
    if ((piece === " " || piece === "-") && piece === previous) {
      ends[ends.length - 1] = end; // the run goes on
      continue;
    }
    for (let unit = 0; unit < piece.length; unit++) {
      starts.push(start);
      ends.push(end);
      first.push(unit === 0 ? 1 : 0);
    }
    parts.push(piece);
    previous = piece;
  }
  return {
    text: parts.join(""),
    starts: Uint32Array.from(starts),
    ends: Uint32Array.from(ends),
    first: Uint8Array.from(first),
  };
}

function normalisePiece(piece: string): string {
  if (/^[a-z0-9.,]$/.test(piece)) return piece; // nearly all of a text
  if (/^\s$/u.test(piece)) return " ";
  // Before NFKD, which would turn an acute accent used as a quote into a space and a mark.
  if (SINGLE_QUOTES.test(piece)) return "'";
  if (DOUBLE_QUOTES.test(piece)) return '"';
  if (DASH.test(piece)) return "-";
  if (INVISIBLE.test(piece)) return "";
  const decomposed = piece.normalize("NFKD").toUpperCase().toLowerCase().normalize("NFKD");
  // A space here belongs to a spacing accent such as U+00A8; kept, it would be taken for the end of a word.
  return decomposed.replace(/\p{Default_Ignorable_Code_Point}|\s/gu, "");
}

/**
 * Prepares a post so that many sentences can be looked up in it; the first occurrence wins.
 *
 * @example
 * ```ts
 * import { sentenceAligner } from "./alignment.ts";
 * import assert from "node:assert/strict";
 * const align = sentenceAligner("Ok.  I can’t\nsleep.");
 * assert.deepEqual(align("I can't sleep."), { status: "normalised", start: 5, end: 19 });
 * ```
 */
export function sentenceAligner(text: string): (sentence: string) => Alignment {
  let normalised: NormalisedText | undefined;
  return (sentence) => {
    const wanted = sentence.trim();
    if (wanted === "") return { status: "not_found" };
    const at = text.indexOf(wanted);
    if (at >= 0) return { status: "exact", start: at, end: at + wanted.length };
    normalised ??= normaliseText(text);
    return findNormalised(normalised, normaliseText(wanted).text.trim());
  };
}

/** The first occurrence that begins and ends at whole original characters: "cafe" is not found inside of "café". */
function findNormalised({ text, starts, ends, first }: NormalisedText, wanted: string): Alignment {
  if (wanted === "") return { status: "not_found" };
  for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + 1)) {
    const after = at + wanted.length;
    if (first[at] === 1 && (after === text.length || first[after] === 1)) {
      return { status: "normalised", start: starts[at]!, end: ends[after - 1]! };
    }
  }
  return { status: "not_found" };
}
