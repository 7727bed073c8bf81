import assert from "node:assert/strict";
import { growth } from "../support/growth.ts";
import { normaliseText, sentenceAligner } from "../../lib/data/alignment.ts";

/** What the sentence covers in the text, with its status. */
function found(text: string, sentence: string): [string, string] | "not_found" {
  const alignment = sentenceAligner(text)(sentence);
  return alignment.status === "not_found"
    ? "not_found"
    : [alignment.status, text.slice(alignment.start, alignment.end)];
}

Deno.test("alignment: an exact sentence, the first of two, without the white space around it", () => {
  const exact = { status: "exact", repeated: true };
  assert.deepEqual(sentenceAligner("a b. 😭 a b.")(" a b.\n"), { ...exact, start: 0, end: 4 });
  assert.deepEqual(sentenceAligner("😭 a b. a b.")("a b."), { ...exact, start: 3, end: 7 });
  assert.deepEqual(sentenceAligner("😭 a b. a c.")("a b."), { ...exact, start: 3, end: 7, repeated: false });
  const normalised = { status: "normalised", start: 2, end: 7 };
  assert.deepEqual(sentenceAligner("x I’m I. I’m")("i'm i"), { ...normalised, repeated: false });
  assert.deepEqual(sentenceAligner("x I’m I. I’m I")("i'm i"), { ...normalised, repeated: true });
});

Deno.test("alignment: quotes, dashes, white space, case, composition and invisible characters are seen through", () => {
  const cases: [text: string, sentence: string, covered: string][] = [
    ["x I can’t sleep. y", "I can't sleep.", "I can’t sleep."],
    ['He said "no" twice', "“no” twice", '"no" twice'],
    ["I `d go", "I ´d go", "I `d go"],
    ["a — b – c - d", "a - b -- c ― d", "a — b – c - d"],
    ["well -- no", "well — no", "well -- no"],
    ["😭 I  cry\u00a0every\n\nnight 😭", "I cry every night", "I  cry\u00a0every\n\nnight"],
    ["I CRY Every Night", "i cry every night", "I CRY Every Night"],
    ["caf\u00e9 today", "cafe\u0301 today", "caf\u00e9 today"],
    ["cafe\u0301!", "caf\u00e9!", "cafe\u0301!"],
    ["wait… what", "wait... what", "wait… what"],
    ["ﬁne, I guess", "fine, I guess", "ﬁne, I guess"],
    ["in\u00adsom\u200bnia again", "insomnia again", "in\u00adsom\u200bnia again"],
    ["love ❤️ you", "love ❤ you", "love ❤️ you"],
    ["Straße", "STRASSE", "Straße"],
    ["한국어 글", "한국어 글".normalize("NFD"), "한국어 글"],
  ];
  for (const [text, sentence, covered] of cases) assert.deepEqual(found(text, sentence), ["normalised", covered]);
});

Deno.test("alignment: a paraphrase or another spelling is the most similar passage of whole words", () => {
  const cases: [text: string, sentence: string, covered: string, score: number][] = [
    ["Well. I realy can’t sleep, ever. Bye", "I really can't sleep", "I realy can’t sleep", 1 - 1 / 20],
    ["So: (I cry every night) ok", "I cry every single night", "I cry every night", 1 - 7 / 24],
    ["Ein caf\u00e9", "ein cafe", "Ein caf\u00e9", 1 - 1 / 8],
    ["😭 I ﬁnally sleept 😭", "I finally slept", "I ﬁnally sleept", 1 - 1 / 15],
    ["ずっと眠れない日々です。", "ずっと眠れない毎日です。", "ずっと眠れない日々です。", 1 - 2 / 14],
    ["I was tired. I am tired. I be tired.", "I am  tyred.", "I am tired.", 1 - 1 / 11],
  ];
  for (const [text, sentence, covered, score] of cases) {
    const found = sentenceAligner(text, 0.5)(sentence);
    assert.ok(found.status === "fuzzy", `${sentence}: ${found.status}`);
    assert.equal(text.slice(found.start, found.end), covered);
    assert.ok(Math.abs(found.score - score) < 1e-12, `${sentence}: ${found.score} for ${score}`);
  }
});

Deno.test("alignment: of equally similar passages the first, and of those the shortest", () => {
  const align = sentenceAligner("a tired man, a tired mon, a tired men", 0.5);
  assert.deepEqual(align("a tired mxn"), { status: "fuzzy", start: 0, end: 11, score: 1 - 1 / 11 });
});

Deno.test("alignment: below the least score a sentence is not found, and the score is told", () => {
  assert.deepEqual(sentenceAligner("I sleep well.", 0.8)("I never sleep."), { status: "not_found", score: 1 - 7 / 14 });
  // Two of the three dots that one character stands for: the whole character is taken.
  assert.deepEqual(sentenceAligner("wait… what")("WAIT.."), { status: "fuzzy", start: 0, end: 5, score: 1 });
  assert.deepEqual(sentenceAligner("zzz")("abc"), { status: "not_found", score: null });
  for (const empty of ["", " \n", "\u200b"]) {
    assert.deepEqual(sentenceAligner("some text")(empty), { status: "not_found", score: null });
  }
  assert.deepEqual(sentenceAligner(" \n")("abc"), { status: "not_found", score: null });
});

Deno.test("alignment: what is too long to compare is not compared", () => {
  const text = "word ".repeat(5000), sentence = "other ".repeat(5000);
  assert.deepEqual(sentenceAligner(text)(sentence), { status: "not_found", score: null });
});

Deno.test("alignment: the time of a sentence grows no faster than its post, up to 4,000 words", () => {
  const sentence = Array.from({ length: 18 }, (_, i) => `word${(i * 7919) % 1000}`).join(" ") + " xyz";
  const align = (words: number) => {
    const text = Array.from({ length: words }, (_, n) => `word${(n * 7919) % 1000}`).join(" ");
    assert.equal(sentenceAligner(text)(sentence).status, "fuzzy");
  };
  const ratio = growth(align, 500, 8);
  assert.ok(ratio < 5, `a post of 8 times the words takes ${ratio} times as long as 8 posts`);
});

Deno.test("alignment: the index map gives each unit its original range", () => {
  const { text, starts, ends, first } = normaliseText("ﬁ  É");
  assert.equal(text, "fi e\u0301");
  assert.deepEqual([...starts], [0, 0, 1, 3, 3]);
  assert.deepEqual([...ends], [1, 1, 3, 4, 4]);
  assert.deepEqual([...first], [1, 0, 1, 1, 0]);
});
