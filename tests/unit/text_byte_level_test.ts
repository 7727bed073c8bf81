import assert from "node:assert/strict";
import { growth } from "../support/growth.ts";
import { BYTE_CHARACTERS, textOfToken } from "../../lib/text/byte_alphabet.ts";
import { forEachByteLevelWord } from "../../lib/text/byte_level_pre_tokenizer.ts";
import { bytePairEncoder } from "../../lib/text/byte_pair_encoding.ts";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import type { Tokenizer } from "../../lib/text/tokenizer.ts";
import { byteLevel, byteLevelJson, byteLevelVocabulary, robertaProcessing } from "../support/byte_level_files.ts";
import { withFolders } from "../support/text_parity.ts";

const MERGES = ["h e", "Ġ t", "Ġt he", "l l", "he ll", "ð Ł", "Ċ Ċ", "Ġ Ġ"];
const VOCABULARY = byteLevelVocabulary(MERGES);
const NAMES = new Map(Object.entries(VOCABULARY).map(([token, id]) => [id, token]));

async function tokenizerOf(json: object): Promise<Tokenizer> {
  return await withFolders([{ "tokenizer.json": json }], ([folder]) => loadTokenizer(folder!));
}

/** [token, piece of the original text] for each token. */
function tokens(tokenizer: Tokenizer, text: string): [string, string][] {
  const { ids, offsets } = tokenizer.encode(text);
  return [...ids].map((id, i) => [NAMES.get(id)!, text.slice(offsets[2 * i], offsets[2 * i + 1])]);
}

const words = (text: string) => {
  const found: string[] = [];
  forEachByteLevelWord(text, (start, end) => found.push(text.slice(start, end)));
  return found;
};

Deno.test("words are those of GPT-2's regular expression", () => {
  const expression =
    /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
  const morsels = [
    "a",
    "é",
    "1",
    "²",
    "'",
    "'s",
    "'ll",
    "'re",
    "'T",
    " ",
    "  ",
    "\n",
    "\u00a0",
    "!",
    "👍",
    "\u0301",
    "漢",
  ];
  for (let a = 0; a < morsels.length; a++) {
    for (let b = 0; b < morsels.length; b++) {
      for (let c = 0; c < morsels.length; c++) {
        const text = `x${morsels[a]}${morsels[b]}${morsels[c]}${morsels[(a + b + c) % morsels.length]}`;
        assert.deepEqual(words(text), text.match(expression) ?? []);
        assert.deepEqual(words(text.slice(1)), text.slice(1).match(expression) ?? []);
      }
    }
  }
  assert.deepEqual(words(""), []);
});

Deno.test("offsets count UTF-16 units, leave out the blank, and give a cut character to each of its tokens", async () => {
  const tokenizer = await tokenizerOf(byteLevelJson(MERGES));
  assert.deepEqual(tokens(tokenizer, "hell the 👍é"), [
    ["hell", "hell"],
    ["Ġthe", "the"],
    ["Ġ", ""],
    ["ðŁ", "👍"],
    ["ĳ", "👍"],
    ["į", "👍"],
    ["Ã", "é"],
    ["©", "é"],
  ]);
  const blanks = await tokenizerOf({
    ...byteLevelJson(MERGES),
    post_processor: robertaProcessing(VOCABULARY, false, false),
  });
  assert.deepEqual(tokens(blanks, "a the"), [["a", "a"], ["Ġthe", " the"]]);
  const spaced = await tokenizerOf({
    ...byteLevelJson(MERGES),
    pre_tokenizer: byteLevel(true),
    post_processor: robertaProcessing(VOCABULARY, true),
  });
  assert.deepEqual(tokens(spaced, "the"), [["Ġthe", "the"]]);
});

Deno.test("special tokens in a text are found, <mask> with the blanks before it", async () => {
  const tokenizer = await tokenizerOf(byteLevelJson(MERGES));
  assert.deepEqual(tokens(tokenizer, "</s>a \n<mask> the"), [
    ["</s>", "</s>"],
    ["a", "a"],
    ["<mask>", "<mask>"],
    ["Ġthe", "the"],
  ]);
});

Deno.test("lone surrogates count as U+FFFD", async () => {
  const tokenizer = await tokenizerOf(byteLevelJson(MERGES));
  for (const text of ["\ud83d", "a\udc4d\ud83d", "\udc4d👍\ud83d "]) {
    assert.deepEqual(tokenizer.encode(text), tokenizer.encode(text.toWellFormed()));
    assert.ok(tokenizer.encode(text).ids.length >= 3);
  }
});

