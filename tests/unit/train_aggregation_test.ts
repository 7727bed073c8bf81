import assert from "node:assert/strict";
import type { Example } from "../../lib/data/dataset.ts";
import type { EncodedInput } from "../../lib/data/encoding.ts";
import { aggregateWindows, type InputPrediction } from "../../lib/train/aggregation.ts";
import type { DecodedSpan } from "../../lib/train/span_decoding.ts";

const post = (postId: string): Example => ({
  postId,
  text: "",
  labels: new Uint8Array(2),
  evidence: [null, null],
  allEvidence: [[], []],
});
const [A, B] = [post("a"), post("b")];

function input(example: Example, window: number, windows: number, criterion: number | null = null): EncodedInput {
  const outputs = criterion === null ? 2 : 1;
  return {
    example,
    criterion,
    window,
    windows,
    ids: new Uint32Array(3),
    firstToken: 1,
    offsets: new Uint32Array(2),
    labels: new Uint8Array(outputs),
    spans: [],
  };
}

/** A span that a window prefers to none by `margin`, or does not. */
function decoded(margin: number, start: number, end: number): DecodedSpan {
  return { span: margin > 0 ? { start, end } : null, score: 5 + margin, nullScore: 5 };
}

const said = (probabilities: number[], ...spans: DecodedSpan[]): InputPrediction => ({ probabilities, spans });
const NONE = decoded(-1, 0, 0);

Deno.test("aggregation: largest or mean probability, and the span of the window that is surest of it", () => {
  const inputs = [input(A, 0, 3), input(A, 1, 3), input(A, 2, 3), input(B, 0, 1)];
  const predictions = [
    said([0.25, 0.5], decoded(1, 0, 4), NONE),
    said([0.75, 0.25], decoded(3, 10, 14), decoded(-0.5, 7, 9)),
    said([0.5, 0], decoded(2, 20, 24), decoded(-2, 0, 2)),
    said([0.125, 1], NONE, decoded(0.5, 1, 2)),
  ];
  const max = aggregateWindows(inputs, predictions, { criteria: 2, aggregation: "max" });
  assert.deepEqual(max.examples, [A, B]);
  assert.deepEqual([...max.probabilities], [0.75, 0.5, 0.125, 1]);
  assert.deepEqual(max.spans, [{ start: 10, end: 14 }, null, null, { start: 1, end: 2 }]);
  const mean = aggregateWindows(inputs, predictions, { criteria: 2, aggregation: "mean" });
  assert.deepEqual([...mean.probabilities], [0.5, 0.25, 0.125, 1]);
  assert.deepEqual(mean.spans, max.spans);
});

Deno.test("aggregation: pairs go to the place of their criterion, in whatever order they come", () => {
  const inputs = [input(B, 0, 1, 1), input(A, 1, 2, 0), input(A, 0, 1, 1), input(B, 0, 1, 0), input(A, 0, 2, 0)];
  const predictions = [
    said([0.125], NONE),
    said([0.25], decoded(2, 5, 6)),
    said([0.375], decoded(1, 3, 4)),
    said([0.5], NONE),
    said([0.625], decoded(1, 1, 2)),
  ];
  const { examples, probabilities, spans } = aggregateWindows(inputs, predictions, { criteria: 2, aggregation: "max" });
  assert.deepEqual(examples, [B, A]);
  assert.deepEqual([...probabilities], [0.5, 0.125, 0.625, 0.375]);
  assert.deepEqual(spans, [null, null, { start: 5, end: 6 }, { start: 3, end: 4 }]);
});

Deno.test("aggregation: what two windows both see is given once, and equally sure windows do not depend on their order", () => {
  const of = (...spans: DecodedSpan[]) => {
    const inputs = spans.map((_, window) => input(A, window, spans.length, 0));
    return aggregateWindows(inputs, spans.map((span) => said([0.5], span)), { criteria: 1, aggregation: "max" }).spans;
  };
  assert.deepEqual(of(decoded(2, 4, 8), decoded(2, 4, 8)), [{ start: 4, end: 8 }]);
  const [late, early, short] = [decoded(2, 6, 8), decoded(2, 4, 8), decoded(2, 4, 5)];
  assert.deepEqual(of(late, early, short), [{ start: 4, end: 5 }]);
  assert.deepEqual(of(short, early, late), [{ start: 4, end: 5 }]);
  const empty = { span: null, score: -Infinity, nullScore: 0 };
  assert.deepEqual(of(empty, late), [{ start: 6, end: 8 }]);
  assert.deepEqual(of(empty, empty), [null]);
});

Deno.test("aggregation: an input without a prediction is an error", () => {
  const inputs = [input(A, 0, 2), input(A, 1, 2)];
  const one = said([0.5, 0.5], NONE, NONE);
  const options = { criteria: 2, aggregation: "max" } as const;
  assert.throws(() => aggregateWindows(inputs, [one, undefined], options), /none for input 1/);
});
