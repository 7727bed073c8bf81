import assert from "node:assert/strict";
import fc from "fast-check";
import type { Example } from "../../lib/data/dataset.ts";
import { declaredSplits, splitExamples, SPLITS } from "../../lib/data/splits.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { WinnowError } from "../../lib/support/errors.ts";

/** Posts of few different texts, so that many have to stay together. */
const posts = fc.array(
  fc.record({
    text: fc.constantFrom("one", "ONE", "two", " two", "it’s", "it's", "three", "four", "five", "six"),
    labels: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
  }),
  { minLength: 6, maxLength: 60 },
).map((rows) =>
  rows.map(({ text, labels }, n): Example => ({
    postId: `p${n}`,
    text: n % 3 === 0 ? text : `${text} ${n}`,
    labels: Uint8Array.from(labels, Number),
    evidence: [null, null, null],
    allEvidence: [[], [], []],
  }))
);
const share = fc.double({ min: 0.15, max: 0.4, noNaN: true });

Deno.test("splits: every post in one split, equal texts in the same, whatever the order of the input", () => {
  let made = 0;
  fc.assert(
    fc.property(posts, share, share, fc.nat(1000), (examples, validation, test, seed) => {
      const split = (input: Example[]) => {
        try {
          return splitExamples(input, { validation, test, seed });
        } catch (error) {
          assert.ok(error instanceof WinnowError, String(error)); // too few posts
          return undefined;
        }
      };
      const splits = split(examples);
      const again = split(randomStream(seed, "order").shuffle(examples));
      assert.equal(again?.hash, splits?.hash);
      if (!splits) return;
      made++;
      const ids = SPLITS.flatMap((name) => splits[name].map(({ postId }) => postId));
      assert.deepEqual(ids.toSorted(), examples.map(({ postId }) => postId).sort());
      const home = new Map<string, string>();
      for (const name of SPLITS) {
        for (const { text } of splits[name]) {
          const key = text.trim().toLowerCase().replace("’", "'");
          assert.equal(home.get(key) ?? name, name, `"${key}" stands in two splits`);
          home.set(key, name);
        }
      }
      // What was made, declared: the same splits and the same hash.
      const declared = new Map(SPLITS.flatMap((name) => splits[name].map(({ postId }) => [postId, name] as const)));
      assert.deepEqual(declaredSplits(examples, declared), splits);
    }),
    { numRuns: 500 },
  );
  assert.ok(made > 250, `${made} made`);
});
