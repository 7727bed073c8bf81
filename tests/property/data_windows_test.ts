import assert from "node:assert/strict";
import fc from "fast-check";
import { type EncodedInput, encodeExamples } from "../../lib/data/encoding.ts";
import type { EncodingOptions } from "../../lib/data/input_frame.ts";
import { windowRanges } from "../../lib/data/windows.ts";
import { wordTokenizer } from "../fixtures/word_tokenizer.ts";
import { examples } from "../support/random_examples.ts";

const sizes = fc.record({
  tokens: fc.nat(300),
  room: fc.integer({ min: 1, max: 80 }),
  overlap: fc.nat(),
}).map(({ overlap, ...rest }) => ({ ...rest, overlap: overlap % rest.room }));

Deno.test("windows: cover every token, share the overlap, and none is more than it needs", () => {
  fc.assert(fc.property(sizes, ({ tokens, room, overlap }) => {
    const ranges = windowRanges(tokens, room, overlap);
    assert.equal(ranges[0]!.start, 0);
    assert.equal(ranges.at(-1)!.end, tokens);
    ranges.forEach(({ start, end }, i) => {
      assert.ok(end - start <= room);
      if (i + 1 < ranges.length) assert.equal(end - start, room, "all but the last are full");
      const before = ranges[i - 1];
      if (!before) return;
      assert.equal(before.end - start, overlap);
      assert.ok(end > before.end, "each has tokens that no earlier one has");
    });
  }));
});

Deno.test("windows: a text that fits is one, an overlap that is no less than the room is refused", () => {
  assert.deepEqual(windowRanges(5, 5, 4), [{ start: 0, end: 5 }]);
  assert.deepEqual(windowRanges(6, 5, 4), [{ start: 0, end: 5 }, { start: 1, end: 6 }]);
  assert.deepEqual(windowRanges(0, 5, 1), [{ start: 0, end: 0 }]);
  assert.deepEqual(windowRanges(9, 5, null), [{ start: 0, end: 5 }]);
  for (const overlap of [5, 6, -1, 0.5, NaN]) {
    assert.throws(() => windowRanges(9, 5, overlap), /Expected overlap .* 0 to 4/);
  }
  for (const room of [0, -1, 1.5]) assert.throws(() => windowRanges(9, room, null), /Expected room/);
});

/** Options that are valid for the word tokenizer: 3 special tokens and 2 of a criterion at most. */
const encodings = fc.record({
  format: fc.constantFrom("multi_label" as const, "binary_pairs" as const),
  aggregation: fc.constantFrom("max" as const, "mean" as const),
  maxLength: fc.integer({ min: 6, max: 60 }),
  overlap: fc.option(fc.nat()),
}).map(({ overlap, ...rest }): EncodingOptions => ({
  ...rest,
  docStride: overlap === null ? null : overlap % (rest.maxLength - 5),
  criteria: [{ name: "SAD", text: "feels sad" }],
}));

/** The rows of each example in turn. */
const byPost = (inputs: EncodedInput[]) => [...Map.groupBy(inputs, ({ example }) => example)];

Deno.test("encoding: with windows every token of a post is in some row, and rows frame the tokens that they name", () => {
  fc.assert(fc.property(examples, encodings, (all, options) => {
    const tokenizer = wordTokenizer();
    const { inputs, counts } = encodeExamples(all, tokenizer, options);
    const posts = byPost(inputs);
    assert.deepEqual(posts.map(([example]) => example), all);
    for (const [{ text }, rows] of posts) {
      const { ids, offsets } = tokenizer.encode(text);
      const covered = new Set<number>();
      rows.forEach((row, index) => {
        assert.ok(row.ids.length <= options.maxLength);
        assert.deepEqual([row.window, row.windows], [index, rows.length]);
        assert.equal(row.ids.length, row.firstToken + row.offsets.length / 2 + 1);
        assert.equal(row.firstToken, options.format === "multi_label" ? 1 : 4);
        assert.deepEqual([row.ids[0], row.ids.at(-1)], [tokenizer.clsId, tokenizer.sepId]);
        // Offsets name the token: words differ by place, not by text alone.
        for (let i = 0; 2 * i < row.offsets.length; i++) {
          const token = offsets.findIndex((start, at) => at % 2 === 0 && start === row.offsets[2 * i]) / 2;
          assert.equal(row.ids[row.firstToken + i], ids[token]);
          assert.equal(row.offsets[2 * i + 1], offsets[2 * token + 1]);
          covered.add(token);
        }
      });
      if (options.docStride !== null) assert.equal(covered.size, ids.length);
    }
    assert.equal(counts.inputs, inputs.length);
    assert.equal(counts.truncatedPosts > 0, counts.truncatedTokens > 0);
    if (options.docStride !== null) assert.equal(counts.truncatedPosts, 0);
    else assert.equal(counts.windowedPosts, 0);
  }));
});

Deno.test("encoding: a kept span covers its evidence with no token to spare, in every row that has it whole", () => {
  fc.assert(fc.property(examples, encodings, (all, options) => {
    const { inputs, counts } = encodeExamples(all, wordTokenizer(), options);
    const lost = new Set<unknown>(), found = new Set<unknown>();
    for (const { example, offsets, firstToken, spans, labels } of inputs) {
      const { ranges, reason, kept } = spans[0]!, evidence = example.evidence[0];
      assert.equal(kept, reason !== "truncated" && reason !== "unaligned");
      if (reason === "truncated") lost.add(example);
      if (reason !== "evidence") {
        assert.deepEqual(ranges, []);
        assert.equal(reason === "none", example.labels[0] === 0);
        // A window that sees nothing of the evidence has nothing to be positive for.
        const elsewhere = reason === "elsewhere" && options.aggregation === "max";
        assert.equal(labels[0], elsewhere ? 0 : example.labels[0]);
        continue;
      }
      found.add(example);
      assert.equal(labels[0], 1);
      const at = (token: number, boundary: 0 | 1) => offsets[2 * (token - firstToken) + boundary]!;
      const { start, end: after } = ranges[0]!, end = after - 1;
      assert.ok(firstToken <= start && start <= end && end < firstToken + offsets.length / 2);
      const outside = example.text.slice(evidence!.start, at(start, 0)).trim() +
        example.text.slice(at(end, 1), Math.max(evidence!.end, at(end, 1))).trim();
      assert.equal(outside, "");
      assert.ok(at(start, 1) > evidence!.start && at(end, 0) < evidence!.end);
    }
    assert.equal(counts.spans.evidence, found.size);
    assert.equal(counts.spans.truncated, lost.difference(found).size);
  }));
});
