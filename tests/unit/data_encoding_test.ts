import assert from "node:assert/strict";
import { buildDataset } from "../../lib/data/dataset.ts";
import { encodeExamples } from "../../lib/data/encoding.ts";
import { type EncodingOptions, shortestMaxLength } from "../../lib/data/input_frame.ts";
import { WinnowError } from "../../lib/support/errors.ts";
import { wordTokenizer } from "../fixtures/word_tokenizer.ts";

const TEXT = "😭 I cry. So tired!";
const row = { postId: "a", sentenceId: "", status: 1 as const, explanation: "" };
const { criteria, examples } = buildDataset({
  posts: [{ postId: "a", text: TEXT }],
  annotations: [
    { ...row, criterion: "FATIGUE", sentenceText: "So tired!" },
    { ...row, criterion: "MOOD", sentenceText: "I cry." },
    { ...row, criterion: "PARTIAL", sentenceText: "ry. So tir" },
    { ...row, criterion: "SLEEP", sentenceText: "I never sleep." },
    { ...row, criterion: "TERROR", status: 0, sentenceText: "I cry." },
  ],
}, "auto");

/** Options for the five criteria, whose texts have one word each. */
function options(maxLength: number, more: Partial<EncodingOptions> = {}): EncodingOptions {
  const named = criteria.map((name) => ({ name, text: name.toLowerCase() }));
  return { format: "multi_label", maxLength, docStride: null, aggregation: "max", criteria: named, ...more };
}

const encode = (maxLength: number, more?: Partial<EncodingOptions>, tokenizer = wordTokenizer()) =>
  encodeExamples(examples, tokenizer, options(maxLength, more));

const DROPPED = { ranges: [], kept: false };
const NULL_SPAN = { ranges: [], kept: true };

Deno.test("encoding: [CLS] post [SEP] with spans in tokens, [CLS] being 0", () => {
  const { inputs } = encode(16);
  assert.equal(inputs.length, 1);
  const { ids, firstToken, offsets, labels, spans, criterion, window, windows } = inputs[0]!;
  // [CLS] 😭 I cry . So tired ! [SEP]
  assert.deepEqual([...ids], [1, 10, 11, 12, 13, 14, 15, 16, 2]);
  assert.equal(firstToken, 1);
  assert.deepEqual([...offsets], [0, 2, 3, 4, 5, 8, 8, 9, 10, 12, 13, 18, 18, 19]);
  assert.deepEqual([...labels], [1, 1, 1, 1, 0]);
  assert.deepEqual(spans, [
    { ranges: [{ start: 5, end: 8 }], kept: true, reason: "evidence" },
    { ranges: [{ start: 2, end: 5 }], kept: true, reason: "evidence" },
    { ranges: [{ start: 3, end: 7 }], kept: true, reason: "evidence" },
    { ...DROPPED, reason: "unaligned" },
    { ...NULL_SPAN, reason: "none" },
  ]);
  assert.deepEqual([criterion, window, windows], [null, 0, 1]);
});

Deno.test("encoding: evidence cut off, in part or whole, gets no weight and is counted", () => {
  const { inputs, counts } = encode(7);
  assert.deepEqual([...inputs[0]!.ids], [1, 10, 11, 12, 13, 14, 2]);
  assert.deepEqual([...inputs[0]!.labels], [1, 1, 1, 1, 0], "what the post has, also where its evidence is gone");
  assert.deepEqual(inputs[0]!.spans.map((span) => span.reason), [
    "truncated",
    "evidence",
    "truncated",
    "unaligned",
    "none",
  ]);
  assert.ok(inputs[0]!.spans.every(({ reason, kept }) => kept === (reason === "evidence" || reason === "none")));
  assert.deepEqual(counts, {
    posts: 1,
    inputs: 1,
    spans: { evidence: 1, none: 1, truncated: 2, unaligned: 1 },
    truncatedPosts: 1,
    truncatedTokens: 2,
    windowedPosts: 0,
    mostWindows: 1,
    longestTokens: 9,
  });
  // Exactly fitting is not truncated.
  assert.deepEqual(encode(9).counts.spans, { evidence: 3, none: 1, truncated: 0, unaligned: 1 });
});

