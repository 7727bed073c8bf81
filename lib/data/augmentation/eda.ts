/**
 * `eda`: Wei and Zou, "EDA: Easy data augmentation techniques for boosting performance on text classification tasks"
 * (EMNLP 2019). One of four operations, drawn for each passage, changes the share α of its words: synonym replacement,
 * random insertion of a synonym, random swap or random deletion. Where the one drawn finds nothing, the next one tries.
 */
import { deleteWords } from "./delete.ts";
import { type AugmentationMethod, changeCount, type WordOperation } from "./method.ts";
import { swapWords } from "./swap.ts";
import { replaceWithSynonyms, synonymsOf } from "./synonym.ts";
import type { WordNet } from "./wordnet.ts";

/** Random insertion: a synonym of some word of the passage before another word, in a clause without a negation. */
function insertSynonyms(wordNet: WordNet): WordOperation {
  return ({ text, words, random }, count) => {
    const sources = random.shuffle(words.map((word) => synonymsOf(wordNet, word)).filter(({ length }) => length > 0));
    const places = random.shuffle(
      words.filter(({ start, negated }, i) => i > 0 && !negated && isGap(text, words[i - 1]!.end, start)),
    );
    return sources.slice(0, Math.min(count, places.length)).map((synonyms, i) => {
      const { start } = places[i]!;
      return { start, end: start, text: `${random.pick(synonyms)} ` };
    });
  };
}

/** Whether two words stand side by side, with nothing but a space between them. */
export function isGap(text: string, end: number, start: number): boolean {
  return /^[ \t]+$/.test(text.slice(end, start));
}

/** See the top of this file. */
export const eda: AugmentationMethod = {
  async propose(passages, services, { wordRate }) {
    const wordNet = await services.wordNet();
    const operations = [replaceWithSynonyms(wordNet), insertSynonyms(wordNet), swapWords, deleteWords];
    return passages.map((passage) => {
      const count = changeCount(passage.words.length, wordRate);
      for (const operation of passage.random.shuffle(operations)) {
        const edits = operation(passage, count);
        if (edits.length > 0) return edits;
      }
      return [];
    });
  },
};
