import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { lengthBuckets, planBatches } from "../../lib/data/batches.ts";
import { criterionTexts } from "../../lib/data/criterion_texts.ts";
import { loadDataset, REDSM5_CRITERIA } from "../../lib/data/dataset.ts";
import { encodeExamples } from "../../lib/data/encoding.ts";
import type { EncodingOptions } from "../../lib/data/input_frame.ts";
import { declaredSplits, sharedTexts, splitExamples } from "../../lib/data/splits.ts";
import { goEmotionsToDataset } from "../fixtures/goemotions_to_dataset.ts";
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
  { name: "RedSM5 sample: the schema is read; one of its paraphrased sentences is similar enough", ignore },
  async () => {
    const { counts, examples, alignments } = await loadDataset({
      id: join(dataFolder(), "redsm5_sample"),
      criteria: REDSM5_CRITERIA,
    });
    assert.equal(counts.posts, 17);
    assert.equal(counts.annotations, 25);
    assert.equal(counts.explicitNegatives, 4);
    assert.deepEqual(counts.alignment, { exact: 0, normalised: 0, fuzzy: 1, not_found: 20, no_sentence: 0 });
    assert.equal(alignments.length, 25);
    assert.ok(alignments.every(({ score }) => score !== null && score > 0.3 && score < 1));
    const similar = alignments.filter(({ used }) => used);
    assert.deepEqual(similar.map(({ sentenceId }) => sentenceId), ["s_993_557_3"]);
    assert.ok(Math.abs(similar[0]!.score! - 33 / 36) < 1e-12, `${similar[0]!.score}`);
    const { counts: encoding } = encodeExamples(examples, wordTokenizer(), options(REDSM5_CRITERIA, 512));
    assert.equal(encoding.spans.evidence, 1);
    assert.equal(encoding.spans.unaligned, counts.positives.reduce((a, b) => a + b) - 1);
  },
);

Deno.test({ name: "tweets: all 27,480 are read, aligned, split and planned", ignore }, async () => {
  const folder = await Deno.makeTempDir();
  try {
    assert.equal(await tweetsToDataset(folder, 30_000), 27_480);
    const { criteria, counts, examples } = await loadDataset({ id: folder, criteria: "auto" });
    assert.deepEqual(criteria, ["negative", "neutral", "positive"]);
    const none = { normalised: 0, fuzzy: 0, not_found: 0, no_sentence: 0 };
    assert.deepEqual(counts.alignment, { exact: 27_480, ...none });
    assert.ok(counts.repeatedSentences > 0);
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

Deno.test({ name: "GoEmotions: all 54,263 are read with their declared splits, and no evidence", ignore }, async () => {
  const folder = await Deno.makeTempDir();
  try {
    assert.equal(await goEmotionsToDataset(folder, 60_000), 54_263);
    const dataset = await loadDataset({ id: folder, criteria: "auto" });
    assert.equal(dataset.criteria.length, 28);
    const splits = declaredSplits(dataset.examples, dataset.declaredSplits);
    assert.deepEqual([splits.train.length, splits.validation.length, splits.test.length], [43_410, 5_426, 5_427]);
    const { exact, normalised, fuzzy, not_found, no_sentence } = dataset.counts.alignment;
    assert.equal(exact + normalised + fuzzy + not_found, 0);
    assert.equal(no_sentence, dataset.counts.annotations);
    // The published counts of the training split's rarest labels.
    const positives = (label: string) => {
      const k = dataset.criteria.indexOf(label);
      return splits.train.filter(({ labels }) => labels[k] === 1).length;
    };
    assert.deepEqual([positives("grief"), positives("pride"), positives("neutral")], [77, 111, 14_219]);
    assert.ok(sharedTexts(splits).length > 0, "the declared splits share short comments");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
