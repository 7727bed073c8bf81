import assert from "node:assert/strict";
import fc from "fast-check";
import { lengthBuckets, materialise, planBatches } from "../../lib/data/batches.ts";
import { encodeExamples } from "../../lib/data/encoding.ts";
import type { Example } from "../../lib/data/dataset.ts";
import { splitExamples } from "../../lib/data/splits.ts";
import { wordTokenizer } from "../fixtures/word_tokenizer.ts";
import { examples } from "../support/random_examples.ts";

Deno.test("batches: every input once, in the smallest bucket that holds its batch, in the same order for the same epoch", () => {
  const numbers = fc.record({ batchSize: fc.integer({ min: 1, max: 9 }), seed: fc.nat(), epoch: fc.nat(30) });
  fc.assert(fc.property(examples, numbers, (all, { batchSize, seed, epoch }) => {
    const criteria = [{ name: "SAD", text: "sad" }];
    const encoding = { format: "multi_label", maxLength: 64, docStride: null, aggregation: "max", criteria } as const;
    const { inputs } = encodeExamples(all, wordTokenizer(), encoding);
    const options = { batchSize, buckets: lengthBuckets(64), shuffle: { seed, epoch } };
    const plan = planBatches(inputs, options);
    assert.deepEqual(planBatches(inputs, options), plan);
    assert.equal(plan.length, Math.ceil(inputs.length / batchSize), "as many batches in every epoch");
    const used = plan.flatMap(({ indices }) => indices.filter((index) => index >= 0));
    assert.deepEqual(used.toSorted((a, b) => a - b), inputs.map((_, index) => index));
    for (const planned of plan) {
      assert.equal(planned.indices.length, batchSize);
      assert.ok(planned.indices[0]! >= 0, "a batch of nothing but filler");
      const batch = materialise(planned, inputs, 0);
      const longest = Math.max(...planned.indices.map((index) => inputs[index]?.ids.length ?? 0));
      assert.equal(options.buckets.find((length) => length >= longest), batch.length);
      planned.indices.forEach((index, row) => {
        const tokens = batch.mask.subarray(row * batch.length, (row + 1) * batch.length).reduce((a, b) => a + b, 0);
        assert.equal(tokens, index < 0 ? 0 : inputs[index]!.ids.length);
        assert.equal(batch.sampleWeight[row], index < 0 ? 0 : 1);
      });
    }
  }));
});

Deno.test("splits: a partition by text, whatever the order of input", () => {
  fc.assert(fc.property(examples, fc.nat(), (all, seed) => {
    const split = (input: Example[]) => splitExamples(input, { validation: 0.3, test: 0.3, seed });
    const texts = new Set(all.map((example) => example.text));
    fc.pre(texts.size >= 12);
    const { train, validation, test, hash } = split(all);
    assert.equal(train.length + validation.length + test.length, all.length);
    const home = [train, validation, test].map((part) => new Set(part.map((example) => example.text)));
    assert.equal(home.reduce((sum, part) => sum + part.size, 0), texts.size);
    assert.equal(split(all.toReversed()).hash, hash);
  }));
});
