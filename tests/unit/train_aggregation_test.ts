import assert from "node:assert/strict";
import type { Example } from "../../lib/data/dataset.ts";
import type { EncodedInput } from "../../lib/data/encoding.ts";
import { aggregateWindows, type InputPrediction, type ScoredEvidence } from "../../lib/train/aggregation.ts";

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
    sentences: new Uint32Array(1),
    spans: [],
  };
}

/** A span that a window prefers to none by `score`. */
const span = (score: number, start: number, end: number): ScoredEvidence => ({ start, end, score });

const said = (probabilities: number[], ...spans: ScoredEvidence[][]): InputPrediction => ({ probabilities, spans });
const NONE: ScoredEvidence[] = [];
const LIMITS = { criteria: 2, maxSpans: 1 };

Deno.test("aggregation: largest or mean probability, and the span of the window that is surest of it", () => {
  const inputs = [input(A, 0, 3), input(A, 1, 3), input(A, 2, 3), input(B, 0, 1)];
  const predictions = [
    said([0.25, 0.5], [span(1, 0, 4)], NONE),
    said([0.75, 0.25], [span(3, 10, 14)], [span(-0.5, 7, 9)]),
    said([0.5, 0], [span(2, 20, 24)], [span(-2, 0, 2)]),
    said([0.125, 1], NONE, [span(0.5, 1, 2)]),
  ];
  const max = aggregateWindows(inputs, predictions, { ...LIMITS, aggregation: "max" });
  assert.deepEqual(max.examples, [A, B]);
  assert.deepEqual([...max.probabilities], [0.75, 0.5, 0.125, 1]);
  assert.deepEqual(max.spans, [[span(3, 10, 14)], [], [], [span(0.5, 1, 2)]]);
  const mean = aggregateWindows(inputs, predictions, { ...LIMITS, aggregation: "mean" });
  assert.deepEqual([...mean.probabilities], [0.5, 0.25, 0.125, 1]);
  assert.deepEqual(mean.spans, max.spans);
});

Deno.test("aggregation: pairs go to the place of their criterion, in whatever order they come", () => {
  const inputs = [input(B, 0, 1, 1), input(A, 1, 2, 0), input(A, 0, 1, 1), input(B, 0, 1, 0), input(A, 0, 2, 0)];
  const predictions = [
    said([0.125], NONE),
    said([0.25], [span(2, 5, 6)]),
    said([0.375], [span(1, 3, 4)]),
    said([0.5], NONE),
    said([0.625], [span(1, 1, 2)]),
  ];
  const { examples, probabilities, spans } = aggregateWindows(inputs, predictions, { ...LIMITS, aggregation: "max" });
  assert.deepEqual(examples, [B, A]);
  assert.deepEqual([...probabilities], [0.5, 0.125, 0.625, 0.375]);
  assert.deepEqual(spans, [[], [], [span(2, 5, 6)], [span(1, 3, 4)]]);
});

Deno.test("aggregation: spans of all windows, best first, none twice, and no window's place matters", () => {
  const of = (maxSpans: number, ...spans: ScoredEvidence[][]) => {
    const inputs = spans.map((_, window) => input(A, window, spans.length, 0));
    const predictions = spans.map((one) => said([0.5], one));
    return aggregateWindows(inputs, predictions, { criteria: 1, aggregation: "max", maxSpans }).spans[0]!;
  };
  assert.deepEqual(of(3, [span(2, 4, 8)], [span(2, 4, 8)]), [span(2, 4, 8)]);
  const [late, early, short] = [span(2, 6, 8), span(2, 4, 8), span(2, 4, 5)];
  assert.deepEqual(of(3, [late], [early], [short]), [short, late]);
  assert.deepEqual(of(3, [short], [early], [late]), [short, late]);
  assert.deepEqual(of(1, [early], [span(1, 10, 12), span(3, 0, 2)]), [span(3, 0, 2)]);
  assert.deepEqual(of(2, [early], [span(1, 10, 12), span(3, 0, 2)]), [span(3, 0, 2), early]);
  assert.deepEqual(of(3, [span(0, 1, 2)], [span(-1, 3, 4)]), []);
});

Deno.test("aggregation: an input without a prediction is an error", () => {
  const inputs = [input(A, 0, 2), input(A, 1, 2)];
  const one = said([0.5, 0.5], NONE, NONE);
  const options = { ...LIMITS, aggregation: "max" } as const;
  assert.throws(() => aggregateWindows(inputs, [one, undefined], options), /none for input 1/);
});
