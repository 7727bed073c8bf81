/** Synonyms of WordNet 3.1, against what its own pages (wordnetweb.princeton.edu, `wn WORD -over`) say. */
import assert from "node:assert/strict";
import { sharedWordNet } from "../support/augmentation.ts";

const SYNONYMS: Record<string, string[]> = {
  begin: ["commence", "start"], //       verb 1: get down, begin, get, start out, start, set about, set out, commence
  began: ["commenced", "started"], //    the same in the past, which is irregular
  children: ["kids", "youngsters"], //   noun 1 in the plural: child, kid, youngster, minor, …
  movies: ["films"], //                  noun 1: movie, film, picture, …
  baby: ["infant"], //                   noun 1: baby, babe, infant
  tried: ["attempted"], //               verb 1: try, seek, attempt, essay, assay
  hate: ["detest"], //                   verb 1: hate, detest
  completely: ["wholly", "entirely"], // adverb 1: wholly, entirely, completely, totally, all, altogether, whole
  sad: ["melancholy"], //                adjective 1 has no synonym but this satellite
  afraid: ["frightened", "terrified"], // adjective 1 likewise
};

Deno.test("augmentation: synonyms of the main sense, in the form of the word", async () => {
  const wordNet = await sharedWordNet();
  for (const [word, expected] of Object.entries(SYNONYMS)) {
    const found = wordNet.synonyms(word);
    for (const synonym of expected) assert.ok(found.includes(synonym), `${word}: ${found}`);
    assert.ok(!found.includes(word) && found.every((one) => /^[a-z]{3,}$/.test(one)), `${word}: ${found}`);
    assert.deepEqual(found, [...new Set(found)].sort());
  }
});

Deno.test("augmentation: a rare sense is not meant", async () => {
  const wordNet = await sharedWordNet();
  assert.ok(!wordNet.synonyms("found").includes("launch")); // "founded", but "found" is mostly past of "find"
  assert.ok(!wordNet.synonyms("bored").includes("drilled"));
  assert.ok(!wordNet.synonyms("trying").includes("difficult"));
  assert.ok(!wordNet.synonyms("kill").includes("obliterate")); // verb 12
  assert.deepEqual(wordNet.synonyms("lol"), []);
  assert.deepEqual(wordNet.synonyms("zzzz"), []); // after the last entry
  assert.deepEqual(wordNet.synonyms("'"), []); // before the first
  assert.deepEqual(wordNet.synonyms("été"), []);
});
