/**
 * SQuAD v2's exact match and F1 of two texts (Rajpurkar et al., 2018; `evaluate-v2.0.py`): lower case, without ASCII
 * punctuation and the articles a, an, the, split at white space. Characters are classed as Python classes them.
 */

/** Python's `string.punctuation`. */
const PUNCTUATION = /[!-/:-@[-`{-~]/g;
/** `\b(a|an|the)\b` with Python's word characters: letters and numbers of any script, and the underscore. */
const ARTICLES = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;
/** What Python's `str.split()` splits at. */
// deno-lint-ignore no-control-regex
const WHITE_SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

/** The tokens of an answer, normalised: `get_tokens`. */
export function squadTokens(text: string): string[] {
  return text.toLowerCase().replaceAll(PUNCTUATION, "").replaceAll(ARTICLES, " ").split(WHITE_SPACE)
    .filter((token) => token !== "");
}

/** Exact match (0 or 1) and token F1 of an answer against the gold one; "" is no answer. */
export function squadScore(predicted: string, gold: string): { exact: number; f1: number } {
  const said = squadTokens(predicted), wanted = squadTokens(gold);
  const exact = said.join(" ") === wanted.join(" ") ? 1 : 0;
  // If either is no answer, F1 is 1 where both are.
  return { exact, f1: said.length === 0 || wanted.length === 0 ? exact : bagF1(said, wanted) };
}

/** Harmonic mean of precision and recall of two bags. */
export function bagF1(said: readonly string[], wanted: readonly string[]): number {
  const left = new Map<string, number>();
  for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1);
  let common = 0;
  for (const word of said) {
    const count = left.get(word) ?? 0;
    if (count === 0) continue;
    left.set(word, count - 1);
    common++;
  }
  return common === 0 ? 0 : (2 * common) / (said.length + wanted.length);
}
