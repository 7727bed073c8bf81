import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { openTorch } from "../../lib/weights/torch_pickle.ts";
import { runPickle } from "../../lib/weights/torch_pickle_machine.ts";
import type { Value } from "../../lib/weights/torch_pickle_values.ts";
import { concat, pickle, tensorOf, torchArchive, type View, zipOf } from "../support/torch_archives.ts";
import { assertMemory, assertRefused, inFolder } from "../support/weights_checks.ts";

const utf8 = new TextEncoder();
const values = Float32Array.from({ length: 12 }, (_, i) => i + 0.5);

/** An archive with storages "0" (12 floats) and "1" (one long) around the value of a pickle. */
const archive = (...value: number[][]) => torchArchive(value.flat(), { 0: values, 1: new BigInt64Array(1) });

/** A tensor of storage "0". */
const view = (shape: number[], strides: number[], more: Partial<View> = {}) =>
  tensorOf({ storage: "0", count: 12, shape, strides, ...more });

const sound = view([12], [1]);

Deno.test("views of one storage read as PyTorch would read them", () =>
  inFolder((folder) => {
    const path = join(folder, "pytorch_model.bin");
    Deno.writeFileSync(
      path,
      archive(pickle.dict({
        whole: view([3, 4], [4, 1]),
        tied: view([3, 4], [4, 1]),
        turned: view([4, 3], [1, 4]),
        column: view([3], [4], { start: 2 }),
        block: view([2, 2], [4, 1], { start: 5 }),
        cube: view([2, 2, 3], [3, 6, 1]),
        everySecond: view([2, 3], [1, 4], { start: 1 }),
        expanded: view([2, 3, 2], [4, 0, 1]),
        position: view([1, 12], [999, 1]),
        scalar: view([], [], { start: 11 }),
        empty: view([0, 5], [5, 1]),
        long: tensorOf({ storage: "1", type: "Long", count: 1, shape: [1], strides: [1] }),
        parameter: [
          ...pickle.global("torch._utils", "_rebuild_parameter"),
          ...pickle.tuple(view([2], [1]), [0x88], pickle.orderedDict()),
          ...pickle.reduce,
        ],
        extra: pickle.text("kept by get_extra_state"),
      })),
    );
    using file = openTorch(path);
    const read = (name: string) => [...file.readFloat32(name)].map((value) => value - 0.5);
    assert.deepEqual(read("whole"), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert.deepEqual(read("tied"), read("whole"));
    assert.deepEqual(read("turned"), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    assert.deepEqual(read("column"), [2, 6, 10]);
    assert.deepEqual(read("block"), [5, 6, 9, 10]);
    assert.deepEqual(read("cube"), [0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11]);
    assert.deepEqual(read("everySecond"), [1, 5, 9, 2, 6, 10]);
    assert.deepEqual(read("expanded"), [0, 1, 0, 1, 0, 1, 4, 5, 4, 5, 4, 5]);
    assert.deepEqual(read("position"), read("whole"));
    assert.deepEqual(read("scalar"), [11]);
    assert.deepEqual(read("empty"), []);
    assert.deepEqual(read("parameter"), [0, 1]);
    const { dtype, shape, byteLength } = file.tensors.get("turned")!;
    assert.deepEqual({ dtype, shape, byteLength }, { dtype: "F32", shape: [4, 3], byteLength: 48 });
    assert.equal(file.tensors.has("extra"), false);
    assert.equal(file.tensors.get("long")!.dtype, "I64");
    assertRefused(() => file.readFloat32("long"), /"long" of .* holds I64; read as float32 are F32/);
    assertRefused(() => file.readFloat32("constructor"), /has no tensor "constructor"/);
    file.close();
  }));

Deno.test("names of JavaScript's own are names like any other", () =>
  inFolder((folder) => {
    const path = join(folder, "pytorch_model.bin");
    const names = ["__proto__", "constructor", "toString", "__defineGetter__"];
    const entries = names.flatMap((name, i) => [...pickle.text(name), ...view([1], [1], { start: i })]);
    Deno.writeFileSync(path, archive(pickle.emptyDict, pickle.mark, entries, pickle.setItems));
    using file = openTorch(path);
    assert.deepEqual([...file.tensors.keys()], names);
    assert.deepEqual(names.map((name) => file.readFloat32(name)[0]), [0.5, 1.5, 2.5, 3.5]);
    assert.equal(({} as Record<string, unknown>).a, undefined);
  }));

Deno.test("the state dict of a training checkpoint is found where there is one", async (t) => {
  const state = pickle.dict({ weight: sound });
  const wrapped: [name: string, value: number[], message?: RegExp][] = [
    ["under state_dict", pickle.dict({ epoch: pickle.integer(3), state_dict: state })],
    ["under model", pickle.dict({ model: state, optimizer: pickle.dict({ state: sound }) })],
    ["under model_state_dict", pickle.dict({ model_state_dict: state })],
    ["with attributes", [
      ...pickle.orderedDict(),
      ...[...pickle.mark, ...pickle.text("weight"), ...sound, ...pickle.setItems],
      ...pickle.dict({ _metadata: pickle.orderedDict() }),
      ...pickle.build,
    ]],
    ["under two names", pickle.dict({ state_dict: state, model: state }), /several .* "state_dict", under "model"$/],
    ["at the top and below", pickle.dict({ weight: sound, model: state }), /several .* at the top, under "model"$/],
    ["under another name", pickle.dict({ ema: state }), /holds no dict of tensors/],
    ["no tensors", pickle.dict({ model: pickle.dict({}) }), /holds no dict of tensors/],
    ["a tensor alone", sound, /holds no dict of tensors/],
    ["a list", [...pickle.emptyList, ...sound, 0x61], /holds no dict of tensors/],
    ["a number for a name", [...pickle.emptyDict, ...pickle.integer(1), ...sound, 0x73], /name is not text/],
  ];
  await inFolder(async (folder) => {
    const path = join(folder, "pytorch_model.bin");
    for (const [name, value, message] of wrapped) {
      await t.step(name, () => {
        Deno.writeFileSync(path, archive(value));
        if (message) return assertRefused(() => openTorch(path).close(), message);
        using file = openTorch(path);
        assert.deepEqual([...file.tensors.keys()], ["weight"]);
        assert.deepEqual(file.readFloat32("weight"), values);
      });
    }
  });
});
const { global, tuple, text, mark, none } = pickle;
const line = (code: string, ...lines: string[]) => [...utf8.encode(code + lines.map((one) => `${one}\n`).join(""))];

/** Values of a pickle as JavaScript's own. */
function plain(value: Value): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value.kind === "list" || value.kind === "tuple") return value.items.map(plain);
  if (value.kind === "dict") return Object.fromEntries([...value.entries].map(([key, inner]) => [key, plain(inner)]));
  return value.kind;
}

