import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { WinnowError } from "../../lib/support/errors.ts";
import { openFlax } from "../../lib/weights/flax_msgpack.ts";
import { openTorch } from "../../lib/weights/torch_pickle.ts";
import { runPickle } from "../../lib/weights/torch_pickle_machine.ts";
import { PickleError } from "../../lib/weights/torch_pickle_bytes.ts";
import type { WeightsFile } from "../../lib/weights/weights_file.ts";
import { arrayOf, chunkedOf, msgpack } from "../support/flax_files.ts";
import { pickle, program, tensorOf, torchArchive } from "../support/torch_archives.ts";

const folder = await Deno.makeTempDir();
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
const path = join(folder, "weights");
const values = Float32Array.from({ length: 24 }, (_, i) => i / 8);

/** A view as slicing, transposing and expanding make it, beside what it must read. */
const views = fc.record({
  sides: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 }),
  order: fc.array(fc.nat(9), { minLength: 4, maxLength: 4 }),
  from: fc.array(fc.nat(3), { minLength: 4, maxLength: 4 }),
  step: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 4, maxLength: 4 }),
  expand: fc.integer({ min: 0, max: 3 }),
}).map(({ sides, order, from, step, expand }) => {
  const storage = Float32Array.from({ length: sides.reduce((a, b) => a * b, 1) }, (_, i) => i);
  let dimensions = sides.map((side, i) => {
    const stride = sides.slice(i + 1).reduce((a, b) => a * b, 1);
    const first = from[i]! % side;
    return { length: Math.ceil((side - first) / step[i]!), stride: stride * step[i]!, offset: first * stride };
  });
  const start = dimensions.reduce((sum, { offset }) => sum + offset, 0);
  dimensions = dimensions.map((dimension, i) => ({ dimension, rank: order[i]! })).sort((a, b) => a.rank - b.rank)
    .map(({ dimension }) => dimension);
  if (expand > 0) dimensions.splice(order[0]! % (dimensions.length + 1), 0, { length: expand, stride: 0, offset: 0 });
  const shape = dimensions.map(({ length }) => length);
  const strides = dimensions.map(({ stride }) => stride);
  let expected = [start];
  for (const { length, stride } of dimensions) {
    expected = expected.flatMap((at) => Array.from({ length }, (_, i) => at + i * stride));
  }
  return { storage, shape, strides, start, expected };
});

Deno.test("every view that slicing, transposing and expanding make reads as its elements", () => {
  fc.assert(
    fc.property(views, ({ storage, shape, strides, start, expected }) => {
      const tensor = tensorOf({ storage: "0", count: storage.length, shape, strides, start });
      Deno.writeFileSync(path, torchArchive(pickle.dict({ view: tensor }), { 0: storage }));
      using file = openTorch(path);
      assert.deepEqual([...file.readFloat32("view")], expected);
    }),
    { numRuns: 300 },
  );
});

Deno.test("a kernel of any shape comes out reversed", () => {
  const shapes = fc.array(fc.nat(4), { maxLength: 3 });
  fc.assert(
    fc.property(shapes, fc.integer({ min: 1, max: 7 }), (shape, pieceLength) => {
      const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i);
      const pieces = Array.from({ length: Math.max(1, Math.ceil(data.length / pieceLength)) }, (_, i) => {
        const piece = data.subarray(i * pieceLength, (i + 1) * pieceLength);
        return arrayOf([piece.length], piece);
      });
      Deno.writeFileSync(
        path,
        msgpack.map([["a", msgpack.map([["kernel", arrayOf(shape, data)]])], [
          "b",
          msgpack.map([["kernel", chunkedOf(shape, pieces)]]),
        ]]),
      );
      let expected = [0];
      for (const [i, length] of [...shape.entries()].reverse()) {
        const stride = shape.slice(i + 1).reduce((a, b) => a * b, 1);
        expected = expected.flatMap((at) => Array.from({ length }, (_, index) => at + index * stride));
      }
      using file = openFlax(path);
      for (const name of ["a.weight", "b.weight"]) {
        assert.deepEqual(file.tensors.get(name)!.shape, shape.toReversed());
        assert.deepEqual([...file.readFloat32(name)], expected);
      }
    }),
    { numRuns: 200 },
  );
});

/** Opens and reads everything; the only other way out is a refusal. Returns whether it was refused. */
function isRefused(open: (path: string) => WeightsFile, bytes: Uint8Array): boolean {
  Deno.writeFileSync(path, bytes);
  try {
    using file = open(path);
    for (const [name, { dtype, shape }] of file.tensors) {
      if (!/^(B?F16|F32|F64)$/.test(dtype)) continue;
      assert.equal(file.readFloat32(name).length, shape.reduce((a, b) => a * b, 1));
    }
    return false;
  } catch (error) {
    assert.ok(
      error instanceof WinnowError && error.kind === "input",
      error instanceof Error ? error.stack ?? error.message : `${error}`,
    );
    return true;
  }
}

