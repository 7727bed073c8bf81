import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeExamples } from "../../lib/data/encoding.ts";
import { aggregateWindows, type InputPrediction } from "../../lib/train/aggregation.ts";
import { wordTokenizer } from "../fixtures/word_tokenizer.ts";
import { examples } from "../support/random_examples.ts";

const logit = fc.double({ min: -9, max: 9, noNaN: true });
const said = fc.record({
  probability: fc.float({ min: 0, max: 1, noNaN: true }),
  logits: fc.array(logit, { minLength: 9 }),
});
const settings = fc.record({
  format: fc.constantFrom("multi_label" as const, "binary_pairs" as const),
  maxLength: fc.integer({ min: 8, max: 40 }),
  docStride: fc.nat(2),
});

Deno.test("aggregation: one window as it is, max ≥ mean, in any order the same, evidence from some window", () => {
  fc.assert(fc.property(examples, settings, fc.infiniteStream(said), fc.nat(), (all, sizes, stream, turn) => {
    const options = { ...sizes, aggregation: "max", criteria: [{ name: "SAD", text: "feels sad" }] } as const;
    const { inputs } = encodeExamples(all, wordTokenizer(), options);
    const predictions = inputs.map(({ ids, firstToken, offsets }): InputPrediction => {
      const { probability, logits } = stream.next().value!;
      const at = (shift: number) => Array.from(ids, (_, token) => logits[(token * 7 + shift) % logits.length]!);
      const [first, score] = at(0);
      const tokens = offsets.length / 2, from = tokens === 0 ? 0 : Math.floor(Math.abs(first! * 7)) % tokens;
      const to = Math.min(tokens - 1, from + 2 + firstToken % 2);
      const spans = tokens === 0 ? [] : [{ start: offsets[2 * from]!, end: offsets[2 * to + 1]!, score: score! }];
      return { probabilities: [probability], spans: [spans] };
    });
    const aggregate = (aggregation: "max" | "mean", order = inputs.map((_, i) => i)) =>
      aggregateWindows(order.map((i) => inputs[i]!), order.map((i) => predictions[i]!), {
        criteria: 1,
        aggregation,
        maxSpans: 2,
      });
    const max = aggregate("max"), mean = aggregate("mean");
    assert.deepEqual(max.spans, mean.spans);
    max.examples.forEach((example, post) => {
      const own = inputs.flatMap((input, i) => input.example === example ? [predictions[i]!] : []);
      const probabilities = own.map((one) => one.probabilities[0]!);
      assert.ok(max.probabilities[post]! >= mean.probabilities[post]!);
      assert.ok(probabilities.includes(max.probabilities[post]!));
      assert.ok(mean.probabilities[post]! >= Math.min(...probabilities));
      const offered = own.flatMap((one) => [...one.spans[0]!]).filter(({ score }) => score > 0);
      const given = max.spans[post]!;
      const known = new Set(offered.map((span) => JSON.stringify(span)));
      assert.ok(given.every((span) => known.has(JSON.stringify(span))), "what some window said");
      assert.equal(given.length === 0, offered.length === 0, "none only where all say so");
      assert.ok(given.length <= 2 && (given[1]?.score ?? -Infinity) <= (given[0]?.score ?? Infinity), "best first");
      assert.ok(given.length < 2 || given[0]!.end <= given[1]!.start || given[1]!.end <= given[0]!.start, "apart");
      if (own.length > 1) return;
      assert.equal(mean.probabilities[post], probabilities[0]);
      assert.deepEqual(given, offered);
    });
    const turned = [...inputs.keys()].map((i) => (i + turn) % inputs.length);
    for (const order of [turned, turned.toReversed()]) {
      const again = { max: aggregate("max", order), mean: aggregate("mean", order) };
      again.max.examples.forEach((example, post) => {
        const before = max.examples.indexOf(example);
        assert.equal(again.max.probabilities[post], max.probabilities[before]);
        assert.ok(Math.abs(again.mean.probabilities[post]! - mean.probabilities[before]!) < 1e-6);
        assert.deepEqual(again.max.spans[post], max.spans[before]);
      });
    }
  }));
});
