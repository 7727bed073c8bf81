/**
 * Tokens that are found in the text before the model sees it, special tokens foremost ("[SEP]" written in a text is
 * the separator). As `AddedVocabulary` of Hugging Face's `tokenizers`: leftmost match first, the longest at a place.
 */

/** One entry of `added_tokens` in tokenizer.json, without its id. */
export interface AddedToken {
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

/** An added token and its id. */
export interface NumberedToken extends AddedToken {
  id: number;
}

/**
 * The tokens with the ids that the library gives them: an added token that the vocabulary knows has the vocabulary's
 * id, others are counted on from its size, whatever their file says. Of two with one content the later counts.
 */
export function withIds(
  tokens: readonly AddedToken[],
  vocabulary: ReadonlyMap<string, number>,
): NumberedToken[] {
  const byContent = new Map<string, NumberedToken>();
  let next = vocabulary.size;
  for (const token of tokens) {
    if (token.content === "") continue;
    const id = byContent.get(token.content)?.id ?? vocabulary.get(token.content) ?? next++;
    byContent.set(token.content, { ...token, id });
  }
  return [...byContent.values()];
}

/** A stretch of text: an added token, or text between them when `id` is undefined. */
export interface Stretch {
  start: number;
  end: number;
  id: number | undefined;
}

/** The function that cuts a text at the added tokens given; stretches in order, none empty. */
export function addedTokenSplitter(tokens: readonly NumberedToken[]): (text: string) => Stretch[] {
  const byContent = new Map(tokens.map((token) => [token.content, token]));
  byContent.delete("");
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
