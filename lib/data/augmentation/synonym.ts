/**
 * `synonym`: words give way to synonyms from WordNet; synonym replacement of Wei and Zou, "EDA: Easy data augmentation
 * techniques for boosting performance on text classification tasks" (EMNLP 2019), with stop words and negations left
 * alone, and with the word's inflection and capitals.
 */
import type { Edit } from "./edits.ts";
import { type AugmentationMethod, changeCount, type WordOperation } from "./method.ts";
import { isNegation, isStopWord, matchCase, plainForm, type Word } from "./words.ts";
import type { WordNet } from "./wordnet.ts";

/** The words that can stand for a word of a passage. */
export function synonymsOf(wordNet: WordNet, word: Word): readonly string[] {
  if (word.fixed || isStopWord(word.text)) return [];
  return wordNet.synonyms(plainForm(word.text)).filter((synonym) => !isNegation(synonym));
}

/** Replaces words by synonyms. */
export function replaceWithSynonyms(wordNet: WordNet): WordOperation {
  return (passage, count) => {
    const edits: Edit[] = [];
    for (const word of passage.random.shuffle(passage.words)) {
      if (edits.length >= count) break;
      const synonyms = synonymsOf(wordNet, word);
      if (synonyms.length === 0) continue;
      const synonym = matchCase(passage.random.pick(synonyms), word.text);
      edits.push({ start: word.start, end: word.end, text: synonym });
    }
    return edits;
  };
}

/** See the top of this file. */
export const synonym: AugmentationMethod = {
  async propose(passages, services, { wordRate }) {
    const operation = replaceWithSynonyms(await services.wordNet());
    return passages.map((passage) => operation(passage, changeCount(passage.words.length, wordRate)));
  },
};
