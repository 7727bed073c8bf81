import assert from "node:assert/strict";
import { join } from "node:path";
import { WinnowError } from "../../lib/support/errors.ts";
import { openSafetensors, openSafetensorsFolder, writeSafetensors } from "../../lib/weights/safetensors.ts";

async function inFolder(use: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A file with any header, honest or not. */
function fileBytes(header: unknown, dataBytes: number, claim?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, claim ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

function assertRefused(action: () => unknown, message: RegExp): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof WinnowError, String(error));
    assert.equal(error.kind, "input");
    assert.notEqual(error.remedy, "");
    assert.match(error.message, message);
    return true;
  });
}

const tensor = (shape: number[], data_offsets: unknown, dtype = "F32") => ({ dtype, shape, data_offsets });

const LIES: [name: string, bytes: Uint8Array, message: RegExp][] = [
  ["empty", new Uint8Array(0), /ends after 0 bytes/],
  ["7 bytes", new Uint8Array(7), /ends after 7 bytes/],
  ["header longer than the file", fileBytes("{}", 0, 3n), /claims 3 bytes, but only 2 follow/],
  ["header of 101 MB", fileBytes("{}", 0, 101_000_000n), /claims 101000000 bytes, more than/],
  ["header of 2^64 - 1 bytes", fileBytes("{}", 0, 2n ** 64n - 1n), /claims 18446744073709551615 bytes/],
  ["no JSON", fileBytes("{nope}", 0), /header is not JSON/],
  ["no UTF-8", fileBytes("{}", 0).map((byte, i) => i === 9 ? 0xff : byte), /header is not JSON/],
  ["nested without end", fileBytes("[".repeat(50_000), 0), /header is not JSON/],
  ["an array", fileBytes("[]", 0), /header is not an object/],
  ["null", fileBytes("null", 0), /header is not an object/],
  ["metadata of numbers", fileBytes({ __metadata__: { a: 1 } }, 0), /__metadata__ is not a map/],
  ["a tensor that is none", fileBytes({ a: 1 }, 0), /tensor "a"/],
  ["no offsets", fileBytes({ a: { dtype: "F32", shape: [] } }, 4), /tensor "a": data_offsets/],
  ["three offsets", fileBytes({ a: tensor([1], [0, 4, 8]) }, 4), /tensor "a": data_offsets/],
  ["negative offset", fileBytes({ a: tensor([1], [-4, 0]) }, 4), /tensor "a": data_offsets\.0/],
  ["fractional shape", fileBytes({ a: tensor([0.5, 2], [0, 4]) }, 4), /tensor "a": shape\.0/],
  ["shape past 2^53", fileBytes(`{"a":{"dtype":"F32","shape":[1e300],"data_offsets":[0,4]}}`, 4), /tensor "a": shape/],
  ["negative lengths that multiply to 1", fileBytes({ a: tensor([-1, -1], [0, 4]) }, 4), /tensor "a": shape\.0/],
  ["lengths that overflow", fileBytes({ a: tensor([2 ** 40, 2 ** 40], [0, 4]) }, 4), /does not take the 4 bytes/],
  ["a rank of 1000", fileBytes({ a: tensor(Array(1000).fill(1), [0, 4]) }, 4), /tensor "a": shape/],
  ["unknown type", fileBytes({ a: tensor([1], [0, 4], "F33") }, 4), /unknown type "F33"/],
  ["a type from the prototype", fileBytes({ a: tensor([1], [0, 4], "constructor") }, 4), /unknown type "constructor"/],
  ["shape and bytes differ", fileBytes({ a: tensor([2], [0, 4]) }, 4), /shape \[2\] and type F32 does not take the 4/],
  ["end before begin", fileBytes({ a: tensor([1], [4, 0]) }, 4), /lies at bytes 4 to 0/],
  ["end past the file", fileBytes({ a: tensor([2], [0, 8]) }, 4), /lies at bytes 0 to 8 of 4/],
  ["overlap", fileBytes({ a: tensor([2], [0, 8]), b: tensor([2], [4, 12]) }, 12), /"b" overlaps/],
  ["twice the same bytes", fileBytes({ a: tensor([1], [0, 4]), b: tensor([1], [0, 4]) }, 4), /overlaps/],
  ["hole", fileBytes({ a: tensor([1], [0, 4]), b: tensor([1], [8, 12]) }, 12), /"b" leaves a hole/],
  ["hole at the start", fileBytes({ a: tensor([1], [4, 8]) }, 8), /"a" leaves a hole/],
  ["bytes after the end", fileBytes({ a: tensor([1], [0, 4]) }, 5), /1 bytes after the last tensor/],
  ["control characters in a name", fileBytes({ "\u001b[2J": 1 }, 0), /tensor "\\u001b\[2J"/],
];

