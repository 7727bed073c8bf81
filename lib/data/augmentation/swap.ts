/**
 * `swap`: two words change places; random swap of EDA (Wei and Zou, EMNLP 2019). Both words are of one clause without a
 * negation, so that what is denied stays what it was, and the capitals stay where they stood.
 */
import type { Edit } from "./edits.ts";
import { type AugmentationMethod, operationMethod, type WordOperation } from "./method.ts";
import { isStopWord, matchCase, plainForm, type Word } from "./words.ts";

/** Swaps pairs of words. */
export const swapWords: WordOperation = (passage, count) => {
  const edits: Edit[] = [];
  const used = new Set<number>();
  const { words, random } = passage;
  // "I'm" and "it's" begin what they belong to.
  const movable = (i: number) =>
    !words[i]!.fixed && !words[i]!.negated && !used.has(i) && !plainForm(words[i]!.text).includes("'");
  for (const first of random.shuffle(words.map((_, i) => i))) {
    if (edits.length >= 2 * count) break;
    if (!movable(first)) continue;
    const partners = words.map((_, i) => i).filter((i) =>
      i !== first && movable(i) && words[i]!.clause === words[first]!.clause &&
      words[i]!.text.toLowerCase() !== words[first]!.text.toLowerCase()
    );
    if (partners.length === 0) continue;
    const second = random.pick(partners);
    used.add(first).add(second);
    edits.push(putInPlace(words[first]!, words[second]!), putInPlace(words[second]!, words[first]!));
  }
  return edits;
};

/** `word` in the place of `other`. */
function putInPlace(word: Word, other: Word): Edit {
  return { start: other.start, end: other.end, text: withCapitalsOf(word.text, other.text) };
}

/** "Now he sleeps" → "He now sleeps": a beginning gets a capital, a function word loses it, a name keeps its own. */
function withCapitalsOf(word: string, other: string): string {
  const isTitle = (text: string) => text.length > 1 && /^\p{Lu}[^\p{Lu}]*$/u.test(text);
  const isLower = (text: string) => text === text.toLowerCase();
  if (isTitle(other) && isLower(word)) return matchCase(word, other);
  if (isLower(other) && isTitle(word) && isStopWord(word)) return word.toLowerCase();
  return word;
}

/** See the top of this file. */
export const swap: AugmentationMethod = operationMethod(swapWords);
