import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { lengthBuckets, planBatches } from "../../lib/data/batches.ts";
import { criterionTexts } from "../../lib/data/criterion_texts.ts";
import { loadDataset, REDSM5_CRITERIA } from "../../lib/data/dataset.ts";
import { encodeExamples } from "../../lib/data/encoding.ts";
import type { EncodingOptions } from "../../lib/data/input_frame.ts";
import { splitExamples } from "../../lib/data/splits.ts";
import { dataFolder, tweetsToDataset } from "../fixtures/tweets_to_dataset.ts";
import { wordTokenizer } from "../fixtures/word_tokenizer.ts";

// The real data lie outside of the repository; without them there is nothing to test here.
const ignore = !existsSync(dataFolder());

/** Posts once each, cut off at so many tokens. */
function options(criteria: readonly string[], maxLength: number): EncodingOptions {
  const named = criterionTexts(criteria, null);
  return { format: "multi_label", maxLength, docStride: null, aggregation: "max", criteria: named };
}

Deno.test(
  { name: "RedSM5 sample: the schema is read, and its paraphrased sentences are not found", ignore },
  async () => {
    const { counts, examples } = await loadDataset({
      id: join(dataFolder(), "redsm5_sample"),
      criteria: REDSM5_CRITERIA,
    });
    assert.equal(counts.posts, 17);
    assert.equal(counts.annotations, 25);
    assert.equal(counts.explicitNegatives, 4);
    assert.deepEqual(counts.alignment, { exact: 0, normalised: 0, not_found: 21, no_sentence: 0 });
    const { counts: encoding } = encodeExamples(examples, wordTokenizer(), options(REDSM5_CRITERIA, 512));
    assert.equal(encoding.spans.evidence, 0);
    assert.equal(encoding.spans.unaligned, counts.positives.reduce((a, b) => a + b));
  },
);

Deno.test({ name: "tweets: all 27,480 are read, aligned, split and planned", ignore }, async () => {
  const folder = await Deno.makeTempDir();
  try {
    assert.equal(await tweetsToDataset(folder, 30_000), 27_480);
    const { criteria, counts, examples } = await loadDataset({ id: folder, criteria: "auto" });
    assert.deepEqual(criteria, ["negative", "neutral", "positive"]);
    assert.deepEqual(counts.alignment, { exact: 27_480, normalised: 0, not_found: 0, no_sentence: 0 });
    const { train, validation, test } = splitExamples(examples, { validation: 0.15, test: 0.15, seed: 1 });
    assert.equal(train.length + validation.length + test.length, 27_480);
    for (const part of [validation, test]) assert.ok(Math.abs(part.length - 4122) <= 3, `${part.length}`);
    const { inputs, counts: encoding } = encodeExamples(validation, wordTokenizer(), options(criteria, 64));
    assert.ok(encoding.spans.evidence > 0.99 * validation.length);
    assert.equal(encoding.spans.none, 2 * validation.length);
    const plan = planBatches(inputs, { batchSize: 32, buckets: lengthBuckets(64) });
    assert.equal(plan.flatMap(({ indices }) => indices.filter((index) => index >= 0)).length, validation.length);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
