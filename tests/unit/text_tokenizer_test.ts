import assert from "node:assert/strict";
import { growth } from "../support/growth.ts";
import { bertNormalizer } from "../../lib/text/bert_normalizer.ts";
import { buildWordPieceVocabulary } from "../../lib/text/vocabulary.ts";
import { wordPieceTokenizer } from "../../lib/text/word_piece_tokenizer.ts";
import { rememberWords } from "../../lib/text/word_cache.ts";

const SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/** [token, piece of the original text] for each token. */
function tokens(vocabulary: string[], text: string, lowercase = true): [string, string][] {
  const { ids, offsets } = wordPieceTokenizer(vocabulary, { lowercase }).encode(text);
  return [...ids].map((id, i) => [vocabulary[id]!, text.slice(offsets[2 * i], offsets[2 * i + 1])]);
}

Deno.test("offsets count UTF-16 units of the original: emoji, accents, ideographs, controls", () => {
  const vocabulary = [...SPECIAL, "👍", "cafe", "##s", "漢", "字", "!", "ab"];
  assert.deepEqual(tokens(vocabulary, "👍 CAFÉs 漢字! a\u200bB"), [
    ["👍", "👍"],
    ["cafe", "CAFÉ"],
    ["##s", "s"],
    ["漢", "漢"],
    ["字", "字"],
    ["!", "!"],
    ["ab", "a\u200bB"],
  ]);
  assert.deepEqual(tokens(vocabulary, "cafe\u0301s"), [["cafe", "cafe"], ["##s", "s"]]);
});

Deno.test("the longest piece wins, and a word that cannot be cut whole is one unknown token", () => {
  const vocabulary = [...SPECIAL, "un", "unable", "##ab", "##le", "##l"];
  assert.deepEqual(tokens(vocabulary, "unable"), [["unable", "unable"]]);
  assert.deepEqual(tokens(vocabulary, "unab"), [["un", "un"], ["##ab", "ab"]]);
  assert.deepEqual(tokens(vocabulary, "unabx un"), [["[UNK]", "unabx"], ["un", "un"]]);
  assert.deepEqual(tokens([...vocabulary, "a", "##a"], "a".repeat(101))[0]![0], "[UNK]");
  assert.equal(tokens([...vocabulary, "a", "##a"], "a".repeat(100)).length, 100);
  assert.equal(tokens([...vocabulary, "👍", "##👍"], "👍".repeat(100)).length, 100, "100 characters of two units");
});

Deno.test("case and accents are kept when the tokenizer is cased", () => {
  const vocabulary = [...SPECIAL, "É", "é", "e"];
  assert.deepEqual(tokens(vocabulary, "É e\u0301", false).map(([token]) => token), ["É", "[UNK]"]);
  assert.deepEqual(tokens(vocabulary, "É é", true).map(([token]) => token), ["e", "e"]);
});

Deno.test("a special token written in the text is that token, in its own case only", () => {
  const vocabulary = [...SPECIAL, "[", "sep", "]", "a", "b"];
  assert.deepEqual(tokens(vocabulary, "a[SEP]b [sep]").map(([token]) => token), ["a", "[SEP]", "b", "[", "sep", "]"]);
});

Deno.test("nothing, blanks and lone surrogates give no tokens and no error", () => {
  for (const text of ["", " \t\r\n\u00a0", "\u0000\ufffd\u200b", "\ud83d", "\udc4d\ud83d"]) {
    assert.deepEqual(tokens([...SPECIAL, "a"], text), []);
  }
});

Deno.test("moved combining marks keep their origins in ascending order", () => {
  const normalize = bertNormalizer({
    cleanText: true,
    handleChineseChars: true,
    stripAccents: true,
    lowercase: true,
  });
  // U+302E (class 224) is no nonspacing mark and stays; the dot below it (220) goes before it, then away.
  const { text, starts, ends } = normalize("A\u302e\u200b\u0323b");
  assert.deepEqual([text, [...starts], [...ends]], ["a\u302eb", [0, 3, 4], [1, 4, 5]]);
});

Deno.test("a vocabulary holds special tokens, characters, pieces, then words by frequency and code point", () => {
  const texts = ["bad bad cab", "Cab dab, dab"];
  assert.deepEqual(buildWordPieceVocabulary(texts, 18), [
    ...SPECIAL,
    ...[",", "a", "b", "c", "d"],
    ...["##,", "##a", "##b", "##c", "##d"],
    ...["bad", "cab", "dab"],
  ]);
  assert.deepEqual(buildWordPieceVocabulary(texts.toReversed(), 17), buildWordPieceVocabulary(texts, 17));
  assert.equal(buildWordPieceVocabulary(texts, 1000).length, 18);
  assert.ok(buildWordPieceVocabulary(texts, 100, { lowercase: false }).includes("Cab"));
  const order = buildWordPieceVocabulary(["\u{1f44d} \uff01 \u{1f44c}"], 100).slice(5, 8);
  assert.deepEqual(order, ["\uff01", "\u{1f44c}", "\u{1f44d}"], "code points, not UTF-16 units");
  assert.throws(() => buildWordPieceVocabulary(texts, 14), /cannot hold the 5 special tokens and the 5 characters/);
});

Deno.test("a vocabulary with a token twice or without a special token is refused", () => {
  assert.throws(() => wordPieceTokenizer([...SPECIAL, "a", "a"], { lowercase: true }), /lists "a" twice/);
  assert.throws(() => wordPieceTokenizer(["[PAD]", "[UNK]"], { lowercase: true }), /no classification token "\[CLS\]"/);
});

Deno.test("the time for posts of tweet length grows with their number", () => {
  const words = Array.from({ length: 3000 }, (_, i) => `word${i.toString(36)}`);
  const posts = Array.from(
    { length: 2000 },
    (_, i) => Array.from({ length: 15 }, (_, j) => words[(i * 31 + j * 977) % words.length]).join(" ") + "… café 👍!",
  );
  const tokenizer = wordPieceTokenizer(buildWordPieceVocabulary(posts, 2000), { lowercase: true });
  const ratio = growth((count) => posts.slice(0, count).forEach((post) => tokenizer.encode(post)), 200, 10);
  assert.ok(ratio < 5, `10 times the posts take ${ratio} times as long as the posts 10 times`);
});

Deno.test("a hostile text costs time in proportion to its length", () => {
  const tokenizer = wordPieceTokenizer([...SPECIAL, "a", "##a"], { lowercase: true });
  for (const text of ["a", "a ", "a\u0301\u0323", "\u0301\u0323"]) {
    const ratio = growth((count) => tokenizer.encode("a" + text.repeat(count)), 3_000, 16);
    assert.ok(ratio < 8, `16 times ${JSON.stringify(text)} take ${ratio} times as long as 16 texts`);
  }
});

Deno.test("words are remembered until they grow too many, and long ones not at all", () => {
  let calls = 0;
  const lengthOf = rememberWords((word) => {
    calls++;
    return word.length;
  });
  const word = (i: number) => "w".repeat(20) + String(i).padStart(20, "0");
  for (let i = 0; i < 1000; i++) assert.equal(lengthOf(word(i % 10)), 40);
  assert.equal(calls, 10);
  for (let i = 0; i < 3; i++) lengthOf("x".repeat(65));
  assert.equal(calls, 13);
  for (let i = 0; i < 30_000; i++) lengthOf(word(i));
  calls = 0;
  lengthOf(word(29_999));
  assert.equal(calls, 0);
  lengthOf(word(0));
  assert.equal(calls, 1, "forgotten");
});