Deno.test("damaged and lying safetensors files are refused with the reason", async (t) => {
  await inFolder(async (folder) => {
    const path = join(folder, "model.safetensors");
    for (const [name, bytes, message] of LIES) {
      await t.step(name, () => {
        Deno.writeFileSync(path, bytes);
        assertRefused(() => openSafetensors(path), message);
      });
    }
    await t.step("millions of items", () => {
      Deno.writeFileSync(path, fileBytes(`{"a":[${"1,".repeat(2_100_000)}1]}`, 0));
      assertRefused(() => openSafetensors(path), /more than 2000000 items/);
    });
    await t.step("no file", () => assertRefused(() => openSafetensors(join(folder, "none")), /There is no file/));
  });
});

Deno.test("what is written is read back in the same bits, padded to 8 bytes, the same each time", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a.safetensors"), again = join(folder, "b.safetensors");
    const values = Float32Array.from([1.5, -0, NaN, Infinity, 1e-45, 3.4e38]);
    const tensors = [
      { name: "z", shape: [2, 3], data: values },
      { name: "empty", shape: [0, 7], data: new Float32Array(0) },
      { name: "scalar ✓", shape: [], data: () => Promise.resolve(new Float32Array([7, 8, 9]).subarray(1, 2)) },
      { name: "a", shape: [1], data: () => new Float32Array([4]) },
    ];
    await writeSafetensors(path, tensors, { format: "pt", note: 'quotes " and\nlines' });
    await writeSafetensors(again, tensors, { format: "pt", note: 'quotes " and\nlines' });
    assert.deepEqual(Deno.readFileSync(path), Deno.readFileSync(again));
    using file = openSafetensors(path);
    assert.deepEqual(file.metadata, { format: "pt", note: 'quotes " and\nlines' });
    assert.deepEqual([...file.tensors.keys()], ["z", "empty", "scalar ✓", "a"]);
    const { byteOffset, ...info } = file.tensors.get("z")!;
    assert.equal(byteOffset % 8, 0);
    assert.deepEqual(info, { dtype: "F32", shape: [2, 3], byteLength: 24 });
    assert.deepEqual(new Uint8Array(file.readFloat32("z").buffer), new Uint8Array(values.buffer));
    assert.deepEqual([...file.readFloat32("empty")], []);
    assert.deepEqual([...file.readFloat32("scalar ✓")], [8]);
    assert.deepEqual([...file.readFloat32("a")], [4]);
    assert.match(
      new TextDecoder().decode(Deno.readFileSync(path).subarray(8, 40)),
      /^\{"__metadata__":\{"format":"pt",/,
    );
    assertRefused(() => file.readFloat32("b"), /no tensor "b"/);
  });
});

Deno.test("half, brain and double floats become float32, across chunks of the file", async () => {
  await inFolder((folder) => {
    const count = 600_001; // more than one chunk of 1 MiB for each type
    const doubles = Float64Array.from({ length: count }, (_, i) => (i % 2001 - 1000) / 8);
    const halves = Float16Array.from(doubles);
    const brains = Uint16Array.from(
      { length: count },
      (_, i) => new Uint32Array(Float32Array.of(i % 200 - 100).buffer)[0]! >>> 16,
    );
    const arrays = { F16: halves, BF16: brains, F64: doubles, I64: new BigInt64Array(3) };
    let offset = 0;
    const header: Record<string, unknown> = {};
    for (const [dtype, { length, byteLength }] of Object.entries(arrays)) {
      header[dtype] = tensor([length], [offset, offset += byteLength], dtype);
    }
    const bytes = fileBytes(header, offset);
    let at = bytes.length - offset;
    for (const { buffer, byteLength } of Object.values(arrays)) {
      bytes.set(new Uint8Array(buffer), at);
      at += byteLength;
    }
    const path = join(folder, "model.safetensors");
    Deno.writeFileSync(path, bytes);
    using file = openSafetensorsFolder(folder);
    assert.deepEqual(file.readFloat32("F16"), Float32Array.from(halves));
    assert.deepEqual(file.readFloat32("F64"), Float32Array.from(doubles));
    assert.deepEqual(file.readFloat32("BF16"), Float32Array.from({ length: count }, (_, i) => i % 200 - 100));
    assertRefused(() => file.readFloat32("I64"), /holds I64/);
    Deno.truncateSync(path, bytes.length - 30);
    assertRefused(() => file.readFloat32("F64"), /ends inside tensor "F64"/);
  });
});

