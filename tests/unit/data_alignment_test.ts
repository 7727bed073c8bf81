import assert from "node:assert/strict";
import { normaliseText, sentenceAligner } from "../../lib/data/alignment.ts";

/** What the sentence covers in the text, with its status. */
function found(text: string, sentence: string): [string, string] | "not_found" {
  const alignment = sentenceAligner(text)(sentence);
  return alignment.status === "not_found"
    ? "not_found"
    : [alignment.status, text.slice(alignment.start, alignment.end)];
}

Deno.test("alignment: an exact sentence, the first of two, without the white space around it", () => {
  assert.deepEqual(sentenceAligner("a b. 😭 a b.")(" a b.\n"), { status: "exact", start: 0, end: 4 });
  assert.deepEqual(sentenceAligner("😭 a b. a b.")("a b."), { status: "exact", start: 3, end: 7 });
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

Deno.test("alignment: what is not there is not found, nor a part of a character", () => {
  assert.equal(found("I sleep well.", "I never sleep."), "not_found");
  assert.equal(found("Ein caf\u00e9", "ein cafe"), "not_found");
  assert.equal(found("wait… what", "WAIT.."), "not_found");
  assert.equal(found("wait…what", "..WHAT"), "not_found");
  for (const empty of ["", " \n", "\u200b"]) assert.equal(found("some text", empty), "not_found");
});

Deno.test("alignment: the index map gives each unit its original range", () => {
  const { text, starts, ends, first } = normaliseText("ﬁ  É");
  assert.equal(text, "fi e\u0301");
  assert.deepEqual([...starts], [0, 0, 1, 3, 3]);
  assert.deepEqual([...ends], [1, 1, 3, 4, 4]);
  assert.deepEqual([...first], [1, 0, 1, 1, 0]);
});