Deno.test("encoding: binary pairs are [CLS] criterion [SEP] post [SEP], one row per criterion", () => {
  const { inputs, counts } = encode(16, { format: "binary_pairs" });
  // The five criteria are tokenised first: 10 to 14.
  assert.deepEqual(inputs.map(({ ids }) => [...ids]), [
    [1, 10, 2, 15, 16, 17, 18, 19, 20, 21, 2],
    [1, 11, 2, 15, 16, 17, 18, 19, 20, 21, 2],
    [1, 12, 2, 15, 16, 17, 18, 19, 20, 21, 2],
    [1, 13, 2, 15, 16, 17, 18, 19, 20, 21, 2],
    [1, 14, 2, 15, 16, 17, 18, 19, 20, 21, 2],
  ]);
  assert.deepEqual(inputs.map(({ criterion, labels, spans }) => [criterion, [...labels], spans]), [
    [0, [1], [{ ranges: [{ start: 7, end: 10 }], kept: true, reason: "evidence" }]],
    [1, [1], [{ ranges: [{ start: 4, end: 7 }], kept: true, reason: "evidence" }]],
    [2, [1], [{ ranges: [{ start: 5, end: 9 }], kept: true, reason: "evidence" }]],
    [3, [1], [{ ...DROPPED, reason: "unaligned" }]],
    [4, [0], [{ ...NULL_SPAN, reason: "none" }]],
  ]);
  for (const { firstToken, offsets } of inputs) assert.deepEqual([firstToken, offsets.length], [3, 14]);
  assert.deepEqual([counts.posts, counts.inputs, counts.longestTokens], [1, 5, 11]);
  assert.deepEqual(counts.spans, encode(16).counts.spans, "counted per (post, criterion) in both formats");
});

Deno.test("encoding: pairs of RoBERTa have two separators, and the criterion's tokens take room from the post", () => {
  const tokenizer = { ...wordTokenizer(), pairSeparators: 2 };
  const { inputs } = encode(
    8,
    { format: "binary_pairs", criteria: [{ name: "FATIGUE", text: "so tired" }] },
    tokenizer,
  );
  assert.deepEqual([...inputs[0]!.ids], [1, 10, 11, 2, 2, 12, 13, 2]);
  assert.equal(inputs[0]!.firstToken, 5);
});

Deno.test("encoding: windows, and what each has to learn", () => {
  // Five tokens of the post each: 😭 I cry . So | . So tired !
  const { inputs, counts } = encode(7, { docStride: 2 });
  assert.deepEqual(inputs.map(({ ids }) => [...ids]), [[1, 10, 11, 12, 13, 14, 2], [1, 13, 14, 15, 16, 2]]);
  assert.deepEqual(inputs.map(({ window, windows }) => [window, windows]), [[0, 2], [1, 2]]);
  assert.deepEqual([...inputs[1]!.offsets], [8, 9, 10, 12, 13, 18, 18, 19]);
  const reasons = inputs.map(({ spans }) => spans.map(({ reason }) => reason));
  assert.deepEqual(reasons, [
    ["truncated", "evidence", "truncated", "unaligned", "none"],
    ["evidence", "truncated", "truncated", "unaligned", "none"],
  ]);
  assert.deepEqual(inputs[1]!.spans[0], { ranges: [{ start: 2, end: 5 }], kept: true, reason: "evidence" });
  assert.deepEqual(counts, {
    posts: 1,
    inputs: 2,
    spans: { evidence: 2, none: 1, truncated: 1, unaligned: 1 },
    truncatedPosts: 0,
    truncatedTokens: 0,
    windowedPosts: 1,
    mostWindows: 2,
    longestTokens: 9,
  });
});

Deno.test("encoding: a label belongs to the windows with its evidence under max, to all under mean", () => {
  // 😭 I cry | . So tired | !
  const windows = (aggregation: "max" | "mean") => encode(5, { docStride: 0, aggregation }).inputs;
  assert.deepEqual(windows("max").map(({ labels }) => [...labels]), [
    [0, 1, 1, 1, 0],
    [1, 1, 1, 1, 0],
    [1, 0, 0, 1, 0], // the fourth has no located evidence: every window may hold it
  ]);
  assert.deepEqual(windows("mean").map(({ labels }) => [...labels]), Array(3).fill([1, 1, 1, 1, 0]));
  for (const inputs of [windows("max"), windows("mean")]) {
    assert.deepEqual(inputs[0]!.spans[0], { ...NULL_SPAN, reason: "elsewhere" });
    assert.deepEqual(inputs[2]!.spans[1], { ...NULL_SPAN, reason: "elsewhere" });
  }
});

Deno.test("encoding: each window has all evidence that lies whole in it", () => {
  const sentences = ["One two.", "Three four.", "Five six."];
  const { examples } = buildDataset({
    posts: [{ postId: "a", text: `${sentences.join(" ")} Done.` }],
    annotations: sentences.map((sentenceText) => ({ ...row, criterion: "X", sentenceText })),
  }, "auto");
  // One two . Three four | Three four . Five six | Five six . Done .
  const criteria = [{ name: "X", text: "x" }];
  const { inputs, counts } = encodeExamples(examples, wordTokenizer(), options(7, { docStride: 2, criteria }));
  assert.deepEqual(inputs.map(({ spans }) => spans[0]!.ranges), [
    [{ start: 1, end: 4 }],
    [{ start: 1, end: 4 }],
    [{ start: 1, end: 4 }],
  ]);
  assert.equal(counts.spans.evidence, 1, "counted once per (post, criterion)");
});

