/**
 * Tokens that are found in the text before the model sees it, special tokens foremost ("[SEP]" written in a text is
 * the separator). As `AddedVocabulary` of Hugging Face's `tokenizers`: leftmost match first, the longest at a place.
 */

/** One entry of `added_tokens` in tokenizer.json. */
export interface AddedToken {
  id: number;
  content: string;
  /** Match only where no word character touches it. */
  singleWord: boolean;
  /** Take the whitespace before it, too. */
  lstrip: boolean;
  /** Take the whitespace after it, too. */
  rstrip: boolean;
  /** Match in the normalized text rather than in the original. */
  normalized: boolean;
}

/** A stretch of text: an added token, or text between them when `id` is undefined. */
export interface Stretch {
  start: number;
  end: number;
  id: number | undefined;
}

/** The function that cuts a text at the added tokens given; stretches in order, none empty. */
export function addedTokenSplitter(tokens: readonly AddedToken[]): (text: string) => Stretch[] {
  const byContent = new Map(tokens.filter((token) => token.content !== "").map((token) => [token.content, token]));
  if (byContent.size === 0) return (text) => text === "" ? [] : [{ start: 0, end: text.length, id: undefined }];
  const longestFirst = [...byContent.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(longestFirst.map((content) => RegExp.escape(content)).join("|"), "gu");

  return (text) => {
    const stretches: Stretch[] = [];
    let done = 0;
    for (const match of text.matchAll(pattern)) {
      const token = byContent.get(match[0])!;
      let start = match.index, end = start + match[0].length;
      if (start < done) continue;
      if (token.singleWord && (wordCharacterBefore(text, start) || wordCharacterAfter(text, end))) continue;
      if (token.lstrip) { while (start > done && /\p{White_Space}/u.test(text[start - 1]!)) start--; }
      if (token.rstrip) { while (end < text.length && /\p{White_Space}/u.test(text[end]!)) end++; }
      if (start > done) stretches.push({ start: done, end: start, id: undefined });
      stretches.push({ start, end, id: token.id });
      done = end;
    }
    if (done < text.length) stretches.push({ start: done, end: text.length, id: undefined });
    return stretches;
  };
}

/** `\w` of Rust's regex crate. */
const WORD_CHARACTER = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;

function wordCharacterBefore(text: string, position: number): boolean {
  if (position === 0) return false;
  const low = text[position - 1]!;
  const pair = position > 1 && /[\uDC00-\uDFFF]/.test(low);
  return WORD_CHARACTER.test(pair ? text.slice(position - 2, position) : low);
}

function wordCharacterAfter(text: string, position: number): boolean {
  return position < text.length && WORD_CHARACTER.test(String.fromCodePoint(text.codePointAt(position)!));
}
