import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { openTorch } from "../../lib/weights/torch_pickle.ts";
import { runPickle } from "../../lib/weights/torch_pickle_machine.ts";
import type { Value } from "../../lib/weights/torch_pickle_values.ts";
import {
  concat,
  directoryEntry,
  endRecords,
  localHeader,
  pickle,
  program,
  storageOf,
  tensorOf,
  torchArchive,
  type View,
  type ZipEnd,
  type ZipEntry,
  zipOf,
} from "../support/torch_archives.ts";
import { assertMemory, assertRefused, checkRefusals, inFolder } from "../support/weights_checks.ts";

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

const { global, tuple, text, integer, emptyTuple, reduce, mark, none } = pickle;
const system = global("posix", "system");
const line = (code: string, ...lines: string[]) => [...utf8.encode(code + lines.map((one) => `${one}\n`).join(""))];
const long = (length: number, width: number, code: number) => [
  code,
  ...Array.from({ length: width }, (_, i) => Math.floor(length / 2 ** (8 * i)) & 255),
];

const PICKLES: [name: string, value: number[], message: RegExp][] = [
  // What runs code in Python. The name is what is refused, wherever it stands.
  [
    "REDUCE of os.system",
    [...system, ...tuple(text("touch x")), ...reduce],
    /"posix\.system", which is not on the list/,
  ],
  ["a name alone", system, /"posix\.system"/],
  ["a name that is thrown away", [...system, 0x30, ...sound], /"posix\.system"/],
  ["STACK_GLOBAL", [...text("os"), ...text("system"), 0x93], /"os\.system"/],
  [
    "STACK_GLOBAL from the memo",
    [...text("nt"), ...pickle.put(1), 0x30, ...pickle.get(1), ...text("x"), 0x93],
    /"nt\.x"/,
  ],
  [
    "STACK_GLOBAL of a path through a listed name",
    [...text("torch"), ...text("FloatStorage.__init__"), 0x93],
    /"torch\.FloatS/,
  ],
  [
    "STACK_GLOBAL that joins to a listed name",
    [...text("torch"), ...text("_utils._rebuild_tensor_v2"), 0x93],
    /not on the/,
  ],
  ["STACK_GLOBAL of numbers", [...integer(1), ...integer(2), 0x93], /named by other than text/],
  ["INST", [...mark, ...text("x"), ...line("i", "posix", "system")], /"posix\.system"/],
  ["INST of a listed name", [...mark, ...line("i", "collections", "OrderedDict")], /makes an instance \(INST\)/],
  ["OBJ", [...mark, ...system, ...text("x"), 0x6f], /"posix\.system"/],
  ["OBJ of a listed name", [...mark, ...global("collections", "OrderedDict"), 0x6f], /instruction OBJ at byte/],
  ["NEWOBJ", [...global("subprocess", "Popen"), ...tuple(text("x")), 0x81], /"subprocess\.Popen"/],
  ["NEWOBJ of a listed name", [...global("collections", "OrderedDict"), ...emptyTuple, 0x81], /instruction NEWOBJ at/],
  ["NEWOBJ_EX", [...global("collections", "OrderedDict"), ...emptyTuple, ...pickle.emptyDict, 0x92], /NEWOBJ_EX/],
  ["EXT1", [0x82, 1], /instruction EXT1/],
  ["getattr", [...global("builtins", "getattr"), ...tuple(text("a")), ...reduce], /"builtins\.getattr"/],
  ["eval", [...global("__builtin__", "eval"), ...tuple(text("1")), ...reduce], /"__builtin__\.eval"/],
  ["a nested torch.load", [...global("torch.storage", "_load_from_bytes")], /"torch\.storage\._load_from_bytes"/],
  ["a prototype's name", global("__proto__", "constructor"), /"__proto__\.constructor"/],
  ["control characters in a name", global("\u001b[2J", "x"), /"\\u001b\[2J\.x"/],
  ["characters that turn a line round in a name", global("os\u202e\u009b", "x"), /"os\\u202e\\u009b\.x"/],
  ["a very long name", global("a".repeat(1e6), "x"), /names "a{200}", which/],
  ["BUILD on a tensor", [...sound, ...pickle.emptyDict, ...pickle.build], /state of what is no OrderedDict/],
  [
    "BUILD on a class",
    [...global("collections", "OrderedDict"), ...pickle.emptyDict, ...pickle.build],
    /no OrderedDict/,
  ],
  ["BUILD with a tuple", [...pickle.orderedDict(), ...emptyTuple, ...pickle.build], /no OrderedDict/],
  [
    "a storage class is called",
    [...global("torch", "FloatStorage"), ...tuple(integer(9)), ...reduce],
    /calls what is no/,
  ],
  ["text is called", [...text("x"), ...emptyTuple, ...reduce], /calls what is no function/],
  [
    "OrderedDict is given pairs",
    [...global("collections", "OrderedDict"), ...tuple(none), ...reduce],
    /with arguments/,
  ],
  // Instructions that are broken.
  ["PERSID", line("P", "0"), /instruction PERSID/],
  ["protocol 6", [0x80, 6], /protocol is 6/],
  ["no instruction", [0xff], /unknown instruction 255 at byte 2/],
  ["REDUCE of nothing", reduce, /empty stack/],
  ["a value from below the mark", [...none, ...mark, 0x85], /empty stack/],
  ["TUPLE without MARK", [0x74], /mark that was never set/],
  ["a mark left over", mark, /left over/],
  ["two values", [...none, ...none], /left over/],
  ["no value", [], /left over/],
  ["bytes after STOP", [...none, 0x2e, ...none], /2 bytes follow its end/],
  ["APPEND to a dict", [...pickle.emptyDict, ...none, 0x61], /no list/],
  ["SETITEM of a list", [...pickle.emptyList, ...none, ...none, 0x73], /no dict/],
  ["a key without value", [...pickle.emptyDict, ...mark, ...none, ...pickle.setItems], /key without a value/],
  ["a list for a key", [...pickle.emptyDict, ...pickle.emptyList, ...none, 0x73], /a list for a key/],
  ["BINGET of nothing", [0x68, 7], /value 7, which was never remembered/],
  ["GET of nonsense", line("g", "__proto__"), /memo number "__proto__"/],
  ["PUT on an empty stack", pickle.put(1), /empty stack/],
  // Lengths that lie.
  ["BINUNICODE of 4 GB", long(0xffffffff, 4, 0x58), /ends inside the operand/],
  ["BINUNICODE8 of 2^63 bytes", long(2 ** 63, 8, 0x8d), /ends inside the operand/],
  ["LONG4 of 2 GB", long(2 ** 31 - 1, 4, 0x8b), /integer of 2147483647 bytes/],
  ["LONG4 of -1 bytes", long(2 ** 32 - 1, 4, 0x8b), /integer of -1 bytes/],
  ["LONG1 of 255 bytes", [0x8a, 255, ...Array(255).fill(255)], /integer of 255 bytes/],
  ["LONG of a thousand digits", line("L", "9".repeat(1000)), /has an integer "9/],
  ["FRAME past the end", long(1e6, 8, 0x95), /frame is longer/],
  ["text that is not UTF-8", [0x58, 1, 0, 0, 0, 0xff], /not UTF-8/],
  ["a line without end", [0x63, 0x61], /inside the line/],
  // Storages and tensors that lie.
  ["an id that is no tuple", [...text("0"), ...pickle.persistentId], /not that of a storage/],
  ["an id of another word", [
    ...tuple(text("module"), global("torch", "FloatStorage"), text("0"), text("cpu"), integer(12)),
    0x51,
  ], /not that/],
  ["a storage that is not there", storageOf({ storage: "7", count: 12 }), /bytes of storage "7" are missing/],
  ["a storage out of the folder", storageOf({ storage: "../data.pkl", count: 12 }), /"\.\.\/data\.pkl" are missing/],
  ["a storage that is longer", storageOf({ storage: "0", count: 13 }), /claims 13 elements, but has 48 bytes/],
  ["a storage that is shorter", storageOf({ storage: "0", count: 11 }), /claims 11 elements, but has 48/],
  ["a storage of 2^60 elements", [
    ...tuple(text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), integer(2n ** 60n)),
    0x51,
  ], /not that of a storage/],
  ["a view past the end", view([13], [1]), /shape \[13\].* leaves its storage of 12/],
  ["a view past the end by its offset", view([4], [1], { start: 9 }), /offset 9 leaves its storage/],
  ["a view past the end by its stride", view([2], [12]), /leaves its storage/],
  ["a view of 2^62 elements", view([2 ** 31, 2 ** 31], [2 ** 31, 1]), /leaves its storage/],
  ["a view of 2^53 by stride 0", view([2 ** 50], [0]), /makes too much of its storage/],
  [
    "lengths whose product overflows",
    view([0, ...Array(30).fill(2 ** 50), 2], Array(32).fill(1)),
    /no dict of tensors/,
  ],
  ["a view on top of itself", view([3, 3], [1, 1]), /overlaps itself/],
  ["a negative length", view([-1], [1]), /impossible size/],
  ["a negative stride", view([2], [-1], { start: 5 }), /impossible size/],
  ["a negative offset", view([1], [1], { start: -1 }), /impossible size/],
  ["a rank of 33", view(Array(33).fill(1), Array(33).fill(1)), /impossible size/],
  ["more lengths than strides", view([1, 1], [1]), /impossible size/],
  [
    "a tensor of a tensor",
    [...global("torch._utils", "_rebuild_tensor_v2"), ...tuple(sound), ...reduce],
    /other than a storage/,
  ],
  [
    "a parameter of nothing",
    [...global("torch._utils", "_rebuild_parameter"), ...emptyTuple, ...reduce],
    /without a tensor/,
  ],
];

