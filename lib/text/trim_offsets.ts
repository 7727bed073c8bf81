/**
 * Leaves the blanks at both ends of a token out of its range, as the library's `ByteLevel` and `RobertaProcessing` do
 * with `trim_offsets`: " world" is the token "Ġworld", its range is "world".
 */

/** How many blanks a token begins and ends with. */
export interface Blanks {
  readonly leading: number;
  readonly trailing: number;
}

const NONE: Blanks = { leading: 0, trailing: 0 };

/** The blanks of a token as it is written: "Ġ", which stands for a space, and whitespace. */
export function blanksOf(token: string): Blanks {
  let leading = 0;
  while (leading < token.length && isBlank(token[leading]!)) leading++;
  let trailing = 0;
  while (trailing < token.length && isBlank(token[token.length - 1 - trailing]!)) trailing++;
  return leading + trailing === 0 ? NONE : { leading, trailing };
}

function isBlank(character: string): boolean {
  return character === "Ġ" || /\p{White_Space}/u.test(character);
}

/**
 * Trims the ranges of a text's tokens in place. The library counts the blanks of the token, not of the text behind it,
 * so a space that was put before a text takes a character with it unless it is the first; that is kept here.
 *
 * @param text well-formed
 * @param offsets [T, 2] ranges in UTF-16 units
 * @param blanks [T] blanks of the tokens
 * @param addPrefixSpace whether the one blank of a token at the start of the text was put there
 */
export function trimOffsets(
  text: string,
  offsets: number[],
  blanks: readonly Blanks[],
  addPrefixSpace: boolean,
): void {
  for (let i = 0; i < blanks.length; i++) {
    const { leading, trailing } = blanks[i]!;
    let start = offsets[2 * i]!, end = offsets[2 * i + 1]!;
    const isFirst = i === 0 || start === 0;
    if (leading > 0 && !(addPrefixSpace && leading === 1 && isFirst)) {
      start = Math.min(forward(text, start, leading), end);
    }
    if (trailing > 0) end = Math.max(backward(text, end, trailing) ?? end, start);
    offsets[2 * i] = start;
    offsets[2 * i + 1] = end;
  }
}

/** The position some characters further on, or the end of the text. */
function forward(text: string, position: number, characters: number): number {
  for (; characters > 0 && position < text.length; characters--) {
    position += text.codePointAt(position)! > 0xffff ? 2 : 1;
  }
  return position;
}

/** The position some characters before; undefined when there are not so many. */
function backward(text: string, position: number, characters: number): number | undefined {
  for (; characters > 0; characters--) {
    if (position === 0) return undefined;
    const low = text.charCodeAt(position - 1);
    position -= low >= 0xdc00 && low <= 0xdfff ? 2 : 1;
  }
  return position;
}