Deno.test("merges are taken by rank, the leftmost of equals first, and the later of two with one pair counts", () => {
  const vocabulary = new Map(["a", "b", "ab", "ba", "aba", "aa"].map((token, id) => [token, id]));
  const merge = (left: string, right: string) => ({
    left: vocabulary.get(left)!,
    right: vocabulary.get(right)!,
    joined: vocabulary.get(left + right)!,
  });
  const options = { unkId: undefined, fuseUnknown: false, ignoreMerges: false };
  const cut = (merges: ReturnType<typeof merge>[], word: string) => {
    const { ids, starts, ends } = bytePairEncoder(vocabulary, merges, options)(word);
    assert.deepEqual(
      [...ids].map((id) => [...vocabulary.keys()][id]),
      starts.map((start, i) => word.slice(start, ends[i])),
    );
    return starts.map((start, i) => word.slice(start, ends[i])).join(" ");
  };
  assert.equal(cut([merge("a", "b"), merge("b", "a")], "abab"), "ab ab");
  assert.equal(cut([merge("b", "a"), merge("a", "b")], "abab"), "a ba b");
  assert.equal(cut([merge("a", "b"), merge("ab", "a")], "ababa"), "ab aba");
  assert.equal(cut([merge("a", "a")], "aaaaa"), "aa aa a");
  assert.equal(cut([merge("a", "b"), merge("b", "a"), merge("a", "b")], "abab"), "a ba b");
});

Deno.test("bytes that the vocabulary lacks are unknown, or left out where there is no unknown token", () => {
  const vocabulary = new Map([["a", 0], ["<unk>", 1], ["Ã", 2]]);
  const encode = (unkId: number | undefined, fuseUnknown: boolean) => {
    const cut = bytePairEncoder(vocabulary, [], { unkId, fuseUnknown, ignoreMerges: false });
    const { ids, starts, ends } = cut("aéb👍a");
    return ids.map((id, i) => [id, starts[i], ends[i]]);
  };
  assert.deepEqual(encode(undefined, false), [[0, 0, 1], [2, 1, 2], [0, 5, 6]]);
  assert.deepEqual(encode(1, true), [[0, 0, 1], [2, 1, 2], [1, 1, 5], [0, 5, 6]]);
  assert.equal(encode(1, false).length, 3 + 1 + 1 + 4);
});

Deno.test("pieces are texts without the mark of a space; parts of characters and special tokens are none", async () => {
  const tokenizer = await tokenizerOf(byteLevelJson([...MERGES, "Ã ©"]));
  const vocabulary = byteLevelVocabulary([...MERGES, "Ã ©"]);
  const piece = (token: string) => tokenizer.piece(vocabulary[token]!);
  assert.deepEqual(piece("Ġthe"), { text: "the", startsWord: true });
  assert.deepEqual(piece("hell"), { text: "hell", startsWord: false });
  assert.deepEqual(piece("Ã©"), { text: "é", startsWord: false });
  assert.deepEqual(piece("ĊĊ"), { text: "\n\n", startsWord: false });
  for (const none of ["Ã", "ðŁ", "Ġ", "<s>", "<mask>"]) assert.equal(piece(none), undefined, none);
  assert.equal(tokenizer.piece(1_000_000), undefined);
});

Deno.test("every byte has a character of its own, and the space is Ġ", () => {
  assert.equal(new Set(BYTE_CHARACTERS).size, 256);
  assert.equal(BYTE_CHARACTERS[0x20], "Ġ");
  assert.equal(BYTE_CHARACTERS[0x41], "A");
  assert.equal(textOfToken("Ġna"), " na");
  assert.equal(textOfToken("no space"), undefined);
});

Deno.test("a word of a megabyte is cut into its tokens, in time that grows no faster than the word", async () => {
  const letters = Array.from({ length: 1_000_000 }, (_, i) => "helt"[(i * 2_654_435_761 >>> 13) % 4]).join("");
  const tokenizer = await tokenizerOf(byteLevelJson(MERGES));
  const doubling = await tokenizerOf(byteLevelJson(["a a", "aa aa", "aaaa aaaa", "aaaaaaaa aaaaaaaa"]));
  assert.ok(tokenizer.encode(letters).ids.length > 500_000);
  assert.equal(doubling.encode("a".repeat(1_000_000)).ids.length, 62_500);
  assert.equal(tokenizer.encode(" ".repeat(1_000_000)).ids.length, 500_000);
  assert.equal(tokenizer.encode("\u0301".repeat(300_000)).ids.length, 600_000);
  // Other letters each time: words are remembered.
  let shift = 0;
  const ratio = growth((size) => tokenizer.encode(letters.slice(++shift, shift + size)), 20_000, 16);
  assert.ok(ratio < 8, `a word of 16 times the letters takes ${ratio} times as long as 16 words`);
});