/** Bytes changed, bits flipped, ends cut, pieces repeated or taken out. */
function mutate(sound: Uint8Array): fc.Arbitrary<Uint8Array> {
  const place = fc.nat(sound.length - 1);
  const change = fc.oneof(
    fc.record({ kind: fc.constant("byte" as const), at: place, value: fc.nat(255) }),
    fc.record({ kind: fc.constant("flip" as const), at: place, value: fc.nat(7) }),
    fc.record({ kind: fc.constant("cut" as const), at: place, value: fc.constant(0) }),
    fc.record({ kind: fc.constant("remove" as const), at: place, value: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ kind: fc.constant("repeat" as const), at: place, value: fc.integer({ min: 1, max: 40 }) }),
  );
  return fc.array(change, { minLength: 1, maxLength: 3 }).map((changes) => {
    let bytes = [...sound];
    for (const { kind, at, value } of changes) {
      const spot = Math.min(at, bytes.length - 1);
      if (bytes.length === 0) break;
      if (kind === "byte") bytes[spot] = value;
      if (kind === "flip") bytes[spot]! ^= 1 << value;
      if (kind === "cut") bytes = bytes.slice(0, spot);
      if (kind === "remove") bytes.splice(spot, value);
      if (kind === "repeat") bytes.splice(spot, 0, ...bytes.slice(spot, spot + value));
    }
    return Uint8Array.from(bytes);
  });
}

const view = (storage: string, shape: number[], strides: number[]) => tensorOf({ storage, count: 24, shape, strides });
const torchValue = pickle.dict({
  weight: view("0", [4, 6], [6, 1]),
  turned: view("0", [6, 4], [1, 6]),
  b: view("1", [], []),
});

const SOUND: Record<string, [open: (path: string) => WeightsFile, bytes: Uint8Array]> = {
  PyTorch: [openTorch, torchArchive(torchValue, { 0: values, 1: values })],
  Flax: [
    openFlax,
    msgpack.map([
      ["layer", msgpack.map([["kernel", arrayOf([4, 6], values)], ["bias", arrayOf([6], values.subarray(0, 6))]])],
      ["table", msgpack.map([["embedding", chunkedOf([8, 3], [arrayOf([24], values)])]])],
      ["half", arrayOf([3], Float16Array.of(1, 2, 3), "float16")],
    ]),
  ],
};

for (const [format, [open, sound]] of Object.entries(SOUND)) {
  Deno.test(`a changed or cut ${format} file is read or refused, and nothing else happens`, () => {
    let refused = 0;
    assert.equal(isRefused(open, sound), false);
    fc.assert(
      fc.property(mutate(sound), (bytes) => {
        if (isRefused(open, bytes)) refused++;
      }),
      { numRuns: 2000 },
    );
    assert.ok(refused > 400 && refused < 2000, `${refused} of 2000 refused`);
  });
}

Deno.test("a changed pickle inside a sound archive is read or refused, and nothing else happens", () => {
  let refused = 0;
  fc.assert(
    fc.property(mutate(Uint8Array.from(torchValue)), (value) => {
      if (isRefused(openTorch, torchArchive([...value], { 0: values, 1: values }))) refused++;
    }),
    { numRuns: 2000 },
  );
  assert.ok(refused > 400 && refused < 2000, `${refused} of 2000 refused`);
});

Deno.test("any bytes make a value or a PickleError", () => {
  const fragments = [
    ...Object.values(pickle).filter(Array.isArray) as number[][],
    pickle.orderedDict(),
    pickle.text("a"),
    pickle.put(1),
    pickle.get(1),
    pickle.global("torch", "FloatStorage"),
    pickle.global("torch._utils", "_rebuild_parameter"),
    view("0", [2], [1]),
  ];
  const instruction = fc.oneof(fc.constantFrom(...fragments), fc.nat(255).map((code) => [code]));
  let built = 0;
  fc.assert(
    fc.property(fc.array(instruction, { maxLength: 25 }), (code) => {
      try {
        runPickle(
          program(...code),
          () => ({ kind: "storage", dtype: "F32", range: { byteOffset: 0, byteLength: 96 } }),
        );
        built++;
      } catch (error) {
        assert.ok(error instanceof PickleError, String(error));
      }
    }),
    { numRuns: 5000 },
  );
  assert.ok(built > 50, `${built} values built`);
});
