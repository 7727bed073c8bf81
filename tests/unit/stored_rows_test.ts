import assert from "node:assert/strict";
import fc from "fast-check";
import { initialState, readState } from "../../lib/train/state.ts";
import { withEmptyRows, withoutEmptyRows } from "../../lib/train/stored_rows.ts";

const bits = (values: Float32Array) => [...new Uint32Array(values.buffer, values.byteOffset, values.length)];

Deno.test("rows of zeros are left out and come back, −0 and NaN in their bits", () => {
  const row = fc.oneof(
    { weight: 3, arbitrary: fc.constant([0, 0, 0]) },
    { weight: 1, arbitrary: fc.array(fc.constantFrom(0, -0, 1.5, NaN, 1e-45), { minLength: 3, maxLength: 3 }) },
  );
  fc.assert(fc.property(fc.array(row, { minLength: 1, maxLength: 30 }), (rows) => {
    const data = Float32Array.from(rows.flat());
    const parts = withoutEmptyRows("m", [rows.length, 3], data);
    const stored = parts.reduce((sum, part) => sum + (part.data as Float32Array).length, 0);
    assert.ok(stored <= data.length, "more was stored than there is");
    if (parts.length === 1) return assert.deepEqual(bits(parts[0]!.data as Float32Array), bits(data));
    const [indices, values] = parts.map((part) => part.data) as [Int32Array, Float32Array<ArrayBuffer>];
    assert.deepEqual(parts.map(({ name }) => name), ["m.rows", "m.values"]);
    assert.deepEqual(bits(withEmptyRows([rows.length, 3], indices, values)), bits(data));
  }));
});

Deno.test("an untouched tensor takes no bytes; a vector, a scalar and a full tensor are stored whole", () => {
  const shapes = withoutEmptyRows("m", [5, 2, 2], new Float32Array(20)).map(({ shape }) => shape);
  assert.deepEqual(shapes, [[0], [0, 2, 2]]);
  for (const shape of [[7], [], [3, 2]]) {
    const data = new Float32Array(shape.reduce((product, length) => product * length, 1)).fill(
      shape.length < 2 ? 0 : 1,
    );
    assert.deepEqual(withoutEmptyRows("m", shape, data), [{ name: "m", shape, data }]);
  }
});

Deno.test("rows that are none of the tensor are refused", () => {
  const values = new Float32Array(4);
  for (const rows of [[0, 3], [-1, 0], [1, 1], [2, 1], [0]]) {
    assert.throws(() => withEmptyRows([3, 2], Int32Array.from(rows), values), RangeError);
  }
});

Deno.test("a checkpoint from before rows were left out is read, and one of a later format refused by name", async () => {
  const folder = Deno.makeTempDirSync();
  const write = (format: string) =>
    Deno.writeTextFileSync(`${folder}/trainer_state.json`, JSON.stringify({ ...initialState(1, {}), format }));
  write("winnow-trainer-state/1");
  assert.equal((await readState({ folder })).step, 0);
  write("winnow-trainer-state/3");
  await assert.rejects(readState({ folder }), (error: Error) => {
    assert.match(
      error.message,
      /format winnow-trainer-state\/3, and this version reads winnow-trainer-state\/1 and .*\/2/,
    );
    return true;
  });
  Deno.removeSync(folder, { recursive: true });
});