Deno.test("encoding: several spans of a row, those that share tokens joined, and the sentence of each token", () => {
  const { examples } = buildDataset({
    posts: [{ postId: "a", text: "One two. Three four. Five six." }],
    annotations: ["One two.", "four. Five", "Three four."].map((sentenceText) => ({
      ...row,
      criterion: "X",
      sentenceText,
    })),
  }, "auto");
  const { inputs } = encodeExamples(examples, wordTokenizer(), options(16, { criteria: [{ name: "X", text: "x" }] }));
  // [CLS] One two . Three four . Five six . [SEP]
  assert.deepEqual(inputs[0]!.spans[0]!.ranges, [{ start: 1, end: 4 }, { start: 4, end: 8 }]);
  assert.deepEqual([...inputs[0]!.sentences], [0, 0, 0, 1, 1, 1, 2, 2, 2]);
});

Deno.test("encoding: a long post's only evidence past max_length is found with windows and lost without", () => {
  const filler = "Nothing to see here . ".repeat(20);
  const { examples } = buildDataset({
    posts: [{ postId: "a", text: `${filler}I am so tired! ${filler}` }],
    annotations: [{ ...row, criterion: "FATIGUE", sentenceText: "I am so tired!" }],
  }, "auto");
  for (const format of ["multi_label", "binary_pairs"] as const) {
    const found = (docStride: number | null) => {
      const more = { format, docStride, criteria: [{ name: "FATIGUE", text: "tired" }] };
      const { inputs, counts } = encodeExamples(examples, wordTokenizer(), options(32, more));
      const texts = inputs.flatMap(({ spans, firstToken, offsets }) => {
        const at = (token: number, boundary: number) => offsets[2 * (token - firstToken) + boundary]!;
        return spans[0]!.ranges.map(({ start, end }) => examples[0]!.text.slice(at(start, 0), at(end - 1, 1)));
      });
      return { texts: new Set(texts), lost: counts.spans.truncated, windows: counts.mostWindows };
    };
    assert.deepEqual(found(null), { texts: new Set(), lost: 1, windows: 1 });
    const { texts, lost, windows } = found(8);
    assert.deepEqual([...texts], ["I am so tired!"]);
    assert.equal(lost, 0);
    assert.ok(windows > 5);
  }
});

/** What an input error says, and what it advises. */
function refusal(run: () => unknown): [message: string, remedy: string] {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof WinnowError && error.kind === "input", String(error));
    return [error.message, error.remedy];
  }
  assert.fail("expected a refusal");
}

Deno.test("encoding: no room for the post, or for new tokens in each window, is refused with the numbers", () => {
  assert.deepEqual(refusal(() => encode(2)), [
    "data.max_length 2 has no room for a post beside 2 special tokens",
    "Set data.max_length to at least 3",
  ]);
  assert.deepEqual(refusal(() => encode(8, { docStride: 6 })), [
    "data.doc_stride is 6 but a window has 6 tokens of the post: data.max_length 8 less 2 special tokens",
    "Set data.doc_stride to at most 5 or data.max_length to at least 9",
  ]);
  const pairs = {
    format: "binary_pairs" as const,
    criteria: [{ name: "A", text: "one" }, { name: "B", text: "one two three" }],
  };
  assert.deepEqual(refusal(() => encode(6, pairs)), [
    "data.max_length 6 has no room for a post beside 3 special tokens and 3 of the text of B",
    "Set data.max_length to at least 7, or shorten data.criterion_texts.B",
  ]);
  assert.deepEqual(refusal(() => encode(10, { ...pairs, docStride: 4 })), [
    "data.doc_stride is 4 but a window has 4 tokens of the post: data.max_length 10 less 3 special tokens and 3 of the " +
    "text of B",
    "Set data.doc_stride to at most 3 or data.max_length to at least 11, or shorten data.criterion_texts.B",
  ]);
  assert.deepEqual(refusal(() => encode(10, { ...pairs, criteria: [{ name: "C", text: "\n" }] })), [
    'The text of the criterion C has no tokens: "\\n"',
    "Set data.criterion_texts.C",
  ]);
});

Deno.test("encoding: shortestMaxLength is the least that is not refused", () => {
  for (const format of ["multi_label", "binary_pairs"] as const) {
    for (const docStride of [null, 0, 3]) {
      const more = { format, docStride };
      const shortest = shortestMaxLength(wordTokenizer(), options(50, more));
      assert.ok(encode(shortest, more).inputs.length > 0);
      refusal(() => encode(shortest - 1, more));
      refusal(() => shortestMaxLength(wordTokenizer(), options(shortest - 1, more)));
    }
  }
});
