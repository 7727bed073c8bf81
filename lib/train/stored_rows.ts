/**
 * Optimizer state without its empty rows. The moments of an embedding row that no text has used yet are zero, and for a
 * vocabulary of 30,000 words most rows are: only the others are stored.
 *
 * A tensor `name` of shape [N, …] becomes `name.rows`, the indices of the stored rows in ascending order (I32 [R]), and
 * `name.values`, these rows (F32 [R, …]). Where that would save nothing it is stored under its own name, as it is.
 */
import type { TensorToWrite } from "../weights/safetensors.ts";

/** Name endings of a tensor's two parts. */
export const ROWS = ".rows";
export const VALUES = ".values";

/** Whether a float is +0 and nothing else: −0 has a bit that must come back. */
const isZeroBits = (bits: Uint32Array, from: number, to: number): boolean => {
  for (let i = from; i < to; i++) if (bits[i] !== 0) return false;
  return true;
};

/** A tensor as it is stored: whole, or as the rows that are not zero. */
export function withoutEmptyRows(
  name: string,
  shape: readonly number[],
  data: Float32Array<ArrayBuffer>,
): TensorToWrite[] {
  const [count = 0, ...rest] = shape;
  const width = shape.length < 2 ? 0 : rest.reduce((product, length) => product * length, 1);
  const whole = [{ name, shape, data }];
  if (width === 0 || count > 2 ** 31 - 1) return whole;
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  const rows: number[] = [];
  for (let row = 0; row < count; row++) {
    if (!isZeroBits(bits, row * width, (row + 1) * width)) rows.push(row);
  }
  if (rows.length * (width + 1) >= count * width) return whole;
  const values = new Float32Array(rows.length * width);
  rows.forEach((row, i) => values.set(data.subarray(row * width, (row + 1) * width), i * width));
  return [
    { name: name + ROWS, shape: [rows.length], dtype: "I32", data: Int32Array.from(rows) },
    { name: name + VALUES, shape: [rows.length, ...rest], data: values },
  ];
}

/**
 * The whole tensor again.
 *
 * @throws {RangeError} when the rows are not those of a tensor of this shape
 */
export function withEmptyRows(
  shape: readonly number[],
  rows: Int32Array,
  values: Float32Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> {
  const width = shape.slice(1).reduce((product, length) => product * length, 1);
  if (values.length !== rows.length * width) {
    throw new RangeError(`${rows.length} rows of ${width} were named, ${values.length} values are there`);
  }
  const whole = new Float32Array(shape[0]! * width);
  let before = -1;
  rows.forEach((row, i) => {
    if (row <= before || row >= shape[0]!) throw new RangeError(`row ${row} stands behind ${before} of ${shape[0]}`);
    whole.set(values.subarray(i * width, (i + 1) * width), row * width);
    before = row;
  });
  return whole;
}
