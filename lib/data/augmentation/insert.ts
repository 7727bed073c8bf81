/**
 * `insert`: a language model writes words between the words of the evidence; contextual augmentation after Kobayashi
 * (NAACL 2018) and the insertions of Li et al., "Contextualized perturbation for textual adversarial attack" (NAACL
 * 2021). Where the checkpoint has a masked-LM head, the new word is one that it expects at a mask; else it is a neighbour
 * of the next word in the embedding table, as random insertion of EDA takes a synonym.
 */
import { isGap } from "./eda.ts";
import type { Edit } from "./edits.ts";
import {
  type AugmentationMethod,
  changeCount,
  type Passage,
  type PieceTokenizer,
  type TokenCandidate,
} from "./method.ts";
import { isNegation, isStopWord, plainForm } from "./words.ts";

/** Tokens of context on each side of a place: what a model with 128 positions takes. */
const CONTEXT_TOKENS = 60;
/** UTF-16 units of text that are tokenised for it. */
const CONTEXT_UNITS = 600;
/** Candidates asked for: most of the best are punctuation and parts of words. */
const CANDIDATES = 64;
/** How many of those that can stand are drawn from. */
const CHOICE = 8;

/** Letters in which forms of one word agree: "week" and "weeks". */
const STEM = 4;

/** A place between two words of a passage, as the model sees it. */
interface Place {
  readonly passage: number;
  /** Where the new word comes to stand: the start of the next word. */
  readonly at: number;
  readonly previous: string;
  readonly next: string;
  readonly row: { readonly ids: Uint32Array; readonly position: number };
}

/** The places of a passage where words will be inserted: between two words of a clause without a negation. */
function choosePlaces(
  passage: Passage,
  index: number,
  tokenizer: PieceTokenizer,
  masked: boolean,
  count: number,
): Place[] {
  const { text, words, random } = passage;
  const isPlace = (i: number) =>
    i > 0 && !words[i]!.negated && !words[i]!.fixed && !words[i - 1]!.fixed &&
    isGap(text, words[i - 1]!.end, words[i]!.start) && (masked || hasNeighbours(words[i]!.text));
  const places: Place[] = [];
  for (const i of random.shuffle(words.map((_, word) => word).filter(isPlace))) {
    if (places.length >= count) break;
    const previous = words[i - 1]!, next = words[i]!;
    const row = masked
      ? maskedRow(text, previous.end, tokenizer)
      : tokenRow(text.slice(previous.end, next.end), tokenizer);
    if (row) places.push({ passage: index, at: next.start, previous: previous.text, next: next.text, row });
  }
  return places;
}

/** Whether a word stands for a meaning of its own: neighbours of function words and of names say something else. */
function hasNeighbours(word: string): boolean {
  return word === word.toLowerCase() && !isStopWord(word);
}

/** The text around `at` with a mask in between. */
function maskedRow(text: string, at: number, tokenizer: PieceTokenizer): Place["row"] {
  const left = tokenizer.encode(text.slice(Math.max(0, at - CONTEXT_UNITS), at)).ids.slice(-CONTEXT_TOKENS);
  const right = tokenizer.encode(text.slice(at, at + CONTEXT_UNITS)).ids.slice(0, CONTEXT_TOKENS);
  const ids = Uint32Array.from([tokenizer.clsId, ...left, tokenizer.maskId, ...right, tokenizer.sepId]);
  return { ids, position: left.length + 1 };
}

/** A word alone, where it is one token. */
function tokenRow(word: string, tokenizer: PieceTokenizer): Place["row"] | undefined {
  const { ids } = tokenizer.encode(word);
  if (ids.length !== 1 || !tokenizer.piece(ids[0]!)) return undefined;
  return { ids: Uint32Array.of(tokenizer.clsId, ids[0]!, tokenizer.sepId), position: 1 };
}

/** Candidates that are whole words, and none of them what stands there already or a negation. */
function wordsOf(
  candidates: readonly TokenCandidate[],
  tokenizer: PieceTokenizer,
  { previous, next }: Place,
): string[] {
  const stems = [previous, next].map((word) => plainForm(word).slice(0, STEM));
  const words = candidates.flatMap(({ id }) => {
    const piece = tokenizer.piece(id);
    if (!piece?.startsWord || !/^\p{Ll}{2,}$|^\p{Lu}?\p{Ll}{2,}$/u.test(piece.text)) return [];
    const word = piece.text.toLowerCase();
    return isNegation(word) || stems.includes(word.slice(0, STEM)) ? [] : [word];
  });
  return [...new Set(words)];
}

/** See the top of this file. */
export const insert: AugmentationMethod = {
  async propose(passages, services, { wordRate }) {
    const { suggester, tokenizer } = await services.suggestions();
    const masked = suggester.source === "masked_lm";
    const places = passages.flatMap((passage, i) =>
      choosePlaces(passage, i, tokenizer, masked, changeCount(passage.words.length, wordRate))
    );
    const edits: Edit[][] = passages.map(() => []);
    if (places.length === 0) return edits;
    const candidates = await suggester.suggest(places.map(({ row }) => row), CANDIDATES);
    places.forEach((place, i) => {
      const words = wordsOf(candidates[i]!, tokenizer, place)
        .filter((word) => masked || !isStopWord(word)).slice(0, CHOICE);
      if (words.length === 0) return;
      const word = passages[place.passage]!.random.pick(words);
      edits[place.passage]!.push({ start: place.at, end: place.at, text: `${word} ` });
    });
    return edits;
  },
};
