/**
 * Finds the arrays in a file of `flax.serialization`: nested maps whose leaves are extensions, type 1 for an array and 3
 * for a scalar of NumPy, both a packed (shape, name of the element type, bytes). An array of more than 1 GiB is a map with
 * the mark `__msgpack_chunked_array__` and its pieces.
 * https://github.com/google/flax/blob/main/flax/serialization.py
 */
import { ELEMENT_BYTES } from "./element_types.ts";
import { type Head, type HeadReader, headReader } from "./flax_msgpack_heads.ts";
import { quote, type RandomAccess } from "./random_access.ts";
import { elementCount, type FileRange } from "./stored_tensor.ts";

const CHUNKED = "__msgpack_chunked_array__";
const MAX_RANK = 32;
const MAX_DEPTH = 64;

/** Bytes of one key, and of all keys that lead to an array. */
const MAX_PATH_BYTES = 512;

/** Paths are written out for each array, so their number is bounded too. */
const MAX_ARRAYS = 40_000;

/** NumPy's names of element types. */
const TYPES: ReadonlyMap<string, string> = new Map([
  ["float32", "F32"],
  ["float16", "F16"],
  ["bfloat16", "BF16"],
  ["float64", "F64"],
  ["float8_e4m3fn", "F8_E4M3"],
  ["float8_e5m2", "F8_E5M2"],
  ["bool", "BOOL"],
  ["int8", "I8"],
  ["int16", "I16"],
  ["int32", "I32"],
  ["int64", "I64"],
  ["uint8", "U8"],
  ["uint16", "U16"],
  ["uint32", "U32"],
  ["uint64", "U64"],
  ["complex64", "C64"],
]);

/** An array in row-major order. */
export interface FlaxArray {
  /** The keys that lead to it. */
  readonly path: readonly string[];
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Its bytes, one range after the other. */
  readonly ranges: readonly FileRange[];
}

/**
 * All arrays of a file, in its order. Numbers and text between them, such as a step count, are passed over.
 *
 * @throws an input error when the file is damaged, lies, or holds what `flax.serialization` does not write for weights
 */
export function findFlaxArrays(file: RandomAccess): FlaxArray[] {
  const reader = headReader(file);
  const root = reader.next();
  if (root.kind !== "map") throw file.refuse("it does not begin with a map");
  const arrays: FlaxArray[] = [];
  walkMap({ file, reader, arrays }, root.count, []);
  if (reader.position() !== file.size) throw file.refuse(`${file.size - reader.position()} bytes follow its end`);
  return arrays;
}

interface Walk {
  file: RandomAccess;
  reader: HeadReader;
  arrays: FlaxArray[];
}

function walkMap(walk: Walk, count: number, path: readonly string[]): void {
  const { file, arrays } = walk;
  if (path.length > MAX_DEPTH) throw file.refuse(`its maps are more than ${MAX_DEPTH} deep`);
  const keys = new Set<string>();
  for (let i = 0; i < count; i++) {
    const key = readKey(walk, keys);
    if (key === CHUNKED && i === 0) {
      arrays.push({ path, ...readChunks(walk, count, path) });
      return;
    }
    const inner = [...path, key];
    if (inner.join(".").length > MAX_PATH_BYTES) {
      throw file.refuse(`a name is longer than ${MAX_PATH_BYTES} characters: ${quote(inner.join("."))}`);
    }
    walkValue(walk, inner, walk.reader.next());
    if (arrays.length > MAX_ARRAYS) throw file.refuse(`it has more than ${MAX_ARRAYS} arrays`);
  }
}

function readKey({ file, reader }: Walk, keys: Set<string>): string {
  const head = reader.next();
  if (head.kind !== "text" || head.byteLength > MAX_PATH_BYTES) {
    throw file.refuse(`the key before byte ${reader.position()} is no text, or too long`);
  }
  const key = reader.text(head.byteLength);
  if (keys.has(key)) throw file.refuse(`a map has the key ${quote(key)} twice`);
  keys.add(key);
  return key;
}

function walkValue(walk: Walk, path: readonly string[], head: Head): void {
  if (head.kind === "map") walkMap(walk, head.count, path);
  else if (head.kind === "extension") walk.arrays.push({ path, ...readArray(walk, head, path) });
  else pass(walk, head, path);
}

