import assert from "node:assert/strict";
import { buildDataset } from "../../lib/data/dataset.ts";
import { encodeExample, encodeExamples } from "../../lib/data/encoding.ts";
import { wordTokenizer } from "../fixtures/word_tokenizer.ts";

const TEXT = "😭 I cry. So tired!";
const row = { postId: "a", sentenceId: "", status: 1 as const, explanation: "" };
const { examples } = buildDataset({
  posts: [{ postId: "a", text: TEXT }],
  annotations: [
    { ...row, criterion: "FATIGUE", sentenceText: "So tired!" },
    { ...row, criterion: "MOOD", sentenceText: "I cry." },
    { ...row, criterion: "PARTIAL", sentenceText: "ry. So tir" },
    { ...row, criterion: "SLEEP", sentenceText: "I never sleep." },
    { ...row, criterion: "TERROR", status: 0, sentenceText: "I cry." },
  ],
}, "auto");
const example = examples[0]!;

Deno.test("encoding: [CLS] post [SEP] with spans in tokens, [CLS] being 0 and the end inclusive", () => {
  const { ids, offsets, labels, spans, truncatedTokens } = encodeExample(example, wordTokenizer(), 16);
  // [CLS] 😭 I cry . So tired ! [SEP]
  assert.deepEqual([...ids], [1, 10, 11, 12, 13, 14, 15, 16, 2]);
  assert.deepEqual([...offsets], [0, 0, 0, 2, 3, 4, 5, 8, 8, 9, 10, 12, 13, 18, 18, 19, 0, 0]);
  assert.deepEqual([...labels], [1, 1, 1, 1, 0]);
  assert.deepEqual(spans, [
    { start: 5, end: 7, kept: true, reason: "evidence" },
    { start: 2, end: 4, kept: true, reason: "evidence" },
    { start: 3, end: 6, kept: true, reason: "evidence" },
    { start: 0, end: 0, kept: false, reason: "unaligned" },
    { start: 0, end: 0, kept: true, reason: "none" },
  ]);
  assert.equal(truncatedTokens, 0);
});

Deno.test("encoding: evidence cut off, in part or whole, gets no weight and is counted", () => {
  const { encoded, counts } = encodeExamples(examples, wordTokenizer(), 7);
  assert.deepEqual([...encoded[0]!.ids], [1, 10, 11, 12, 13, 14, 2]);
  assert.equal(encoded[0]!.truncatedTokens, 2);
  assert.deepEqual(encoded[0]!.spans.map((span) => span.reason), [
    "truncated",
    "evidence",
    "truncated",
    "unaligned",
    "none",
  ]);
  assert.ok(encoded[0]!.spans.every(({ reason, kept }) => kept === (reason === "evidence" || reason === "none")));
  assert.deepEqual(counts, {
    spans: { evidence: 1, none: 1, truncated: 2, unaligned: 1 },
    truncatedPosts: 1,
    longestTokens: 9,
  });
  // Exactly fitting is not truncated.
  assert.equal(encodeExample(example, wordTokenizer(), 9).spans[0]!.kept, true);
  assert.throws(() => encodeExample(example, wordTokenizer(), 2), /Expected maxLength/);
});