Deno.test("values are built as Python would, from all protocols", () => {
  const cases: [code: number[], expected: unknown][] = [
    [line("I", "-300"), -300],
    [line("I", "01"), true],
    [line("I", "00"), false],
    [line("L", "1180591620717411303424L"), 2n ** 70n],
    [line("L", "-5L"), -5],
    [line("F", "1.5e-05"), 1.5e-5],
    [line("F", "-inf"), -Infinity],
    [line("V", "\\u00e9\\U0001f600 \\u005c"), "é😀 \\"],
    [[0x47, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], 1.5],
    [[0x4a, 0xfe, 0xff, 0xff, 0xff], -2],
    [[0x4b, 0xfe], 254],
    [[0x4d, 0xfe, 0xff], 65534],
    [[0x8a, 0], 0],
    [[0x8a, 2, 0x00, 0x80], -32768],
    [[0x8a, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], 2n ** 63n - 1n],
    [[0x8a, 9, ...Array(8).fill(0xff), 0], 2n ** 64n - 1n],
    [[0x8b, 1, 0, 0, 0, 0xff], -1],
    [[0x8c, 2, 0xc3, 0xa9], "é"],
    [[0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 0x61], "a"],
    [[0x95, 1, 0, 0, 0, 0, 0, 0, 0, ...none], null],
    [[...mark, 0x88, 0x32, 0x89, 0x6c], [true, true, false]],
    [[...pickle.emptyList, ...none, 0x61, ...mark, 0x88, 0x89, 0x65], [null, true, false]],
    [[...none, 0x88, 0x30], null],
    [[...none, ...mark, 0x30], null],
    [[...none, ...mark, 0x88, 0x88, 0x31], null],
    [[0x88, 0x85, ...none, 0x86, 0x89, ...none, 0x87], [[[true], null], false, null]],
    [[...none, ...line("p", "3"), ...line("g", "3"), 0x86], [null, null]],
    [[0x88, 0x94, 0x89, 0x94, ...pickle.get(0), 0x87], [true, false, true]],
    [[...mark, ...text("a"), ...none, ...text("a"), 0x88, 0x64], { a: true }],
    [pickle.dict({ a: tuple(), b: pickle.dict({}) }), { a: [], b: {} }],
    [global("torch", "HalfStorage"), "storageType"],
  ];
  for (const [code, expected] of cases) {
    const value = runPickle(Uint8Array.from([...code, 0x2e]), () => assert.fail("no storage is named"));
    assert.deepEqual(plain(value), expected);
  }
});

Deno.test("a pickle cannot take more memory than its bound on instructions allows", async (t) => {
  const many = (...code: number[]) => new Uint8Array(Buffer.alloc(16e6, Uint8Array.from(code)));
  const startingWith = (first: number, bytes: Uint8Array) => concat([Uint8Array.of(first), bytes]);
  const bombs: [name: string, bytes: Uint8Array][] = [
    ["dicts", many(0x7d)],
    ["lists", many(0x5d)],
    ["marks", many(0x28)],
    ["tuples in tuples", many(0x29, 0x85)],
    ["lists in lists twice over", many(0x5d, 0x94, 0x32, 0x61)],
    ["doublings of a tuple", startingWith(0x29, many(0x32, 0x86))],
    ["memo", many(0x4e, 0x94)],
    ["memo at far places", many(0x4e, 0x72, 255, 255, 255, 255)],
    ["integers of 16 bytes", many(0x8a, 16, ...Array(16).fill(0x7f))],
  ];
  await inFolder(async (folder) => {
    const path = join(folder, "pytorch_model.bin");
    for (const [name, bytes] of bombs) {
      await t.step(name, () => {
        Deno.writeFileSync(path, zipOf([{ name: "a/data.pkl", bytes }]));
        assertMemory(
          500,
          () =>
            assertRefused(
              () => openTorch(path).close(),
              /more than 1000000 instructions|ends inside the operand at byte 15/,
            ),
        );
      });
    }
  });
});