/** Steps over a value that is no array of numbers. */
function pass(walk: Walk, head: Head, path: readonly string[]): void {
  if (head.kind === "text" || head.kind === "bytes") walk.reader.skip(head.byteLength);
  if (head.kind === "array") throw walk.file.refuse(`${labelOf(path)} is a list, which Flax writes as a map`);
}

function labelOf(path: readonly string[]): string {
  return `the value ${quote(path.join("."))}`;
}

function readArray({ file, reader }: Walk, head: Head, path: readonly string[]): Omit<FlaxArray, "path"> {
  const label = labelOf(path);
  if (head.kind !== "extension" || (head.type !== 1 && head.type !== 3)) {
    throw file.refuse(
      head.kind === "extension" && head.type === 2
        ? `${label} is a complex number`
        : `${label} is no array that Flax knows`,
    );
  }
  const end = reader.position() + head.byteLength;
  const damaged = (what: string) => file.refuse(`${label} has a damaged ${what}`);
  const outer = reader.next();
  if (outer.kind !== "array" || outer.count !== 3) throw damaged("head");
  const sizes = reader.next();
  if (sizes.kind !== "array" || sizes.count > MAX_RANK) throw damaged("shape");
  const shape = Array.from({ length: sizes.count }, () => readLength(reader, damaged));
  const type = reader.next();
  if (type.kind !== "text" || type.byteLength > 30) throw damaged("element type");
  const typeName = reader.text(type.byteLength);
  const dtype = TYPES.get(typeName);
  if (dtype === undefined) throw file.refuse(`${label} has the unknown element type ${quote(typeName)}`);
  const bytes = reader.next();
  if (bytes.kind !== "bytes" || reader.position() + bytes.byteLength !== end) throw damaged("length");
  if (elementCount(shape) * ELEMENT_BYTES.get(dtype)! !== bytes.byteLength) {
    throw file.refuse(
      `${label} of shape [${shape}] and type ${dtype} does not take the ${bytes.byteLength} bytes it has`,
    );
  }
  const ranges = [{ byteOffset: reader.position(), byteLength: bytes.byteLength }];
  reader.skip(bytes.byteLength);
  return { dtype, shape, ranges };
}

function readLength(reader: HeadReader, damaged: (what: string) => Error): number {
  const head = reader.next();
  if (head.kind !== "integer" || !Number.isSafeInteger(head.value) || head.value < 0) throw damaged("shape");
  return head.value;
}

/** The rest of a map with the mark: true, then "shape" and "chunks", which number their values from "0" up. */
function readChunks(walk: Walk, count: number, path: readonly string[]): Omit<FlaxArray, "path"> {
  const { file, reader } = walk;
  const label = labelOf(path);
  const damaged = (what: string) => file.refuse(`${label} is in pieces, with a damaged ${what}`);
  const mark = reader.next();
  if (count !== 3 || mark.kind !== "boolean" || !mark.value) throw damaged("mark");
  const parts = new Set<string>();
  let shape: number[] = [];
  let chunks: Omit<FlaxArray, "path">[] = [];
  for (let i = 0; i < 2; i++) {
    const key = readKey(walk, parts);
    if (key !== "shape" && key !== "chunks") throw damaged("map");
    const head = reader.next();
    if (head.kind !== "map" || (key === "shape" && head.count > MAX_RANK)) throw damaged(key);
    if (key === "shape") {
      shape = readNumbered(walk, head.count, () => readLength(reader, damaged), () => damaged(key));
    } else {
      chunks = readNumbered(walk, head.count, () => readArray(walk, reader.next(), path), () => damaged(key));
    }
  }
  const [first] = chunks;
  if (!first) throw damaged("chunks");
  if (chunks.some((chunk) => chunk.dtype !== first.dtype || chunk.shape.length !== 1)) throw damaged("piece");
  const total = chunks.reduce((sum, chunk) => sum + chunk.shape[0]!, 0);
  if (total !== elementCount(shape)) throw file.refuse(`${label} of shape [${shape}] has pieces of ${total} elements`);
  return { dtype: first.dtype, shape, ranges: chunks.flatMap((chunk) => chunk.ranges) };
}

/** The values under "0", "1", … of a map, which has no other keys. */
function readNumbered<T>(walk: Walk, count: number, read: () => T, damaged: () => Error): T[] {
  const keys = new Set<string>();
  const values = new Map<string, T>();
  for (let i = 0; i < count; i++) values.set(readKey(walk, keys), read());
  return Array.from({ length: count }, (_, i) => {
    if (!values.has(`${i}`)) throw damaged();
    return values.get(`${i}`)!;
  });
}
