/** Pickles that would run code, lie or are broken. */
import { openTorch } from "../../lib/weights/torch_pickle.ts";
import { pickle, storageOf, tensorOf, torchArchive, type View } from "../support/torch_archives.ts";
import { checkRefusals } from "../support/weights_checks.ts";

const utf8 = new TextEncoder();
const values = Float32Array.from({ length: 12 }, (_, i) => i + 0.5);

/** An archive with storages "0" (12 floats) and "1" (one long) around the value of a pickle. */
const archive = (...value: number[][]) => torchArchive(value.flat(), { 0: values, 1: new BigInt64Array(1) });

/** A tensor of storage "0". */
const view = (shape: number[], strides: number[], more: Partial<View> = {}) =>
  tensorOf({ storage: "0", count: 12, shape, strides, ...more });

const sound = view([12], [1]);

const { global, tuple, text, integer, emptyTuple, reduce, mark, none } = pickle;
const system = global("posix", "system");
const line = (code: string, ...lines: string[]) => [...utf8.encode(code + lines.map((one) => `${one}\n`).join(""))];
const long = (length: number, width: number, code: number) => [
  code,
  ...Array.from({ length: width }, (_, i) => Math.floor(length / 2 ** (8 * i)) & 255),
];

/** A call with a tensor of 2 elements of a storage, and what follows the 6 arguments of all tensors. */
const rebuilt = (name: string, storage: number[], ...more: number[][]) => [
  ...global("torch._utils", name),
  ...tuple(storage, integer(0), tuple(integer(2)), tuple(integer(1)), pickle.false, pickle.orderedDict(), ...more),
  ...reduce,
];
const typed = storageOf({ storage: "0", count: 12 });
const untyped = [
  ...tuple(text("storage"), global("torch.storage", "UntypedStorage"), text("0"), text("cpu"), integer(48)),
  ...pickle.persistentId,
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
  ["untyped bytes without a type", rebuilt("_rebuild_tensor_v2", untyped), /no element type, or two/],
  [
    "a type for typed bytes",
    rebuilt("_rebuild_tensor_v3", typed, global("torch", "uint16")),
    /no element type, or two/,
  ],
  ["no type where one is due", rebuilt("_rebuild_tensor_v3", untyped, none), /called without an element type/],
  ["values to be negated", rebuilt("_rebuild_tensor_v2", typed, pickle.dict({ neg: [0x88] })), /a tensor has metadata/],
];

Deno.test("pickles that would run code, lie or are broken are refused with the reason", async (t) => {
  await checkRefusals(t, openTorch, PICKLES.map(([name, value, message]) => [name, archive(value), message]));
});
