import assert from "node:assert/strict";
import { countNegations, isNegation, isStopWord, matchCase, segmentWords } from "../../lib/data/augmentation/words.ts";

const wordsOf = (text: string) => segmentWords(text, { start: 0, end: text.length });

Deno.test("augmentation: negations are known in every spelling", () => {
  for (
    const word of ["not", "No", "NEVER", "can't", "don’t", "didn`t", "dont", "Cannot", "never-ending", "n't", "without"]
  ) {
    assert.ok(isNegation(word), word);
  }
  for (const word of ["note", "know", "nothingness", "cant0", "donut", "want", "isn", "knot"]) {
    assert.ok(!isNegation(word), word);
  }
  assert.equal(countNegations("I can't sleep, not now, and NEVER did. Don’t ask"), 4);
});

Deno.test("augmentation: words keep their marks and parts, and what is no word is none", () => {
  const text = "I don’t like self-harm… été Zoe\u0301 👍🏽 1️⃣ ☺️ x";
  assert.deepEqual(wordsOf(text).map((word) => word.text), [
    "I",
    "don’t",
    "like",
    "self-harm",
    "été",
    "Zoe\u0301",
    "1️⃣",
    "x",
  ]);
  for (const { text: word, start, end } of wordsOf(text)) assert.equal(text.slice(start, end), word);
});

Deno.test("augmentation: numbers, names, tags, addresses, entities and negations are fixed", () => {
  const fixed = (text: string) => wordsOf(text).filter((word) => word.fixed).map((word) => word.text);
  assert.deepEqual(fixed("thanks @_Marg, see http://t.co/4tb and www.a.org #sad r/depression 3 h4x &amp; not that"), [
    ...[
      "_Marg".slice(1),
      "http",
      "t",
      "co",
      "4tb",
      "www",
      "a",
      "org",
      "sad",
      "r",
      "depression",
      "3",
      "h4x",
      "amp",
      "not",
    ],
  ]);
  assert.deepEqual(fixed("cats and dogs are happy"), []);
});

Deno.test("augmentation: a clause ends at punctuation, and a negation concerns its own", () => {
  const words = wordsOf("I am sad, I do not sleep. We talk - or did");
  assert.deepEqual(words.map(({ clause }) => clause), [0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3]);
  assert.deepEqual(words.filter(({ negated }) => negated).map(({ text }) => text), ["I", "do", "not", "sleep"]);
});

Deno.test("augmentation: a word that a segment cuts is none of its words", () => {
  const text = "so tired, don't ask";
  const cut = (start: number, end: number) => segmentWords(text, { start, end }).map((word) => word.text);
  assert.deepEqual(cut(1, 6), []);
  assert.deepEqual(cut(3, 8), ["tired"]);
  assert.deepEqual(cut(10, 13), []); // don|'t
  assert.deepEqual(cut(0, text.length), ["so", "tired", "don't", "ask"]);
});

Deno.test("augmentation: capitals go with the place", () => {
  assert.equal(matchCase("unhappy", "Sad"), "Unhappy");
  assert.equal(matchCase("unhappy", "SAD"), "UNHAPPY");
  assert.equal(matchCase("unhappy", "sad"), "unhappy");
  assert.equal(matchCase("énorme", "Big"), "Énorme");
});

Deno.test("augmentation: function words and contractions are stop words", () => {
  for (const word of ["The", "i", "I'm", "you’re", "because"]) assert.ok(isStopWord(word), word);
  for (const word of ["sad", "tired", "sleep"]) assert.ok(!isStopWord(word), word);
});
