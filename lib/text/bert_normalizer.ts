/**
 * BERT's normalizer as in Hugging Face's `tokenizers` (normalizers/bert.rs), with the origin of each character kept:
 * clean text, set ideographs apart, strip accents, lower the case, in that order.
 */
import {
  decompose,
  inCanonicalOrder,
  isControl,
  isIdeograph,
  isNonspacingMark,
  isReorderable,
  isWhitespace,
  lowerCase,
} from "./unicode.ts";

/** The four switches of `BertNormalizer`. */
export interface BertNormalizerOptions {
  /** Remove control characters and turn whitespace into spaces. */
  cleanText: boolean;
  /** Put spaces around ideographs, so that each is a word. */
  handleChineseChars: boolean;
  /** Remove nonspacing marks after canonical decomposition. */
  stripAccents: boolean;
  lowercase: boolean;
}

/** Normalized text and where each of its UTF-16 units comes from, in UTF-16 units of the original text. */
export interface Normalized {
  text: string;
  /** [text.length] start of the original character behind each unit. */
  starts: Uint32Array;
  /** [text.length] end (exclusive) of the original character behind each unit. */
  ends: Uint32Array;
}

/** Maps a text to its normalized form. */
export type Normalizer = (text: string) => Normalized;

/** A character before a combining mark, removed characters between them aside. */
const BEFORE_MARK = /([^\0-\x7f\p{C}\uFFFD])[\p{C}\uFFFD]*(?=\p{M})/gu;

/** Whether two combining marks meet once the text is cleaned and decomposed: only there is anything reordered. */
function marksMeet(text: string): boolean {
  for (const [, before] of text.matchAll(BEFORE_MARK)) {
    if (/\p{M}$/u.test(decompose(before!))) return true;
  }
  return false;
}

/** The normalizer with these options. One character's normal form is worked out once and remembered. */
export function bertNormalizer(options: BertNormalizerOptions): Normalizer {
  const remembered = new Map<number, string>();

  const clean = (character: string): string => {
    if (!options.cleanText) return character;
    return isControl(character) ? "" : isWhitespace(character) ? " " : character;
  };
  const setApart = (character: string): string =>
    options.handleChineseChars && isIdeograph(character) ? ` ${character} ` : character;
  const finish = (decomposed: string): string => {
    let result = "";
    for (const character of decomposed) {
      if (options.stripAccents && isNonspacingMark(character)) continue;
      result += options.lowercase ? lowerCase(character) : character;
    }
    return result;
  };
  const decomposeAll = (text: string): string => {
    if (!options.stripAccents) return text;
    let result = "";
    for (const character of text) result += decompose(character);
    return result;
  };
  const normalForm = (codePoint: number): string => {
    let form = remembered.get(codePoint);
    if (form === undefined) {
      form = finish(decomposeAll(setApart(clean(characterOf(codePoint)))));
      remembered.set(codePoint, form);
    }
    return form;
  };

  return (original) => {
    if (options.stripAccents && marksMeet(original)) {
      return reordered(original, (character) => decomposeAll(setApart(clean(character))), finish);
    }
    const out = collector();
    for (let start = 0; start < original.length;) {
      const codePoint = original.codePointAt(start)!;
      const end = start + (codePoint > 0xffff ? 2 : 1);
      out.add(normalForm(codePoint), start, end);
      start = end;
    }
    return out.normalized();
  };
}

/** A lone surrogate is no character: it counts as U+FFFD, which is what UTF-8 makes of it. */
function characterOf(codePoint: number): string {
  return codePoint >= 0xd800 && codePoint <= 0xdfff ? "\uFFFD" : String.fromCodePoint(codePoint);
}

/** Gathers the pieces of a normalized text. */
function collector() {
  let text = "";
  const starts: number[] = [], ends: number[] = [];
  return {
    add(piece: string, start: number, end: number): void {
      text += piece;
      for (let i = 0; i < piece.length; i++) {
        starts.push(start);
        ends.push(end);
      }
    },
    normalized: (): Normalized => ({ text, starts: Uint32Array.from(starts), ends: Uint32Array.from(ends) }),
  };
}

/**
 * The slow path for texts with runs of combining marks: canonical ordering sorts each run by combining class. As in the
 * library, a moved mark takes the place of the character that stood there, so origins stay in ascending order.
 */
function reordered(
  original: string,
  prepare: (character: string) => string,
  finish: (decomposed: string) => string,
): Normalized {
  // One entry per decomposed character; `first` marks those that begin an original character.
  const characters: { character: string; first: boolean }[] = [];
  const origins: { start: number; end: number }[] = [];
  for (let start = 0; start < original.length;) {
    const codePoint = original.codePointAt(start)!;
    const end = start + (codePoint > 0xffff ? 2 : 1);
    let first = true;
    for (const character of prepare(characterOf(codePoint))) {
      if (first) origins.push({ start, end });
      characters.push({ character, first });
      first = false;
    }
    start = end;
  }
  for (let from = 0; from < characters.length;) {
    let to = from;
    while (to < characters.length && isReorderable(characters[to]!.character)) to++;
    if (to - from > 1) {
      const run = inCanonicalOrder(characters.slice(from, to), (entry) => entry.character);
      for (let i = 0; i < run.length; i++) characters[from + i] = run[i]!;
    }
    from = Math.max(to, from + 1);
  }
  const out = collector();
  let index = -1;
  for (const { character, first } of characters) {
    if (first) index++;
    const { start, end } = origins[index]!;
    out.add(finish(character), start, end);
  }
  return out.normalized();
}
