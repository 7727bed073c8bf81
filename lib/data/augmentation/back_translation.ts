/**
 * `back_translation`: sentences go to another language and back; Sennrich, Haddow and Birch, "Improving neural machine
 * translation models with monolingual data" (ACL 2016), as used for classification by Xie et al., "Unsupervised data
 * augmentation for consistency training" (NeurIPS 2020).
 *
 * A sentence keeps its own words where the result lost what must stay: a negation, an address, an emoji.
 */
import type { CharacterSpan } from "../dataset.ts";
import type { AugmentationMethod } from "./method.ts";
import { countNegations, isProtectedChunk } from "./words.ts";

/** How much longer or shorter than the sentence its translation may be: beyond, the models went astray. */
const MAX_RATIO = 3;
/** Units by which any sentence may grow. */
const SLACK = 20;

/**
 * The sentences of a stretch of text, without the white space between them. Those without a letter are left out, and
 * those that touch a letter outside, with which the translation would make a new word.
 */
export function sentencesOf(text: string, { start, end }: CharacterSpan): CharacterSpan[] {
  const inside = text.slice(start, end);
  return [...inside.matchAll(/\S(?:[^\n]*?[^\s.!?…][.!?…]+["'”’)]*(?=\s)|[^\n]*)/gu)]
    .map((match) => ({ start: start + match.index, end: start + match.index + match[0].trimEnd().length }))
    .filter((sentence) => {
      const own = text.slice(sentence.start, sentence.end);
      const before = text.slice(Math.max(0, sentence.start - 3), sentence.start);
      const after = text.slice(sentence.end, sentence.end + 3);
      return /\p{L}/u.test(own) && own.isWellFormed() && !/[\p{L}\p{M}\p{N}]['’]?$/u.test(before) &&
        !/^['’]?[\p{L}\p{M}\p{N}]/u.test(after);
    });
}

/** Whether a translation can stand for its sentence. */
function isFaithful(sentence: string, translation: string): boolean {
  const chunks = sentence.split(/\s+/).filter(isProtectedChunk);
  const emoji = sentence.match(/\p{Extended_Pictographic}/gu) ?? [];
  return /\p{L}/u.test(translation) &&
    translation.length <= MAX_RATIO * sentence.length + SLACK &&
    sentence.length <= MAX_RATIO * translation.length + SLACK &&
    countNegations(translation) === countNegations(sentence) &&
    [...chunks, ...emoji].every((kept) => translation.includes(kept));
}

/** See the top of this file. */
export const backTranslation: AugmentationMethod = {
  async propose(passages, services) {
    const sentences = passages.map((passage) => sentencesOf(passage.text, passage));
    const texts = passages.flatMap(({ text }, i) => sentences[i]!.map(({ start, end }) => text.slice(start, end)));
    const unique = [...new Set(texts)];
    const results = await services.backTranslate(unique);
    const translations = new Map(unique.map((text, i) => [text, results[i]!.replaceAll(/\s+/gu, " ").trim()]));
    return passages.map(({ text }, i) =>
      sentences[i]!.flatMap(({ start, end }) => {
        const sentence = text.slice(start, end);
        const translation = translations.get(sentence)!;
        return isFaithful(sentence, translation) ? [{ start, end, text: translation }] : [];
      })
    );
  },
};
