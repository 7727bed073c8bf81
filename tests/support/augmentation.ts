/** Examples and services for the tests of augmentation. */
import type { AugmentationOptions } from "../../lib/data/augmentation/augment.ts";
import type { AugmentationServices, PieceTokenizer, TokenSuggester } from "../../lib/data/augmentation/method.ts";
import { openWordNet, type WordNet } from "../../lib/data/augmentation/wordnet.ts";
import type { CharacterSpan, Example } from "../../lib/data/dataset.ts";
import { wordTokenizer } from "../fixtures/word_tokenizer.ts";

/** A post with the evidence of each criterion, given as spans or as the sentences themselves. */
export function post(postId: string, text: string, ...criteria: readonly (CharacterSpan | string)[][]): Example {
  const allEvidence = criteria.map((spans) =>
    spans.map((span) => {
      const { start, end } = typeof span === "string" ? placeOf(text, span) : span;
      return { start, end, status: "exact" as const };
    })
  );
  return {
    postId,
    text,
    labels: Uint8Array.from(allEvidence, (spans) => spans.length > 0 ? 1 : 0),
    evidence: allEvidence.map((spans) => spans[0] ?? null),
    allEvidence,
  };
}

function placeOf(text: string, sentence: string): CharacterSpan {
  const start = text.indexOf(sentence);
  if (start < 0) throw new RangeError(`Expected the sentence "${sentence}" to stand in the text`);
  return { start, end: start + sentence.length };
}

/** Options with every post drawn. */
export function always(method: AugmentationOptions["methods"][number], seed = 1, wordRate = 0.1): AugmentationOptions {
  return { methods: [method], prob: 1, wordRate, seed };
}

let wordNet: WordNet | undefined;
/** WordNet, opened once for all tests of a file. */
export async function sharedWordNet(): Promise<WordNet> {
  return wordNet ??= await openWordNet();
}

/** A vocabulary for suggestions: special tokens and parts of words have no place in a text, negations must not come. */
export const SUGGESTED = ["really", "not", "never", "deeply", "##ing", "[SEP]", ".", "a1", "quietly", "can't", "weary"];
const FIRST_ID = 100_000;

/** A tokenizer that knows its words, and the suggested ones from id 100,000 on. */
export function pieceTokenizer(): PieceTokenizer {
  return {
    ...wordTokenizer(),
    maskId: 3,
    piece(id) {
      const text = SUGGESTED[id - FIRST_ID];
      if (id < FIRST_ID) return { text: "word", startsWord: true };
      if (text === undefined || text.startsWith("[")) return undefined;
      return { text: text.replace("##", ""), startsWord: !text.startsWith("##") };
    },
  };
}

/** A suggester that gives all of SUGGESTED in order for every place, and remembers what it was asked. */
export function scriptedSuggester(source: TokenSuggester["source"]) {
  const asked: { ids: Uint32Array; position: number }[] = [];
  const suggester: TokenSuggester = {
    source,
    suggest(rows, count) {
      asked.push(...rows);
      const candidates = SUGGESTED.map((_, i) => ({ id: FIRST_ID + i, score: -i })).slice(0, count);
      return Promise.resolve(rows.map(() => candidates));
    },
  };
  return { suggester, asked };
}

/** Services that stand in for models: suggestions by script, and translation by a function. */
export function services(
  { source = "masked_lm", translate = (text) => `well, ${text}` }: {
    source?: TokenSuggester["source"];
    translate?: (text: string) => string;
  } = {},
): AugmentationServices {
  const { suggester } = scriptedSuggester(source);
  const tokenizer = pieceTokenizer();
  return {
    wordNet: sharedWordNet,
    suggestions: () => Promise.resolve({ suggester, tokenizer }),
    backTranslate: (texts) => Promise.resolve(texts.map(translate)),
  };
}
