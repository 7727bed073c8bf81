/** Tensors as they lie in a file, in one piece or several, in any order of dimensions; read a window at a time. */
import { inputError } from "../support/errors.ts";
import { ELEMENT_BYTES, FLOAT_CONVERSIONS } from "./element_types.ts";
import { quote, type RandomAccess } from "./random_access.ts";
import type { WeightInfo, WeightsFile } from "./weights_file.ts";

/** Elements read at a time. */
const WINDOW_ELEMENTS = 1 << 18;

/** A float32 array of 4 GiB; the word embeddings of the largest encoders take a quarter. */
const MAX_READ_ELEMENTS = 2 ** 30;

/** A part of a file, in bytes. */
export interface FileRange {
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** Where a tensor's elements are. All that it says has been checked against the file. */
export interface StoredTensor extends WeightInfo {
  /** The file's ranges which, one after the other, are the storage that the tensor is a view of. */
  readonly ranges: readonly FileRange[];
  /** Elements of the storage before the tensor's first one. */
  readonly start: number;
  /** Storage elements from one index to the next, for each dimension. Only strides of 0 bring an element up twice. */
  readonly strides: readonly number[];
}

/** Number of elements; inexact past 2^53. */
export function elementCount(shape: readonly number[]): number {
  // The product of the other lengths may be infinite.
  return shape.includes(0) ? 0 : shape.reduce((product, length) => product * length, 1);
}

/** Strides of a tensor whose last index runs fastest. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  return shape.map((_, dimension) => elementCount(shape.slice(dimension + 1)));
}

/** The weights of one file, once its tensors have been found. */
export function storedWeights(file: RandomAccess, tensors: ReadonlyMap<string, StoredTensor>): WeightsFile {
  return {
    tensors,
    readFloat32: (name) => readStored(file, name, tensors.get(name)),
    close: file.close,
    [Symbol.dispose]: file.close,
  };
}

/**
 * Reads a tensor as float32, row-major.
 *
 * @throws an input error when there is no such tensor, it is of another kind of type or too large, or the file ends
 */
export function readStored(
  file: RandomAccess,
  name: string,
  tensor: StoredTensor | undefined,
): Float32Array<ArrayBuffer> {
  if (!tensor) {
    throw inputError(`${file.path} has no tensor ${quote(name)}`, "Check that the file belongs to this model");
  }
  const convert = FLOAT_CONVERSIONS.get(tensor.dtype);
  if (!convert) {
    throw inputError(
      `Tensor ${quote(name)} of ${file.path} holds ${tensor.dtype}; read as float32 are F32, F16, BF16 and F64`,
      "Choose weights in one of these types",
    );
  }
  const { shape, strides, start } = tensor;
  const count = elementCount(shape);
  if (count > MAX_READ_ELEMENTS) {
    throw inputError(
      `Tensor ${quote(name)} of ${file.path} has ${count} elements, more than the ${MAX_READ_ELEMENTS} readable`,
      "Choose a smaller model",
    );
  }
  const values = new Float32Array(count);
  const read = (first: number, length: number) => convert(readRange(file, tensor, first, length, name));
  if (isRowMajor(shape, strides)) {
    for (let done = 0; done < count; done += WINDOW_ELEMENTS) {
      values.set(read(start + done, Math.min(WINDOW_ELEMENTS, count - done)), done);
    }
  } else if (count > 0) {
    gather(values, tensor, read);
  }
  return values;
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  return rowMajorStrides(shape).every((stride, i) => shape[i]! <= 1 || stride === strides[i]);
}

/** The bytes of storage elements `first` to `first + count`. */
function readRange(
  file: RandomAccess,
  tensor: StoredTensor,
  first: number,
  count: number,
  name: string,
): ArrayBuffer {
  const width = ELEMENT_BYTES.get(tensor.dtype)!;
  const bytes = new Uint8Array(count * width);
  let skip = first * width;
  let done = 0;
  for (const { byteOffset, byteLength } of tensor.ranges) {
    const part = Math.min(byteLength - skip, bytes.length - done);
    if (part > 0) {
      file.read(byteOffset + skip, bytes.subarray(done, done + part), `tensor ${quote(name)}`);
      done += part;
    }
    skip = Math.max(0, skip - byteLength);
  }
  return bytes.buffer;
}

/**
 * Fills `values` from a view that is not row-major. Dimensions are walked from the longest stride to the shortest, so
 * that the storage is read once from front to back, however the tensor is turned.
 */
function gather(
  values: Float32Array,
  { shape, strides, start }: StoredTensor,
  read: (first: number, count: number) => ArrayLike<number>,
): void {
  const targets = rowMajorStrides(shape);
  const dimensions = shape.map((length, i) => ({ length, from: strides[i]!, to: targets[i]! }))
    .filter(({ length }) => length > 1).sort((a, b) => b.from - a.from);
  const end = dimensions.reduce((sum, { length, from }) => sum + (length - 1) * from, start) + 1;
  let window: ArrayLike<number> = [];
  let windowStart = start;
  let windowEnd = start;
  const walk = (depth: number, from: number, to: number) => {
    const dimension = dimensions[depth]!;
    const innermost = depth === dimensions.length - 1;
    for (let i = 0; i < dimension.length; i++, from += dimension.from, to += dimension.to) {
      if (!innermost) {
        walk(depth + 1, from, to);
        continue;
      }
      if (from >= windowEnd) {
        windowStart = from;
        windowEnd = Math.min(end, from + WINDOW_ELEMENTS);
        window = read(windowStart, windowEnd - windowStart);
      }
      values[to] = window[from - windowStart]!;
    }
  };
  walk(0, start, 0);
}
