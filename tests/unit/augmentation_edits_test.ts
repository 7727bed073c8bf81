import assert from "node:assert/strict";
import { applyEdits, evidenceSegments } from "../../lib/data/augmentation/edits.ts";

Deno.test("augmentation: starts and ends of all evidence cut it into segments", () => {
  assert.deepEqual(evidenceSegments([]), []);
  // [2, 9) with [4, 6) nested in it, [9, 12) touching, [20, 25) and [22, 30) overlapping
  const spans = [[2, 9], [4, 6], [9, 12], [22, 30], [20, 25], [2, 9]].map(([start, end]) => ({
    start: start!,
    end: end!,
  }));
  assert.deepEqual(evidenceSegments(spans).map(({ start, end }) => [start, end]), [
    ...[[2, 4], [4, 6], [6, 9], [9, 12], [20, 22], [22, 25], [25, 30]],
  ]);
});

Deno.test("augmentation: edits move what stands behind them", () => {
  const text = "ab cd ef gh";
  const segments = [{ start: 3, end: 8 }];
  const edits = [{ start: 6, end: 8, text: "X" }, { start: 3, end: 5, text: "long" }, {
    start: 6,
    end: 6,
    text: "new ",
  }];
  const { text: edited, position } = applyEdits(text, segments, edits);
  assert.equal(edited, "ab long new X gh");
  assert.deepEqual([0, 3, 8, 11].map(position), [0, 3, 13, 16]);
});

Deno.test("augmentation: an edit outside of evidence, at its edge or over another is a mistake", () => {
  const segments = [{ start: 2, end: 6 }, { start: 6, end: 9 }];
  const refuse = (message: RegExp, ...edits: [number, number][]) =>
    assert.throws(
      () => applyEdits("0123456789", segments, edits.map(([start, end]) => ({ start, end, text: "-" }))),
      message,
    );
  refuse(/inside of one segment but found \[1, 3\)/, [1, 3]);
  refuse(/inside of one segment/, [5, 7]);
  refuse(/inside of one segment/, [6, 6]);
  refuse(/inside of one segment/, [2, 2]);
  refuse(/inside of one segment/, [5, 4]);
  refuse(/overlap at 3/, [2, 4], [3, 5]);
});
