import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openFlax } from "../../lib/weights/flax_msgpack.ts";
import { openSafetensors } from "../../lib/weights/safetensors.ts";
import { openWeights } from "../../lib/weights/weights_file.ts";
import { arrayHead, arrayOf, chunkedOf, msgpack } from "../support/flax_files.ts";
import { concat } from "../support/torch_archives.ts";
import { assertMemory, assertRefused, checkRefusals, inFolder } from "../support/weights_checks.ts";

const { map, text, integer, bytes, array, extension } = msgpack;
const values = Float32Array.from({ length: 12 }, (_, i) => i + 0.5);
const sound = arrayOf([12], values);

Deno.test("checkpoints of transformers' Flax models have the names, shapes and values of PyTorch's", async (t) => {
  const cases = [["flax_bert", "F32"], ["flax_roberta", "BF16"], ["flax_distilbert", "F32"]] as const;
  for (const [model, dtype] of cases) {
    await t.step(model, async () => {
      const golden = fileURLToPath(new URL(`../golden/${model}`, import.meta.url));
      using expected = openSafetensors(join(golden, "model.safetensors"));
      await inFolder((folder) => {
        for (const { name } of Deno.readDirSync(golden)) {
          if (name.startsWith("flax_model")) Deno.copyFileSync(join(golden, name), join(folder, name));
        }
        using weights = openWeights(folder);
        assert.deepEqual([...weights.tensors.keys()].sort(), [...expected.tensors.keys()].sort());
        for (const [name, { shape }] of expected.tensors) {
          const info = weights.tensors.get(name)!;
          assert.deepEqual([info.shape, info.dtype], [shape, dtype], name);
          assert.deepEqual(weights.readFloat32(name), expected.readFloat32(name), name);
        }
      });
    });
  }
});

