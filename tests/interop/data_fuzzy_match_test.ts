/** The passage that is most like a sentence, against RapidFuzz's distance of every passage there is. */
import assert from "node:assert/strict";
import { fuzzyMatcher } from "../../lib/data/fuzzy_match.ts";
import { wordRanges } from "../../lib/data/words.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { askPython } from "../support/python.ts";

const WORDS = [
  "i",
  "cry",
  "cried",
  "can't",
  "sleep",
  "asleep",
  "at",
  "all",
  "night",
  "😭",
  ",",
  ".",
  "日本",
  "e\u0301",
  "x",
];

/** Texts of few different words, so that there are many passages of nearly the same distance. */
function makeCase(seed: number) {
  const random = randomStream(seed, "fuzzy");
  const words = (count: number) =>
    Array.from({ length: count }, () => random.pick(WORDS)).join(random.pick([" ", " ", ""]));
  const text = words(1 + random.integer(14));
  const characters = Array.from(random.uniform() < 0.5 ? words(1 + random.integer(6)) : text.slice(0, 20));
  for (let edits = random.integer(4); edits > 0; edits--) {
    const change = random.uniform() < 0.5 ? [] : [random.pick(["a", "c", " ", "😭"])];
    characters.splice(random.integer(characters.length + 1), random.integer(2), ...change);
  }
  return { text, sentence: characters.join("") };
}

Deno.test("fuzzy match: distance and passage are those of a search through all passages with RapidFuzz", async () => {
  const cases = Array.from({ length: 3000 }, (_, seed) => makeCase(seed)).filter(({ sentence }) => sentence !== "");
  const length = (text: string) => Array.from(text).length; // Python counts code points
  const expected = await askPython<[number, number, number][]>(
    "fuzzy_match.py",
    [],
    cases.map(({ text, sentence }) => ({
      text,
      sentence,
      words: wordRanges(text).map((range) => range.map((offset) => length(text.slice(0, offset)))),
    })),
  );
  let matches = 0;
  cases.forEach(({ text, sentence }, n) => {
    const [distance, start, end] = expected[n]!;
    const found = fuzzyMatcher(text)(sentence);
    if (distance === length(sentence)) return assert.equal(found, null);
    matches++;
    assert.ok(found);
    assert.deepEqual(
      [length(text.slice(0, found.start)), length(text.slice(0, found.end)), found.score],
      [start, end, 1 - distance / length(sentence)],
      JSON.stringify({ text, sentence }),
    );
  });
  assert.ok(matches > 2000, `${matches} matches`);
});
