import assert from "node:assert/strict";
import { analyse, type Form, inflect } from "../../lib/data/augmentation/english_forms.ts";

/** Base and form of some words, by the grammar. */
const FORMS: [string, Form, string][] = [
  ["cry", "third_person", "cries"],
  ["cry", "past", "cried"],
  ["cry", "gerund", "crying"],
  ["hate", "past", "hated"],
  ["hate", "gerund", "hating"],
  ["die", "gerund", "dying"],
  ["agree", "gerund", "agreeing"],
  ["stop", "past", "stopped"],
  ["stop", "gerund", "stopping"],
  ["sleep", "gerund", "sleeping"],
  ["sleep", "past", "slept"],
  ["begin", "participle", "begun"],
  ["begin", "gerund", "beginning"],
  ["regret", "past", "regretted"],
  ["visit", "past", "visited"],
  ["fix", "past", "fixed"],
  ["play", "past", "played"],
  ["pass", "third_person", "passes"],
  ["wish", "third_person", "wishes"],
  ["go", "third_person", "goes"],
  ["have", "third_person", "has"],
  ["child", "plural", "children"],
  ["life", "plural", "lives"],
  ["box", "plural", "boxes"],
  ["baby", "plural", "babies"],
  ["day", "plural", "days"],
  ["quit", "past", "quit"],
];

Deno.test("augmentation: bases are inflected, and inflected words lead back to their base", () => {
  for (const [base, form, word] of FORMS) {
    assert.equal(inflect(base, form), word);
    if (word === base) continue;
    assert.ok(analyse(word).some((one) => one.base === base && one.form === form), `${word} ← ${base}`);
  }
});

Deno.test("augmentation: a reading is one that leads back to the word", () => {
  for (const word of ["cried", "dying", "houses", "running", "thing", "bed", "s", "es", "ing", "is"]) {
    for (const { base, form } of analyse(word)) assert.equal(form === "base" ? base : inflect(base, form), word);
  }
});
