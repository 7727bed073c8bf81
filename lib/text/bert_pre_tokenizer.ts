/** `BertPreTokenizer` of Hugging Face's `tokenizers`: words end at whitespace, and each punctuation mark is a word. */
import { isPunctuation, isWhitespace } from "./unicode.ts";

const OTHER = 0, SPACE = 1, PUNCTUATION = 2;

const remembered = new Map<number, number>();

function kindOf(codePoint: number): number {
  let kind = remembered.get(codePoint);
  if (kind === undefined) {
    const character = String.fromCodePoint(codePoint);
    kind = isWhitespace(character) ? SPACE : isPunctuation(character) ? PUNCTUATION : OTHER;
    remembered.set(codePoint, kind);
  }
  return kind;
}

/**
 * The words of a normalized text between two positions.
 *
 * @param visit called with the start and end (exclusive) of each word in UTF-16 units of `text`, in order
 */
export function forEachWord(text: string, from: number, to: number, visit: (start: number, end: number) => void): void {
  let wordStart = from;
  for (let position = from; position < to;) {
    const codePoint = text.codePointAt(position)!;
    const next = position + (codePoint > 0xffff ? 2 : 1);
    const kind = kindOf(codePoint);
    if (kind !== OTHER) {
      if (wordStart < position) visit(wordStart, position);
      if (kind === PUNCTUATION) visit(position, next);
      wordStart = next;
    }
    position = next;
  }
  if (wordStart < to) visit(wordStart, to);
}
