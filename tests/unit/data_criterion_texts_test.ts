import assert from "node:assert/strict";
import { criterionTexts } from "../../lib/data/criterion_texts.ts";
import { REDSM5_CRITERIA } from "../../lib/data/dataset.ts";

Deno.test("criterion texts: each of RedSM5's nine has one of its own, short enough to leave room for the post", () => {
  const texts = criterionTexts(REDSM5_CRITERIA, null);
  assert.deepEqual(texts.map(({ name }) => name), REDSM5_CRITERIA);
  assert.equal(new Set(texts.map(({ text }) => text)).size, 9);
  for (const { name, text } of texts) {
    assert.match(text, /^[A-Z][^_]+: .+\.$/, name);
    assert.ok(text.split(" ").length <= 20, text);
  }
});

Deno.test("criterion texts: what is given wins, and other labels are their own text as words", () => {
  assert.deepEqual(criterionTexts(["SPECIAL_CASE", "FATIGUE", "constructor", "joy"], { FATIGUE: "no energy" }), [
    { name: "SPECIAL_CASE", text: "special case" },
    { name: "FATIGUE", text: "no energy" },
    { name: "constructor", text: "constructor" },
    { name: "joy", text: "joy" },
  ]);
});

Deno.test("criterion texts: one for a label that the data lack is refused", () => {
  assert.throws(() => criterionTexts(["anger", "joy"], { joy: "is glad", sadness: "is sad" }), {
    name: "WinnowError",
    kind: "input",
    message: 'data.criterion_texts has a text for "sadness", which is none of the criteria anger, joy',
  });
});
