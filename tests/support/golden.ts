/** Golden files: what PyTorch computed, written by the scripts in `tests/peers/`. */
import assert from "node:assert/strict";

/** A tensor of a golden file. */
export interface GoldenTensor {
  readonly shape: readonly number[];
  /** Values; int32 tensors are converted. */
  readonly data: Float32Array<ArrayBuffer>;
}

/** Reads all tensors of a small safetensors file; float32 and int32 only. */
export function readGolden(name: string): Map<string, GoldenTensor> {
  const bytes = Deno.readFileSync(new URL(`../golden/${name}.safetensors`, import.meta.url));
  return parseTensors(bytes);
}

/** Parses safetensors bytes written by a peer. */
export function parseTensors(bytes: Uint8Array<ArrayBuffer>): Map<string, GoldenTensor> {
  const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes))) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, GoldenTensor>();
  for (const [key, value] of Object.entries(header)) {
    if (key === "__metadata__") continue;
    const [start, end] = value.data_offsets;
    const raw = bytes.slice(8 + headerBytes + start, 8 + headerBytes + end).buffer;
    if (value.dtype !== "F32" && value.dtype !== "I32") throw new TypeError(`${key}: unexpected dtype ${value.dtype}`);
    const data = value.dtype === "F32" ? new Float32Array(raw) : Float32Array.from(new Int32Array(raw));
    tensors.set(key, { shape: value.shape, data });
  }
  return tensors;
}

/** Reads the description beside a golden file. */
// deno-lint-ignore no-explicit-any -- the file's shape is defined by the Python script that wrote it
export function readGoldenJson(name: string): any {
  return JSON.parse(Deno.readTextFileSync(new URL(`../golden/${name}.json`, import.meta.url)));
}

/** Largest |a - b|; NaN anywhere gives Infinity. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new RangeError(`Expected ${b.length} values but found ${a.length}`);
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference;
  }
  return largest;
}

/** Euclidean norm. */
export function norm(a: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! ** 2;
  return Math.sqrt(sum);
}

/** ‖a - b‖ / ‖b‖. */
export function relativeDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return norm(Float64Array.from(b as number[], (value, i) => a[i]! - value)) / norm(b);
}

/** a·b / (‖a‖ ‖b‖). */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let dot = 0;
  for (let i = 0; i < a.length; i++) dot += a[i]! * b[i]!;
  return dot / (norm(a) * norm(b));
}

/** Checks arrays by name: the same ones, finite, and equal in every bit. */
export function assertSameBits(actual: Map<string, Float32Array>, expected: Map<string, Float32Array>) {
  assert.deepEqual([...actual.keys()], [...expected.keys()]);
  for (const [name, values] of expected) {
    assert.equal(largestDifference(actual.get(name)!, values), 0, `${name} differs`);
    assert.ok(values.every(Number.isFinite), `${name} is not finite`);
  }
}