Deno.test("kernels are turned round, tables and scales renamed, all else left as it is", () =>
  inFolder((folder) => {
    const path = join(folder, "flax_model.msgpack");
    const tree = map([
      [
        "params",
        map([
          ["dense", map([["kernel", arrayOf([3, 4], values)], ["bias", arrayOf([2], values.subarray(0, 2))]])],
          ["image", map([["kernel", arrayOf([1, 2, 3, 2], values)]])],
          ["sound", map([["kernel", arrayOf([2, 3, 2], values)]])],
          ["table", map([["embedding", arrayOf([4, 3], values)]])],
          ["norm", map([["scale", arrayOf([3], values.subarray(0, 3))]])],
          ["half", arrayOf([2], Float16Array.of(1.5, -2), "float16")],
          ["double", arrayOf([1], Float64Array.of(1.1), "float64")],
          ["scalar", arrayOf([], values.subarray(0, 1))],
          ["numpy scalar", extension(3, arrayOf([], values.subarray(0, 1)).subarray(6))],
          ["empty", arrayOf([0, 7], new Float32Array(0))],
          ["ids", arrayOf([2], BigInt64Array.of(1n, 2n), "int64")],
          ["__proto__", arrayOf([1], values.subarray(1, 2))],
          ["constructor", map([["prototype", arrayOf([1], values.subarray(2, 3))]])],
        ]),
      ],
      ["step", integer(7)],
      ["note", text("x")],
      ["raw", bytes(Uint8Array.of(1, 2))],
      ["none", Uint8Array.of(0xc0)],
    ]);
    Deno.writeFileSync(path, tree);
    using file = openFlax(path);
    const read = (name: string) => [...file.readFloat32(name)].map((value) => value - 0.5);
    const shapes = Object.fromEntries([...file.tensors].map(([name, { shape }]) => [name, shape]));
    assert.equal(file.tensors.size, 14, "no number, text or bytes");
    assert.deepEqual(file.tensors.get("dense.weight"), {
      ...file.tensors.get("dense.weight"),
      dtype: "F32",
      shape: [4, 3],
      byteLength: 48,
    });
    assert.deepEqual(read("dense.weight"), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    assert.deepEqual(shapes["image.weight"], [2, 3, 1, 2]); // height 1, width 2, 3 in, 2 out
    assert.deepEqual(read("image.weight"), [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]);
    assert.deepEqual(shapes["sound.weight"], [2, 3, 2]);
    assert.deepEqual(read("sound.weight"), [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]);
    assert.deepEqual(shapes["table.weight"], [4, 3]);
    assert.deepEqual(read("table.weight"), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert.deepEqual(read("norm.weight"), [0, 1, 2]);
    assert.deepEqual([...file.readFloat32("half")], [1.5, -2]);
    assert.deepEqual([...file.readFloat32("double")], [Math.fround(1.1)]);
    assert.deepEqual([read("scalar"), read("numpy scalar"), shapes.scalar], [[0], [0], []]);
    assert.deepEqual([read("empty"), shapes.empty], [[], [0, 7]]);
    assert.deepEqual([read("__proto__"), read("constructor.prototype")], [[1], [2]]);
    assertRefused(() => file.readFloat32("ids"), /holds I64/);
    assertRefused(() => file.readFloat32("toString"), /has no tensor "toString"/);
    file.close();
  }));

Deno.test("an array in pieces is read as one, also turned round", () =>
  inFolder((folder) => {
    const path = join(folder, "flax_model.msgpack");
    const pieces = [[0, 5], [5, 6], [6, 12]].map(([from, to]) => arrayOf([to! - from!], values.subarray(from, to)));
    const tree = map([["a", map([["kernel", chunkedOf([3, 4], pieces)], ["bias", chunkedOf([12], pieces)]])]]);
    Deno.writeFileSync(path, tree);
    using file = openFlax(path);
    assert.deepEqual(file.readFloat32("a.bias"), values);
    assert.deepEqual([...file.readFloat32("a.weight")].map((v) => v - 0.5), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    Deno.truncateSync(path, tree.length - 10);
    assertRefused(() => file.readFloat32("a.bias"), /ends inside tensor "a\.bias"/);
  }));

/** The array's extension with other parts in it. */
const packed = (...parts: Uint8Array[]) => extension(1, array(parts));
const shapeOf = (...lengths: number[]) => array(lengths.map(integer));
const raw = bytes(new Uint8Array(8));
const f32 = text("float32");
const leaf = (value: Uint8Array) => map([["a", value]]);
const chunked = (...entries: [string, Uint8Array][]) =>
  leaf(map([["__msgpack_chunked_array__", msgpack.true], ...entries]));
const one = map([["0", integer(12)]]);
const pieces = map([["0", sound]]);
const deep = (levels: number): Uint8Array => levels === 0 ? sound : map([["a", deep(levels - 1)]]);

/** A map of this many keys, each with true. */
function manyValues(count: number): Uint8Array {
  const entries = new Uint8Array(6 * count);
  for (let i = 0; i < count; i++) {
    entries.set([0xa4, ...[18, 12, 6, 0].map((shift) => 0x30 + (i >> shift & 63)), 0xc3], 6 * i);
  }
  return concat([map([], count), entries]);
}

const LIES: [name: string, bytes: Uint8Array, message: RegExp][] = [
  ["empty", new Uint8Array(0), /ends inside the value at byte 0/],
  ["not a map", sound, /does not begin with a map/],
  ["the code that is never used", leaf(Uint8Array.of(0xc1)), /of no known kind/],
  ["no arrays", map([["step", integer(1)]]), /holds no arrays/],
  ["bytes after the end", concat([leaf(sound), Uint8Array.of(0)]), /1 bytes follow its end/],
  ["a map of 2^32 - 1 entries", map([["a", sound]], 2 ** 32 - 1), /ends inside the value/],
  [
    "hundreds of thousands of small values",
    manyValues(200_001),
    /more than 400000 values/,
  ],
  ["65 maps deep", deep(67), /more than 64 deep/],
  ["a key of 513 bytes", map([["a".repeat(513), sound]]), /no text, or too long/],
  ["a path of 600 bytes", map([["a".repeat(300), map([["b".repeat(300), sound]])]]), /longer than 512/],
  ["a key that is a number", concat([Uint8Array.of(0x81), integer(1), sound]), /is no text/],
  ["a key that is not UTF-8", Uint8Array.of(0x81, 0xa1, 0xff, 0xc0), /not UTF-8/],
  ["a key twice", map([["a", sound], ["a", sound]]), /key "a" twice/],
  ["two names that become one", map([["scale", sound], ["kernel", sound]]), /two of its arrays are "weight"/],
  ["a path that looks like another", map([["a.b", sound], ["a", map([["b", sound]])]]), /two of its arrays are "a\.b"/],
  ["a list", leaf(array([sound])), /"a" is a list/],
  ["a complex number", leaf(extension(2, raw)), /"a" is a complex number/],
  ["another extension", leaf(extension(-1, raw)), /no array that Flax knows/],
  ["text past the end", leaf(concat([Uint8Array.of(0xdb, 255, 255, 255, 255)])), /ends inside/],
  ["an extension past the end", leaf(extension(1, new Uint8Array(0), 1e9)), /ends inside/],
  ["an array of two", leaf(packed(shapeOf(2), f32)), /damaged head/],
  ["an array that is a map", leaf(extension(1, map([]))), /damaged head/],
  ["a shape that is text", leaf(packed(f32, f32, raw)), /damaged shape/],
  ["a negative length", leaf(packed(shapeOf(-2), f32, raw)), /damaged shape/],
  ["a length past 2^53", leaf(packed(shapeOf(2 ** 60), f32, raw)), /damaged shape/],
  ["lengths that overflow", leaf(packed(shapeOf(2 ** 40, 2 ** 40), f32, raw)), /does not take the 8 bytes/],
  ["a rank of 33", leaf(packed(shapeOf(...Array(33).fill(1)), f32, raw)), /damaged shape/],
  ["a shape of 2^32 - 1 lengths", leaf(packed(array([], 2 ** 32 - 1), f32, raw)), /damaged shape/],
  ["an unknown element type", leaf(packed(shapeOf(2), text("object"), raw)), /unknown element type "object"/],
  [
    "an element type of the prototype",
    leaf(packed(shapeOf(2), text("constructor"), raw)),
    /unknown element type "cons/,
  ],
  ["an element type of a megabyte", leaf(packed(shapeOf(2), text("a".repeat(1e6)), raw)), /damaged element type/],
  ["shape and bytes differ", leaf(packed(shapeOf(3), f32, raw)), /shape \[3\] and type F32 does not take the 8/],
  ["bytes that are text", leaf(packed(shapeOf(2), f32, text("12345678"))), /damaged length/],
  ["bytes longer than the extension", leaf(packed(shapeOf(2), f32, bytes(new Uint8Array(8), 9))), /damaged length/],
  [
    "an extension longer than the array",
    leaf(extension(1, concat([array([shapeOf(2), f32, raw]), raw]))),
    /damaged length/,
  ],
  ["pieces without shape", chunked(["chunks", pieces], ["x", one]), /damaged map/],
  ["pieces with one entry", chunked(["shape", one]), /damaged mark/],
  ["the shape twice", chunked(["shape", one], ["shape", one]), /key "shape" twice/],
  [
    "a mark that is false",
    leaf(map([["__msgpack_chunked_array__", Uint8Array.of(0xc2)], ["shape", one], ["chunks", pieces]])),
    /damaged mark/,
  ],
  [
    "pieces that are too few",
    chunked(["shape", map([["0", integer(13)]])], ["chunks", pieces]),
    /shape \[13\] has pieces of 12/,
  ],
  ["pieces numbered from 1", chunked(["shape", one], ["chunks", map([["1", sound]])]), /damaged chunks/],
  ["no pieces", chunked(["shape", one], ["chunks", map([])]), /damaged chunks/],
  [
    "pieces of two types",
    chunked(["shape", map([["0", integer(24)]])], [
      "chunks",
      map([["0", sound], ["1", arrayOf([12], values.subarray(0, 6), "float16")]]),
    ]),
    /damaged piece/,
  ],
  ["a piece of rank 2", chunked(["shape", one], ["chunks", map([["0", arrayOf([3, 4], values)]])]), /damaged piece/],
  ["a piece that is a number", chunked(["shape", one], ["chunks", one]), /no array that Flax knows/],
  [
    "a length of pieces that is text",
    chunked(["shape", map([["0", text("12")]])], ["chunks", pieces]),
    /damaged shape/,
  ],
];

Deno.test("msgpack files that lie or are broken are refused with the reason", async (t) => {
  await checkRefusals(t, openFlax, LIES);
});

Deno.test("a file cut anywhere is refused", () =>
  inFolder((folder) => {
    const path = join(folder, "flax_model.msgpack");
    const whole = map([["a", map([["kernel", arrayOf([3, 4], values)]])], ["b", chunkedOf([12], [sound])]]);
    for (let length = 0; length < whole.length; length++) {
      Deno.writeFileSync(path, whole.subarray(0, length));
      assertRefused(() => openFlax(path).close(), /ends inside/);
    }
  }));

Deno.test("10 GB are opened, and parts read, without taking them into memory", () =>
  inFolder((folder) => {
    const path = join(folder, "flax_model.msgpack");
    const gigabytes = 2.5 * 2 ** 30;
    const file = Deno.openSync(path, { write: true, create: true });
    file.writeSync(Uint8Array.of(0x85));
    for (let i = 0; i < 4; i++) {
      file.writeSync(concat([text(`large${i}`), arrayHead([gigabytes / 4], "float32", gigabytes)]));
      file.seekSync(gigabytes, Deno.SeekMode.Current); // the file is sparse
    }
    file.writeSync(concat([text("small"), sound]));
    file.close();
    assert.ok(Deno.statSync(path).size > 10 * 2 ** 30);
    assertMemory(100, () => {
      using weights = openFlax(path);
      assert.deepEqual(weights.readFloat32("small"), values);
      assert.equal(weights.tensors.get("large3")!.byteLength, gigabytes);
    });
  }));
