import assert from "node:assert/strict";
import type { Example } from "../../lib/data/dataset.ts";
import { declaredSplits, sharedTexts, type Split, splitExamples, splitNamed, SPLITS } from "../../lib/data/splits.ts";
import { randomStream } from "../../lib/support/rng.ts";

/** Posts with labels of the given frequencies. */
function makeExamples(count: number, frequencies: number[], text = (n: number) => `text ${n}`): Example[] {
  const random = randomStream(5, "examples");
  return Array.from({ length: count }, (_, n) => ({
    postId: `p${n}`,
    text: text(n),
    labels: Uint8Array.from(frequencies, (frequency) => (random.uniform() < frequency ? 1 : 0)),
    evidence: frequencies.map(() => null),
    allEvidence: frequencies.map(() => []),
  }));
}

const SHARES = { validation: 0.15, test: 0.15 };

Deno.test("splits: sizes and every label, rare ones too, follow the shares", () => {
  const examples = makeExamples(600, [0.3, 0.2, 0.1, 0.05, 0.03]);
  const { train, validation, test } = splitExamples(examples, { ...SHARES, seed: 1 });
  assert.deepEqual(
    [...train, ...validation, ...test].map((e) => e.postId).sort(),
    examples.map((e) => e.postId).sort(),
  );
  const positives = (part: Example[], k: number) => part.filter((example) => example.labels[k]).length;
  for (const part of [validation, test]) {
    assert.ok(Math.abs(part.length - 90) <= 3, `${part.length} posts`);
    for (let k = 0; k < 5; k++) {
      const expected = 0.15 * positives(examples, k);
      assert.ok(Math.abs(positives(part, k) - expected) <= 1.5, `label ${k}: ${positives(part, k)} for ${expected}`);
    }
  }
});

Deno.test("splits: seed and content decide, the order of input does not", () => {
  const examples = makeExamples(100, [0.3, 0.1]);
  const { hash, train } = splitExamples(examples, { ...SHARES, seed: 1 });
  assert.equal(splitExamples(examples.toReversed(), { ...SHARES, seed: 1 }).hash, hash);
  assert.notEqual(splitExamples(examples, { ...SHARES, seed: 2 }).hash, hash);
  assert.deepEqual(train, train.toSorted((a, b) => (a.postId < b.postId ? -1 : 1)));
});

Deno.test("splits: posts of the same text, but for quotes, case and spaces, stay together", () => {
  const texts = ["I can't  sleep", "i can’t sleep ", "I CAN'T\nSLEEP"];
  const examples = makeExamples(90, [0.3, 0.3], (n) => `${texts[n % 3]} ${Math.floor(n / 3)}`);
  const splits = splitExamples(examples, { validation: 0.3, test: 0.3, seed: 4 });
  const home = new Map<string, string>();
  for (const name of ["train", "validation", "test"] as const) {
    for (const { postId } of splits[name]) {
      const group = String(Math.floor(Number(postId.slice(1)) / 3));
      assert.equal(home.get(group) ?? name, name, `group ${group} straddles`);
      home.set(group, name);
    }
  }
  assert.equal(home.size, 30);
});

Deno.test("splits: an empty split and impossible shares are refused with the numbers", () => {
  const examples = makeExamples(3, [0.5]);
  const refused = (shares: { validation: number; test: number }, message: RegExp) =>
    assert.throws(() => splitExamples(examples, { ...shares, seed: 1 }), message);
  refused({ validation: 0.05, test: 0.05 }, /Splitting 3 posts leaves an empty split: train 3, validation 0, test 0/);
  refused({ validation: 0.5, test: 0.5 }, /validation 0\.5 and test 0\.5 leave 0 for training/);
  refused({ validation: 0, test: 0.5 }, /Split shares/);
  refused({ validation: NaN, test: 0.5 }, /Split shares/);
  assert.throws(() => splitExamples([], { ...SHARES, seed: 1 }), /Splitting 0 posts/);
  assert.throws(() => splitExamples([...examples, ...examples], { ...SHARES, seed: 1 }), /found post p0 twice/);
});

Deno.test("splits: the same on every machine: what was made once is made again", () => {
  // Recorded; a change means that studies begun before cannot be compared with those begun after.
  const splits = splitExamples(makeExamples(200, [0.3, 0.1, 0.05], (n) => `text ${n % 190}`), { ...SHARES, seed: 13 });
  assert.deepEqual(SPLITS.map((split) => splits[split].length), [140, 30, 30]);
  assert.deepEqual(splits.test.slice(0, 5).map(({ postId }) => postId), ["p0", "p106", "p110", "p138", "p14"]);
  assert.equal(splits.hash, "1742d6c043461c08096111eefe68205cd12d917b116773e4aff8945a88b7aaef");
});

Deno.test("splits: declared ones are taken as they are, in the order of ids", () => {
  const examples = makeExamples(9, [0.5]);
  const declared = new Map(examples.map(({ postId }, n) => [postId, SPLITS[n % 3]!]));
  const splits = declaredSplits(examples.toReversed(), declared);
  assert.deepEqual(splits.validation.map(({ postId }) => postId), ["p1", "p4", "p7"]);
  assert.match(splits.hash, /^[0-9a-f]{64}$/);
  assert.equal(declaredSplits(examples, declared).hash, splits.hash);
  declared.set("p1", "test");
  assert.notEqual(declaredSplits(examples, declared).hash, splits.hash);
});

Deno.test("splits: declared ones that are not whole are refused with the way out", () => {
  const examples = makeExamples(9, [0.5]);
  const refused = (declared: [string, Split][], message: RegExp) =>
    assert.throws(() => declaredSplits(examples, new Map(declared)), (error) => {
      assert.match((error as Error).message, message);
      assert.match((error as { remedy: string }).remedy, /data\.splits\.declared=false/);
      return true;
    });
  const two = examples.map(({ postId }, n): [string, Split] => [postId, n % 2 === 0 ? "train" : "test"]);
  refused(two, /not all of the three splits: train 5, validation 0, test 4/);
  refused(two.slice(1), /for some posts only: train 4, validation 0, test 4, none for 1 posts such as "p0"/);
});

Deno.test("splits: equal texts in two declared splits are found", () => {
  const examples = makeExamples(6, [0.5], (n) => ["Same", "same ", "other", "Else", "ELSE", "more"][n]!);
  const splits = { train: examples.slice(0, 3), validation: examples.slice(3, 4), test: examples.slice(4) };
  assert.deepEqual(sharedTexts(splits).map((group) => group.map(({ postId }) => postId)), [["p3", "p4"]]);
});

Deno.test("splits: the names that datasets give them", () => {
  const names = ["train", " Train ", "validation", "valid", "VAL", "dev", "test", "holdout", "", "training"];
  assert.deepEqual(names.map(splitNamed), [
    "train",
    "train",
    ...Array(4).fill("validation"),
    "test",
    ...Array(3).fill(undefined),
  ]);
});
