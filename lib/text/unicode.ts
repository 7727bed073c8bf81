/**
 * The character classes of Hugging Face's `tokenizers`, which a BERT tokenizer must share to give the same tokens.
 *
 * That library takes general categories from the Rust crate `unicode_categories` (Unicode 8) and decompositions from
 * `unicode-normalization-alignments` (Unicode 9), while V8 knows Unicode 16. So each class here is V8's, less what
 * Unicode has added since; tests/interop/text_unicode_test.ts compares every code point with the Python package.
 */

/** A RegExp that matches one character out of hexadecimal ranges, as in "41-5a 61-7a". */
function inRanges(ranges: string): RegExp {
  const parts = ranges.trim().split(/\s+/).map((range) => range.replace(/[0-9a-f]+/g, (hex) => `\\u{${hex}}`));
  return new RegExp(`^[${parts.join("")}]$`, "u");
}

/** Punctuation today that is not punctuation in Unicode 8. */
const LATER_PUNCTUATION = inRanges(`
  61d 9fd a76 c77 c84 1b4e-1b4f 1b7d-1b7f 2e43-2e4f 2e52-2e5d 10d6e 10ead 10f55-10f59 10f86-10f89 113d4-113d5
  113d7-113d8 1144b-1144f 1145a-1145b 1145d 11660-1166c 116b9 1183b 11944-11946 119e2 11a3f-11a46 11a9a-11a9c
  11a9e-11aa2 11b00-11b09 11be1 11c41-11c45 11c70-11c71 11ef7-11ef8 11f43-11f4f 11fff 12ff1-12ff2 16d6d-16d6f
  16e97-16e9a 16fe2 1e5ff 1e95e-1e95f`);

/** Punctuation in Unicode 8 that is not punctuation today. */
const FORMER_PUNCTUATION = inRanges("166d 111c9");

/** Nonspacing marks today that are not nonspacing marks in Unicode 8. */
const LATER_MARKS = inRanges(`
  7fd 897-89f 8ca-8e1 9fe afa-aff b55 c04 c3c d00 d3b-d3c d81 eba ece 180f 1885-1886 1abf-1ace 1df6-1dfb a82c a8c5 a8ff
  a9bd 10d24-10d27 10d69-10d6d 10eab-10eac 10efc-10eff 10f46-10f50 10f82-10f85 11070 11073-11074 110c2 111c9 111cf 1123e
  11241 1133b 113bb-113c0 113ce 113d0 113d2 113e1-113e2 11438-1143f 11442-11444 11446 1145e 1182f-11837 11839-1183a
  1193b-1193c 1193e 11943 119d4-119d7 119da-119db 119e0 11a01-11a0a 11a33-11a38 11a3b-11a3e 11a47 11a51-11a56 11a59-11a5b
  11a8a-11a96 11a98-11a99 11c30-11c36 11c38-11c3d 11c3f 11c92-11ca7 11caa-11cb0 11cb2-11cb3 11cb5-11cb6 11d31-11d36 11d3a
  11d3c-11d3d 11d3f-11d45 11d47 11d90-11d91 11d95 11d97 11ef3-11ef4 11f00-11f01 11f36-11f3a 11f40 11f42 11f5a 13440
  13447-13455 1611e-16129 1612d-1612f 16f4f 16fe4 1cf00-1cf2d 1cf30-1cf46 1e000-1e006 1e008-1e018 1e01b-1e021 1e023-1e024
  1e026-1e02a 1e08f 1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef 1e944-1e94a`);

/** Nonspacing marks in Unicode 8 that are not nonspacing marks today. */
const FORMER_MARKS = inRanges("1734 1171e");

/** Format characters that Unicode 8 does not have. */
const LATER_FORMATS = inRanges("890-891 8e2 110cd 13430-1343f");

/** Characters that got a canonical decomposition after Unicode 9. */
const LATER_DECOMPOSITIONS = inRanges(`
  105c9 105e4 11383 11385 1138e 11391 113c5 113c7-113c8 11938 16121-16128 16d68-16d6a`);

/** Characters that got a nonzero canonical combining class after Unicode 9. */
const LATER_COMBINING = inRanges(`
  7fd 897-89f 8ca-8d3 9fe c3c d3b-d3c eba 1715 1abf-1ace 1df6-1dfa a82c 10d24-10d27 10d69-10d6d 10eab-10eac 10efd-10eff
  10f46-10f50 10f82-10f85 11070 1133b 113ce-113d0 1145e 11839-1183a 1193d-1193e 11943 119e0 11a34 11a47 11a99 11d42
  11d44-11d45 11d97 11f41-11f42 1612f 16ff0-16ff1 1e08f 1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef`);