Deno.test("pickles that would run code, lie or are broken are refused with the reason", async (t) => {
  await checkRefusals(t, openTorch, PICKLES.map(([name, value, message]) => [name, archive(value), message]));
});

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

const honest: ZipEntry[] = [
  { name: "archive/data.pkl", bytes: program(pickle.dict({ weight: sound })) },
  { name: "archive/data/0", bytes: new Uint8Array(values.buffer) },
];
const withData = (lies: Partial<ZipEntry>, end?: ZipEnd) => zipOf([honest[0]!, { ...honest[1]!, ...lies }], end);
const withEntry = (name: string, content: string) => zipOf([...honest, { name, bytes: utf8.encode(content) }]);
const patched = (bytes: Uint8Array, at: number, ...values: number[]) => {
  const copy = bytes.slice();
  copy.set(values, at < 0 ? bytes.length + at : at);
  return copy;
};

const ARCHIVES: [name: string, bytes: Uint8Array, message: RegExp][] = [
  ["empty", new Uint8Array(0), /no zip archive/],
  ["3 bytes", utf8.encode("PK\u0003"), /no zip archive/],
  ["text", utf8.encode("<html>not found</html>"), /no zip archive/],
  ["a bare pickle", program(none), /bare pickle, as PyTorch wrote before 1\.6/],
  ["cut off", zipOf(honest).subarray(0, -30), /directory at its end is missing/],
  ["an empty archive", zipOf([]), /no zip archive/],
  ["a comment", zipOf(honest, { comment: "hello" }), /directory at its end is missing/],
  ["several disks", zipOf(honest, { disk: 1 }), /several disks/],
  ["fewer entries than claimed", zipOf(honest, { entries: 9 }), /lists 2 entries, but should list 9/],
  ["a directory of 17 MiB", zipOf(honest, { directoryBytes: 17 * 2 ** 20 }), /claims 17825792 bytes/],
  [
    "a directory of 2^50 bytes",
    zipOf(honest, { directoryBytes: 2 ** 50, zip64: true }),
    /claims 1125899906842624 bytes/,
  ],
  ["a directory elsewhere", zipOf(honest, { directoryOffset: 3 }), /not where the end record says/],
  ["a zip64 record that contradicts", patched(zipOf(honest, { zip64: true }), -12, 9, 0), /contradict one another/],
  ["a zip64 record that is none", patched(zipOf(honest, { zip64: true }), -97, 9), /zip64 end record is damaged/],
  ["a compressed entry", withData({ method: 8 }), /"archive\/data\/0" is compressed/],
  ["an encrypted entry", withData({ flags: 1 }), /is encrypted/],
  ["a size that is a lie", withData({ claim: 1e9 }), /contradicts the directory/],
  ["two sizes", withData({ packed: 10 }), /claims 48 bytes, but stores 10/],
  ["an entry past the end", withData({ claim: 1e9, localSize: 1e9 }), /runs into the directory/],
  [
    "a zip64 entry of 2^60 bytes",
    withData({ claim: 2 ** 60, zip64: true, flags: 8, localSize: 0 }),
    /runs into the directory/,
  ],
  ["an entry inside another", withData({ offset: 4 }), /overlaps the one before/],
  ["an entry at no header", withData({ offset: 70 }), /overlaps|contradicts/],
  ["an entry beyond the file", withData({ offset: 1e9 }), /ends inside the header of entry/],
  ["another name in the header", withData({ localName: "archive/data/1" }), /contradicts the directory/],
  ["the same name twice", zipOf([...honest, honest[1]!]), /same name/],
  ["the same entry twice", zipOf([...honest, { ...honest[1]!, offset: 0, name: "archive/data/1" }]), /overlaps/],
  ["a name that leads out", withEntry("../x", ""), /named "\.\.\/x"/],
  ["an absolute name", withEntry("/etc/passwd", ""), /named "\/etc/],
  ["a name with a backslash", withEntry("a\\b", ""), /named "a\\\\b"/],
  ["no data.pkl", zipOf([honest[1]!]), /holds 0 entries data\.pkl/],
  ["two data.pkl", withEntry("other/data.pkl", ""), /holds 2 entries data\.pkl/],
  ["TorchScript", withEntry("archive/constants.pkl", ""), /TorchScript archive/],
  ["big-endian", withEntry("archive/byteorder", "big"), /byte order "big"/],
  ["a byte order of a megabyte", withEntry("archive/byteorder", "x".repeat(1e6)), /byteorder has 1000000 bytes/],
  [
    "a pickle of 17 MiB",
    zipOf([{ name: "a/data.pkl", bytes: new Uint8Array(17 * 2 ** 20) }]),
    /data\.pkl has 17825792 bytes/,
  ],
  [
    "a pickle of no bytes",
    zipOf([{ name: "a/data.pkl", bytes: new Uint8Array(0) }]),
    /ends inside the operand at byte 0/,
  ],
];

Deno.test("archives that lie or are not of torch.save are refused with the reason", async (t) => {
  await checkRefusals(t, openTorch, ARCHIVES);
});

Deno.test("a file cut anywhere is refused", () =>
  inFolder((folder) => {
    const path = join(folder, "pytorch_model.bin");
    const whole = zipOf(honest);
    for (let length = 0; length < whole.length; length++) {
      Deno.writeFileSync(path, whole.subarray(0, length));
      assertRefused(() => openTorch(path).close(), /no zip archive|is missing|not where/);
    }
    Deno.writeFileSync(path, whole);
    using file = openTorch(path);
    Deno.truncateSync(path, 100);
    assertRefused(() => file.readFloat32("weight"), /ends inside tensor "weight"/);
  }));

Deno.test("zip64 archives, and sizes left open in the headers before entries, are read", () =>
  inFolder((folder) => {
    const path = join(folder, "pytorch_model.bin");
    const entries = honest.map((entry) => ({ ...entry, zip64: true, flags: 8, localSize: 0 }));
    Deno.writeFileSync(path, zipOf(entries, { zip64: true }));
    using file = openTorch(path);
    assert.deepEqual(file.readFloat32("weight"), values);
  }));

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

Deno.test("10 GB are opened, and parts read, without taking them into memory", () =>
  inFolder((folder) => {
    const path = join(folder, "pytorch_model.bin");
    const gigabytes = 10 * 2 ** 30;
    const rows = 10;
    const columns = gigabytes / 4 / rows;
    const pkl = program(pickle.dict({
      large: tensorOf({ storage: "0", count: gigabytes / 4, shape: [rows, columns], strides: [columns, 1] }),
      column: tensorOf({ storage: "0", count: gigabytes / 4, shape: [rows], strides: [columns], start: 7 }),
      small: tensorOf({ storage: "1", count: 12, shape: [12], strides: [1] }),
    }));
    // Only the claims of the middle entry are large: the file is sparse.
    const entries: ZipEntry[] = [
      { name: "a/data.pkl", bytes: pkl },
      { name: "a/data/0", bytes: new Uint8Array(0), claim: gigabytes, localSize: 0, flags: 8, zip64: true },
      { name: "a/data/1", bytes: new Uint8Array(values.buffer), zip64: true },
    ];
    const file = Deno.openSync(path, { write: true, create: true });
    const directory: number[] = [];
    let at = 0;
    let columnAt = 0;
    for (const entry of entries) {
      const header = Uint8Array.from(localHeader(entry));
      directory.push(...directoryEntry(entry, at));
      file.seekSync(at, Deno.SeekMode.Start);
      file.writeSync(header);
      file.writeSync(entry.bytes);
      if (entry.claim) columnAt = at + header.length + 28;
      at += header.length + (entry.claim ?? entry.bytes.length);
    }
    file.seekSync(at, Deno.SeekMode.Start);
    file.writeSync(
      Uint8Array.from([...directory, ...endRecords(entries.length, directory.length, at, { zip64: true })]),
    );
    for (let row = 0; row < rows; row++) {
      file.seekSync(columnAt + 4 * row * columns, Deno.SeekMode.Start);
      file.writeSync(new Uint8Array(Float32Array.of(row + 1).buffer));
    }
    file.close();
    assertMemory(100, () => {
      using weights = openTorch(path);
      assert.deepEqual(weights.readFloat32("small"), values);
      assert.deepEqual([...weights.readFloat32("column")], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      assert.equal(weights.tensors.get("large")!.byteLength, gigabytes);
      assertRefused(() => weights.readFloat32("large"), /has 2684354560 elements, more than the 1073741824 readable/);
    });
  }));