Deno.test("shards read as one model; an index that lies is refused", async () => {
  await inFolder(async (folder) => {
    const write = (name: string, tensors: string[]) =>
      writeSafetensors(
        join(folder, name),
        tensors.map((tensor, i) => ({ name: tensor, shape: [1], data: Float32Array.of(i + name.charCodeAt(6)) })),
        { format: "pt" },
      );
    const index = (weight_map: unknown) =>
      Deno.writeTextFile(join(folder, "model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map }));
    assertRefused(() => openSafetensorsFolder(folder), /has no weights/);
    await write("model-1.safetensors", ["a", "b"]);
    await write("model-2.safetensors", ["c"]);
    await index({ c: "model-2.safetensors", a: "model-1.safetensors", b: "model-1.safetensors" });
    using file = openSafetensorsFolder(folder);
    assert.deepEqual([...file.tensors.keys()], ["c", "a", "b"]);
    assert.deepEqual(["a", "b", "c"].map((name) => file.readFloat32(name)[0]), [49, 50, 50]);
    assert.deepEqual(file.metadata, { format: "pt" });
    assertRefused(() => file.readFloat32("constructor"), /no tensor "constructor"/);
    await index({ d: "model-1.safetensors" });
    assertRefused(() => openSafetensorsFolder(folder), /says that "d" is in model-1\.safetensors/);
    await index({ a: "../model-1.safetensors" });
    assertRefused(() => openSafetensorsFolder(folder), /names the shard "\.\.\/model-1/);
    await index({ a: "model-3.safetensors" });
    assertRefused(() => openSafetensorsFolder(folder), /There is no file .*model-3/);
    await index(["a"]);
    assertRefused(() => openSafetensorsFolder(folder), /not an index of weights/);
  });
});

Deno.test("tensors that cannot be written leave no file", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "x.safetensors");
    const data = new Float32Array(2);
    const refused = (tensors: Parameters<typeof writeSafetensors>[1], message: RegExp) =>
      assert.rejects(
        writeSafetensors(path, tensors),
        (error) => error instanceof WinnowError && message.test(error.message),
      );
    await refused([{ name: "a", shape: [3], data }], /shape \[3\] was given 2 values/);
    await refused([{ name: "a", shape: [2], data }, { name: "a", shape: [2], data }], /named "a"/);
    await refused([{ name: "__metadata__", shape: [2], data }], /named "__metadata__"/);
    await refused([{ name: "a", shape: [-2, -1], data }], /impossible shape/);
    await assert.rejects(
      writeSafetensors(path, [{
        name: "a",
        shape: [2],
        data: () => Promise.reject(new Error("lost device")),
      }]),
      /lost device/,
    );
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("names of JavaScript's own are names like any other", () =>
  inFolder(async (folder) => {
    const metadata = JSON.parse(`{"__proto__": "a", "constructor": "b"}`);
    const names = ["__proto__", "constructor", "toString"];
    const shard = "model-00001-of-00001.safetensors";
    const tensors = names.map((name, i) => ({ name, shape: [1], data: Float32Array.of(i) }));
    await writeSafetensors(join(folder, shard), tensors, metadata);
    const index = `{"weight_map": {${names.map((name) => `"${name}": "${shard}"`).join()}}}`;
    await Deno.writeTextFile(join(folder, "model.safetensors.index.json"), index);
    using file = openSafetensorsFolder(folder);
    assert.deepEqual(Object.entries(file.metadata), [["__proto__", "a"], ["constructor", "b"]]);
    assert.deepEqual([...file.tensors.keys()], names);
    assert.deepEqual(names.map((name) => file.readFloat32(name)[0]), [0, 1, 2]);
  }));
