import assert from "node:assert/strict";
import { vocabularyWindows } from "../../lib/model/masked_lm.ts";
import { topCandidates } from "../../lib/train/token_candidates.ts";

Deno.test("the best candidates of a row come in order, among equals the smaller id first", () => {
  const windows = [{ firstRow: 0, rows: 4 }, { firstRow: 4, rows: 2 }];
  const values = [Float32Array.of(9, 9, 9, 9, 1, 5, 3, 5), Float32Array.of(9, 9, 5, 2)];
  const ids = (count: number, exclude?: number) =>
    topCandidates(windows, values, 1, count, exclude).map(({ id }) => id);
  assert.deepEqual(ids(3), [1, 3, 4]);
  assert.deepEqual(ids(2), [1, 3]);
  assert.deepEqual(ids(3, 3), [1, 4, 2]);
  assert.deepEqual(ids(10), [1, 3, 4, 2, 5, 0]);
  assert.deepEqual(topCandidates(windows, values, 0, 1), [{ id: 0, score: 9 }]);
});

Deno.test("windows of a vocabulary cover it once, within the limit and aligned", () => {
  for (const [rows, width, maxBindingBytes] of [[119_547, 768, 2 ** 27], [50_265, 768, 2 ** 27], [999, 48, 2 ** 16]]) {
    const windows = vocabularyWindows(rows!, width!, { maxBindingBytes: maxBindingBytes!, alignment: 256 });
    assert.equal(windows.reduce((sum, window) => sum + window.rows, 0), rows);
    windows.forEach((window, i) => {
      assert.equal(window.firstRow, windows.slice(0, i).reduce((sum, { rows }) => sum + rows, 0));
      assert.ok(window.rows * width! * 4 <= maxBindingBytes!);
      assert.equal((window.firstRow * 4) % 256, 0, "the bias begins at an aligned offset");
      assert.ok(window.rows % 128 === 0 || i === windows.length - 1);
    });
  }
  assert.deepEqual(vocabularyWindows(60, 32, { maxBindingBytes: 2 ** 27, alignment: 256 }), [{
    firstRow: 0,
    rows: 60,
  }]);
  assert.throws(() => vocabularyWindows(999, 768, { maxBindingBytes: 2 ** 16, alignment: 256 }), RangeError);
});
