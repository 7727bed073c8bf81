/**
 * The words of byte-level BPE, as GPT-2's regular expression finds them:
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * A scanner in its place takes time in proportion to the text and no stack. Letters, numbers and whitespace are V8's,
 * which are the same as those of the library's regular expressions; tests/interop/text_unicode_test.ts compares every
 * code point.
 */

const LETTER = 1, NUMBER = 2, OTHER = 3, SPACE = 4;

/** Kind of each code point, 0 where it has not been asked for. */
let kinds: Uint8Array | undefined;

function kindOf(codePoint: number): number {
  kinds ??= new Uint8Array(0x110000);
  let kind = kinds[codePoint]!;
  if (kind === 0) {
    const character = String.fromCodePoint(codePoint);
    if (/^\p{L}$/u.test(character)) kind = LETTER;
    else if (/^\p{N}$/u.test(character)) kind = NUMBER;
    else kind = /^\p{White_Space}$/u.test(character) ? SPACE : OTHER;
    kinds[codePoint] = kind;
  }
  return kind;
}

/**
 * The words of a text, which together are the text.
 *
 * @param visit called with the start and end (exclusive) of each word in UTF-16 units, in order
 */
export function forEachByteLevelWord(text: string, visit: (start: number, end: number) => void): void {
  for (let start = 0; start < text.length;) {
    const end = contractionEnd(text, start) ?? wordEnd(text, start);
    visit(start, end);
    start = end;
  }
}

/** Where one of 's 't 're 've 'm 'll 'd ends that starts here. */
function contractionEnd(text: string, start: number): number | undefined {
  if (text[start] !== "'") return undefined;
  const first = text[start + 1], pair = text.slice(start + 1, start + 3);
  if (first === "s" || first === "t" || first === "m" || first === "d") return start + 2;
  return pair === "re" || pair === "ve" || pair === "ll" ? start + 3 : undefined;
}

function wordEnd(text: string, start: number): number {
  // One plain space belongs to the word that follows it.
  const from = text[start] === " " && start + 1 < text.length ? start + 1 : start;
  const kind = kindOf(text.codePointAt(from)!);
  if (kind !== SPACE) return runEnd(text, from, kind);
  const end = runEnd(text, start, SPACE);
  // Whitespace before a word leaves its last character to it.
  return end < text.length && end - start > 1 ? end - 1 : end;
}

function runEnd(text: string, start: number, kind: number): number {
  let end = start;
  while (end < text.length) {
    const codePoint = text.codePointAt(end)!;
    if (kindOf(codePoint) !== kind) break;
    end += codePoint > 0xffff ? 2 : 1;
  }
  return end;
}
