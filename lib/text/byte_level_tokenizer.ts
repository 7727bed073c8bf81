/** A RoBERTa tokenizer put together: added tokens, words, byte-pair encoding; offsets carried through. */
import { type AddedToken, addedTokenSplitter, withIds } from "./added_tokens.ts";
import { textOfToken } from "./byte_alphabet.ts";
import { forEachByteLevelWord } from "./byte_level_pre_tokenizer.ts";
import { bytePairEncoder, type Merge } from "./byte_pair_encoding.ts";
import { specialIds, type SpecialTokens } from "./special_tokens.ts";
import type { Encoding, Piece, Tokenizer } from "./tokenizer.ts";
import { type Blanks, blanksOf, trimOffsets } from "./trim_offsets.ts";

/** All that decides what a byte-level BPE tokenizer does. */
export interface ByteLevelDefinition {
  vocabulary: ReadonlyMap<string, number>;
  merges: readonly Merge[];
  /** The token of bytes that the vocabulary lacks; such bytes are left out when it is undefined. */
  unknown: string | undefined;
  fuseUnknown: boolean;
  ignoreMerges: boolean;
  /** Put a space before a text that does not begin with one, so that its first word is as any other. */
  addPrefixSpace: boolean;
  /** Whether text is cut into words first. */
  useRegex: boolean;
  /** Steps that trim offsets, each with whether it takes a first blank for one that was put there; usually one. */
  trims: readonly boolean[];
  special: SpecialTokens;
  /** Separators between the texts of a pair. */
  pairSeparators: number;
  addedTokens: readonly AddedToken[];
}

/**
 * The tokenizer that a definition describes.
 *
 * @param files what `files()` gives back
 * @throws an input error when a special token is in neither the vocabulary nor the added tokens
 */
export function byteLevelTokenizer(definition: ByteLevelDefinition, files: () => Map<string, Uint8Array>): Tokenizer {
  const { vocabulary, special, addPrefixSpace, useRegex } = definition;
  const addedTokens = withIds(definition.addedTokens, vocabulary);
  const ids = specialIds(special, vocabulary, addedTokens);
  const splitFirst = addedTokenSplitter(addedTokens.filter((token) => !token.normalized));
  // There is no normalizer: these are only looked for after the others.
  const splitSecond = addedTokenSplitter(addedTokens.filter((token) => token.normalized));
  const cut = bytePairEncoder(vocabulary, definition.merges, {
    unkId: definition.unknown === undefined ? undefined : vocabulary.get(definition.unknown),
    fuseUnknown: definition.fuseUnknown,
    ignoreMerges: definition.ignoreMerges,
  });
  const forEachWord = useRegex
    ? forEachByteLevelWord
    : (text: string, visit: (start: number, end: number) => void) => visit(0, text.length);
  let vocabSize = 0;
  const contents = new Map<number, string>();
  for (const [token, id] of vocabulary) contents.set(id, token);
  for (const { content, id } of addedTokens) contents.set(id, content);
  for (const id of contents.keys()) vocabSize = Math.max(vocabSize, id + 1);
  const blanks = new Map([...contents].map(([id, token]) => [id, blanksOf(token)]));

  const encode = (original: string): Encoding => {
    const text = original.toWellFormed();
    const tokens: number[] = [], offsets: number[] = [], blanksOfTokens: Blanks[] = [];

    const pushAdded = (id: number, start: number, end: number) => {
      tokens.push(id);
      offsets.push(start, end);
      blanksOfTokens.push(blanksOf(text.slice(start, end)));
    };
    const pushWords = (base: number, end: number) => {
      const stretch = text.slice(base, end);
      const prefix = addPrefixSpace && !stretch.startsWith(" ") ? 1 : 0;
      const spaced = prefix === 1 ? " " + stretch : stretch;
      // The space that was put there has the range of the character after it.
      const firstEnd = base + (stretch.codePointAt(0)! > 0xffff ? 2 : 1);
      forEachWord(spaced, (wordStart, wordEnd) => {
        const { ids, starts, ends } = cut(spaced.slice(wordStart, wordEnd));
        for (let i = 0; i < ids.length; i++) {
          const start = wordStart + starts[i]!, end = wordStart + ends[i]!;
          tokens.push(ids[i]!);
          offsets.push(base + Math.max(start - prefix, 0), end === prefix ? firstEnd : base + end - prefix);
          blanksOfTokens.push(blanks.get(ids[i]!)!);
        }
      });
    };
    for (const first of splitFirst(text)) {
      if (first.id !== undefined) {
        pushAdded(first.id, first.start, first.end);
        continue;
      }
      for (const second of splitSecond(text.slice(first.start, first.end))) {
        const start = first.start + second.start, end = first.start + second.end;
        if (second.id !== undefined) pushAdded(second.id, start, end);
        else pushWords(start, end);
      }
    }
    for (const addPrefixSpace of definition.trims) trimOffsets(text, offsets, blanksOfTokens, addPrefixSpace);
    return { ids: Uint32Array.from(tokens), offsets: Uint32Array.from(offsets) };
  };

  const added = new Set(addedTokens.map(({ id }) => id));
  const roles = new Set(Object.values(ids));
  const piece = (id: number): Piece | undefined => {
    const token = contents.get(id);
    if (token === undefined || added.has(id) || roles.has(id)) return undefined;
    const text = textOfToken(token);
    if (text === undefined || text === "" || text === " ") return undefined;
    const startsWord = text.startsWith(" ");
    return { text: startsWord ? text.slice(1) : text, startsWord };
  };

  return { vocabSize, ...ids, pairSeparators: definition.pairSeparators, piece, encode, files };
}
