/** Augmentation of real posts: tweets whose evidence are the words that carry the sentiment. */
import assert from "node:assert/strict";
import { parse } from "csv-parse/sync";
import type { AugmentationMethodName } from "../../lib/data/augmentation/registry.ts";
import { augmentExamples } from "../../lib/data/augmentation/augment.ts";
import type { Example } from "../../lib/data/dataset.ts";
import { always, post, services } from "../support/augmentation.ts";
import { dataFile } from "../support/python.ts";

/** Tweets with their selected words as evidence, where these are `least` characters or more. */
function tweets(count: number, least: number): Example[] {
  const rows: Record<string, string>[] = parse(Deno.readTextFileSync(dataFile("tweet_sentiment", "train.csv")), {
    columns: true,
  });
  return rows.filter(({ selected_text, text }) => selected_text!.length >= least && text!.includes(selected_text!))
    .slice(0, count).map(({ textID, text, selected_text }) => post(textID!, text!, [selected_text!]));
}

/** The least share of real sentences in which each method finds something to change. */
const CHANGED: Partial<Record<AugmentationMethodName, number>> = {
  synonym: 0.55,
  insert: 0.75,
  swap: 0.75,
  char_perturb: 0.98,
  delete: 0.75,
  eda: 0.9,
};

for (const [method, least] of Object.entries(CHANGED) as [AugmentationMethodName, number][]) {
  Deno.test(`augmentation: ${method} changes most real sentences, a little`, async () => {
    const posts = tweets(1000, 25);
    const { examples, counts } = await augmentExamples(posts, always(method), services());
    assert.equal(counts.candidates, 1000);
    assert.equal(counts.made + counts.unchanged, 1000);
    assert.ok(counts.made >= least * 1000, `${counts.made} of 1000`);
    const shares = examples.map(({ augmentation, evidence }) => {
      const changed = augmentation!.edits.reduce(
        (sum, { before, after }) => sum + Math.max(before.end - before.start, after.end - after.start),
        0,
      );
      return changed / (evidence[0]!.end - evidence[0]!.start);
    }).sort((a, b) => a - b);
    assert.ok(shares[500 * examples.length / 1000 | 0]! < 0.35, `median share of changed characters ${shares[500]}`);
  });
}

Deno.test("augmentation: as many real posts get a copy as the probability says", async () => {
  const posts = tweets(2000, 1);
  for (const prob of [0.1, 0.3, 0.5]) {
    const { counts } = await augmentExamples(posts, { ...always("char_perturb", 7), prob }, services());
    const drawn = counts.made + counts.unchanged;
    // Four standard deviations of a binomial; the seed is fixed, so the test does not waver.
    assert.ok(Math.abs(drawn - 2000 * prob) < 4 * Math.sqrt(2000 * prob * (1 - prob)), `${drawn} of 2000 at ${prob}`);
  }
  const methods = ["swap", "delete", "char_perturb"] as const;
  const { counts } = await augmentExamples(posts, { ...always("swap"), methods, prob: 0.5 }, services());
  for (const method of methods) {
    const { made, unchanged } = counts.byMethod[method]!;
    assert.ok(Math.abs(made + unchanged - 1000 / 3) < 70, `${method}: ${made + unchanged}`);
  }
});
