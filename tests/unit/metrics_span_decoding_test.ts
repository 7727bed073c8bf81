import assert from "node:assert/strict";
import { decodeSpan } from "../../lib/train/span_decoding.ts";

// [CLS] aa bb cc dd [SEP]
const offsets = [0, 2, 3, 5, 6, 8, 9, 11], firstToken = 1;

Deno.test("span decoding: the best ordered pair, as characters", () => {
  const decoded = decodeSpan(
    { start: [1, 0, 3, 0, 9, -9], end: [1, 9, 0, 4, 0, -9], firstToken, offsets },
    { maxTokens: 4 },
  );
  // start 4 with end 1 would be 18, but runs backwards; start 4 with end 4 is 9.
  assert.deepEqual(decoded, { span: { start: 0, end: 2 }, score: 9, nullScore: 2 });
  // [1,1] scores 0 + 9 and [4,4] scores 9 + 0: the earlier one was taken.
});

Deno.test("span decoding: [SEP] and padding are never read, lengths are limited", () => {
  const start = [0, 5, 0, 0, 0, 99, 99], end = [0, 0, 1, 0, 5, 99, 99];
  assert.deepEqual(decodeSpan({ start, end, firstToken, offsets }, { maxTokens: 4 }).span, { start: 0, end: 11 });
  assert.deepEqual(decodeSpan({ start, end, firstToken, offsets }, { maxTokens: 3 }).span, { start: 0, end: 5 });
  assert.deepEqual(decodeSpan({ start, end, firstToken, offsets }, { maxTokens: 1 }), {
    span: { start: 0, end: 2 },
    score: 5,
    nullScore: 0,
  });
});

Deno.test("span decoding: null wins a tie, and the threshold moves it", () => {
  const logits = { start: [2, 2, 0, 0, 0, 0], end: [1, 1, 0, 0, 0, 0], firstToken, offsets };
  assert.equal(decodeSpan(logits, { maxTokens: 4 }).span, null);
  assert.deepEqual(decodeSpan(logits, { maxTokens: 4, nullThreshold: -0.5 }).span, { start: 0, end: 2 });
  assert.deepEqual(decodeSpan({ start: [0, 0], end: [0, 0], firstToken, offsets: [] }, { maxTokens: 4 }), {
    span: null,
    score: -Infinity,
    nullScore: 0,
  });
});

Deno.test("span decoding: of equal scores the earlier start, then the shorter span", () => {
  const flat = { start: [-1, 0, 0, 0, 0, 0], end: [-1, 0, 0, 0, 0, 0], firstToken, offsets };
  assert.deepEqual(decodeSpan(flat, { maxTokens: 4 }).span, { start: 0, end: 2 });
});

Deno.test("span decoding: a criterion's text before the post is never given as evidence", () => {
  // [CLS] cc [SEP] aa bb cc dd [SEP]
  const start = [0, 99, 99, 1, 0, 4, 0, 99], end = [0, 99, 99, 0, 0, 0, 3, 99];
  const decoded = decodeSpan({ start, end, firstToken: 3, offsets }, { maxTokens: 4 });
  assert.deepEqual(decoded, { span: { start: 6, end: 11 }, score: 7, nullScore: 0 });
});
