import assert from "node:assert/strict";
import { lengthBuckets, materialise, planBatches } from "../../lib/data/batches.ts";
import type { EncodedInput, TokenSpans } from "../../lib/data/encoding.ts";

const NONE: TokenSpans = { ranges: [], kept: true, reason: "none" };

function inputOf(length: number, labels: number[], spans: TokenSpans[], criterion: number | null = null): EncodedInput {
  const firstToken = criterion === null ? 1 : 3;
  return {
    example: { postId: "p", text: "", labels: Uint8Array.from(labels), evidence: [], allEvidence: [] },
    criterion,
    window: 0,
    windows: 1,
    ids: Uint32Array.from({ length }, (_, token) => 100 + token),
    firstToken,
    offsets: new Uint32Array(2 * (length - firstToken - 1)),
    sentences: Uint32Array.from({ length: length - firstToken - 1 }, (_, token) => token),
    labels: Uint8Array.from(labels),
    spans,
  };
}

Deno.test("batches: length buckets end at the longest length", () => {
  assert.deepEqual(lengthBuckets(11), [8, 9, 10, 11]);
  assert.deepEqual(lengthBuckets(35).slice(-4), [31, 32, 34, 35]);
  assert.deepEqual(lengthBuckets(74).slice(-5), [62, 64, 68, 72, 74]);
  assert.deepEqual(lengthBuckets(512).slice(-3), [480, 496, 512]);
  assert.deepEqual(lengthBuckets(8), [8]);
  assert.deepEqual(lengthBuckets(4), [4]);
  assert.equal(lengthBuckets(512).length, 89);
  assert.throws(() => lengthBuckets(0), /Expected maxLength/);
});

Deno.test("batches: rows, padding, filler and weights", () => {
  const inputs = [
    inputOf(3, [1, 0], [{ ranges: [{ start: 1, end: 2 }], kept: true, reason: "evidence" }, NONE]),
    inputOf(5, [0, 1], [NONE, NONE]),
    inputOf(4, [1, 1], [{ ranges: [], kept: false, reason: "truncated" }, {
      ranges: [{ start: 1, end: 3 }],
      kept: true,
      reason: "evidence",
    }]),
  ];
  const plan = planBatches(inputs, { batchSize: 2, buckets: [4, 8] });
  assert.deepEqual(plan, [{ length: 8, indices: [1, 2] }, { length: 4, indices: [0, -1] }]);
  assert.deepEqual(materialise({ length: 4, indices: [0, 2] }, inputs, 9), {
    size: 2,
    length: 4,
    ids: new Uint32Array([100, 101, 102, 9, 100, 101, 102, 103]),
    mask: new Uint32Array([1, 1, 1, 0, 1, 1, 1, 1]),
    types: new Uint32Array(8),
    labels: new Float32Array([1, 0, 1, 1]),
    sampleWeight: new Float32Array([1, 1]),
    tags: new Uint8Array([0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0]),
    begins: new Uint32Array([1, 1]),
    sentences: new Uint32Array([2 ** 32 - 1, 0, 2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1, 0, 1, 2 ** 32 - 1]),
    spanWeight: new Float32Array([1, 1, 0, 1]),
    inputs: [0, 2],
  });
  const filled = materialise({ length: 8, indices: [1, -1] }, inputs, 9);
  assert.deepEqual([...filled.ids.subarray(8)], Array(8).fill(9));
  assert.deepEqual([...filled.mask], [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual([...filled.sampleWeight], [1, 0]);
  assert.deepEqual([...filled.spanWeight], [1, 1, 0, 0]);
  assert.deepEqual(filled.inputs, [1, -1]);
});

Deno.test("batches: an input that no bucket holds and a bad batch size are refused", () => {
  const inputs = [inputOf(9, [0], [NONE])];
  assert.throws(() => planBatches(inputs, { batchSize: 2, buckets: [4, 8] }), /at most 8 tokens but found one of 9/);
  assert.throws(() => planBatches(inputs, { batchSize: 0, buckets: [16] }), /Expected batchSize/);
});

Deno.test("batches: the token types of a pair are 0 up to the post and 1 from there to the end, padding 0", () => {
  const inputs = [inputOf(6, [1], [NONE], 4), inputOf(5, [0], [NONE], 2)];
  const [planned] = planBatches(inputs, { batchSize: 3, buckets: [8] });
  const { types, labels } = materialise(planned!, inputs, 9);
  assert.deepEqual([...types], [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual([...labels], [1, 0, 0]);
});