/** Capitals of Unicode 17, which Rust's standard library knows and V8 does not; the small letter is 1 or 27 further. */
const LATEST_CAPITALS = inRanges("a7ce a7d2 a7d4 16ea0-16eb8");

/**
 * The ideographs that BERT sets apart. The last range but one starts at 2B920 in the library, where the BERT paper's
 * code has 2B820.
 */
const IDEOGRAPHS = inRanges("3400-4dbf 4e00-9fff f900-faff 20000-2a6df 2a700-2b81f 2b920-2ceaf 2f800-2fa1f");

/** Whitespace as Rust's `char::is_whitespace`: the Unicode property White_Space. */
export function isWhitespace(character: string): boolean {
  return /^\p{White_Space}$/u.test(character);
}

/** What `clean_text` removes: NUL, U+FFFD, and controls, formats, private use; not tab, newline, carriage return. */
export function isControl(character: string): boolean {
  if (character === "\t" || character === "\n" || character === "\r") return false;
  if (character === "\uFFFD") return true;
  return /^[\p{Cc}\p{Cf}\p{Co}\p{Cs}]$/u.test(character) && !LATER_FORMATS.test(character);
}

/** What the pre-tokenizer sets apart: ASCII punctuation ($ + < = > ^ ` | ~ too) and the Unicode categories P*. */
export function isPunctuation(character: string): boolean {
  if (character < "\x80") return /^[!-/:-@[-`{-~]$/.test(character);
  if (FORMER_PUNCTUATION.test(character)) return true;
  return /^\p{P}$/u.test(character) && !LATER_PUNCTUATION.test(character);
}

/** A mark that `strip_accents` removes. */
export function isNonspacingMark(character: string): boolean {
  if (FORMER_MARKS.test(character)) return true;
  return /^\p{Mn}$/u.test(character) && !LATER_MARKS.test(character);
}

/** A character that `handle_chinese_chars` puts between two spaces. */
export function isIdeograph(character: string): boolean {
  return IDEOGRAPHS.test(character);
}

/** The canonical decomposition of one character. */
export function decompose(character: string): string {
  return LATER_DECOMPOSITIONS.test(character) ? character : character.normalize("NFD");
}

/** The lower case of one character, as Rust's `char::to_lowercase`: no rule looks at the neighbours. */
export function lowerCase(character: string): string {
  if (!LATEST_CAPITALS.test(character)) return character.toLowerCase();
  return String.fromCodePoint(character.codePointAt(0)! + (character.length === 1 ? 1 : 27));
}

const reorderable = new Map<string, boolean>();

/**
 * Whether a fully decomposed character has a nonzero canonical combining class, so that normalization may reorder it.
 * U+0345 has the highest class (240): what is reordered with it has a class between 1 and 239.
 */
export function isReorderable(character: string): boolean {
  let answer = reorderable.get(character);
  if (answer === undefined) {
    answer = /^\p{M}$/u.test(character) && !LATER_COMBINING.test(character) &&
      (character === "\u0345" || comesBefore(character, "\u0345"));
    reorderable.set(character, answer);
  }
  return answer;
}

/** Whether canonical order puts b before a when they stand as "ab"; both fully decomposed. */
function comesBefore(b: string, a: string): boolean {
  return (a + b).normalize("NFD") === b + a && a !== b;
}

/** Reorderable characters in canonical order: by combining class, and as they stand within a class. */
export function inCanonicalOrder<T>(items: readonly T[], characterOf: (item: T) => string): T[] {
  // Comparing by normalization is slow, so each character is ranked once.
  const distinct = [...new Set(items.map(characterOf))].sort((a, b) =>
    comesBefore(b, a) ? 1 : comesBefore(a, b) ? -1 : 0
  );
  const rank = new Map<string, number>();
  distinct.forEach((character, i) => {
    const before = distinct[i - 1];
    rank.set(character, before === undefined ? 0 : rank.get(before)! + (comesBefore(before, character) ? 1 : 0));
  });
  return items.toSorted((a, b) => rank.get(characterOf(a))! - rank.get(characterOf(b))!);
}
