/**
 * The header of a safetensors file, read as what it is: bytes from a stranger.
 *
 * A file is 8 bytes of header length (u64, little-endian), the header (JSON, padded with spaces), then the tensors'
 * bytes without gaps: https://github.com/huggingface/safetensors#format
 */
import { z } from "zod";
import { inputError, type WinnowError } from "../support/errors.ts";

/** The header length that the official library allows. */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * Commas and opening brackets in a header. A tensor takes 7 or so; the bound keeps a header of 100 MB from becoming
 * gigabytes of objects.
 */
const MAX_HEADER_ITEMS = 2_000_000;

const MAX_RANK = 32;

/** Bits per element of each type that the format knows. */
const BITS: Readonly<Record<string, number>> = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  F64: 64,
  I64: 64,
  U64: 64,
  C64: 64,
};

/** Where a tensor lies and what it is. */
export interface TensorInfo {
  /** The format's name of the element type: "F32", "BF16", "I64", … */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** A header that has been checked in full. */
export interface SafetensorsHeader {
  metadata: Readonly<Record<string, string>>;
  /** In the order of the header. */
  tensors: Map<string, TensorInfo>;
}

const size = z.int().min(0);
const tensorSchema = z.object({
  dtype: z.string(),
  shape: z.array(size).max(MAX_RANK),
  data_offsets: z.tuple([size, size]),
});

/** The refusal of a file, naming it. */
export function refuse(path: string, reason: string, cause?: unknown): WinnowError {
  return inputError(`${path} is not a sound safetensors file: ${reason}`, "Fetch or write the file again", { cause });
}

/**
 * The header length in the first 8 bytes.
 *
 * @throws an input error when it cannot be true
 */
export function readHeaderLength(first: Uint8Array, fileBytes: number, path: string): number {
  if (first.length < 8) throw refuse(path, `it ends after ${first.length} bytes, inside the header length`);
  const length = new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw refuse(path, `its header claims ${length} bytes, more than the ${MAX_HEADER_BYTES} allowed`);
  }
  if (length > BigInt(fileBytes - 8)) {
    throw refuse(path, `its header claims ${length} bytes, but only ${fileBytes - 8} follow`);
  }
  return Number(length);
}

/**
 * Parses a header and proves that the tensors tile the rest of the file.
 *
 * @param header the header's bytes
 * @param fileBytes size of the whole file
 * @throws an input error that names the file and what is wrong
 */
export function parseHeader(header: Uint8Array, fileBytes: number, path: string): SafetensorsHeader {
  const json = parseJson(header, path);
  const dataStart = 8 + header.length;
  const dataBytes = fileBytes - dataStart;
  const tensors = new Map<string, TensorInfo>();
  let metadata: Readonly<Record<string, string>> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") {
      if (!isTextMap(value)) throw refuse(path, "__metadata__ is not a map of text to text");
      metadata = value;
      continue;
    }
    tensors.set(name, parseTensor(name, value, dataStart, dataBytes, path));
  }
  checkTiling(tensors, dataStart, dataBytes, path);
  return { metadata, tensors };
}

/**
 * Whether a JSON value maps text to text. Stands in for `z.record`, which leaves out a key named `__proto__`.
 */
export function isTextMap(value: unknown): value is Record<string, string> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === "string");
}

function parseJson(header: Uint8Array, path: string): Record<string, unknown> {
  let items = 0;
  for (const byte of header) {
    if (byte === 0x2c || byte === 0x5b || byte === 0x7b) items++; // , [ {
  }
  if (items > MAX_HEADER_ITEMS) throw refuse(path, `its header has more than ${MAX_HEADER_ITEMS} items`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(header));
  } catch (cause) {
    throw refuse(path, `its header is not JSON (${(cause as Error).message.slice(0, 100)})`, cause);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw refuse(path, "its header is not an object");
  }
  return json as Record<string, unknown>;
}

/** A name from the file, fit for a terminal. */
function labelOf(name: string): string {
  return `tensor ${JSON.stringify(name.slice(0, 200))}`;
}

function parseTensor(name: string, value: unknown, dataStart: number, dataBytes: number, path: string): TensorInfo {
  const label = labelOf(name);
  const parsed = tensorSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw refuse(path, `${label}: ${issue.path.join(".") || "entry"}: ${issue.message}`);
  }
  const { dtype, shape, data_offsets: [begin, end] } = parsed.data;
  const bits = Object.hasOwn(BITS, dtype) ? BITS[dtype]! : undefined;
  if (bits === undefined) throw refuse(path, `${label} has the unknown type ${JSON.stringify(dtype.slice(0, 50))}`);
  if (begin > end || end > dataBytes) {
    throw refuse(path, `${label} lies at bytes ${begin} to ${end} of ${dataBytes}`);
  }
  const elements = shape.reduce((product, length) => product * length, 1);
  // A product past 2^53 is inexact, but then far from any file's size.
  if (elements * bits !== (end - begin) * 8) {
    throw refuse(path, `${label} of shape [${shape}] and type ${dtype} does not take the ${end - begin} bytes it has`);
  }
  return { dtype, shape, byteOffset: dataStart + begin, byteLength: end - begin };
}

function checkTiling(tensors: Map<string, TensorInfo>, dataStart: number, dataBytes: number, path: string): void {
  const ordered = [...tensors].sort(([, a], [, b]) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);
  let end = dataStart;
  for (const [name, { byteOffset, byteLength }] of ordered) {
    if (byteOffset !== end) {
      const fault = byteOffset < end ? "overlaps the tensor before it" : "leaves a hole before it";
      throw refuse(path, `${labelOf(name)} ${fault}`);
    }
    end = byteOffset + byteLength;
  }
  const left = dataStart + dataBytes - end;
  if (left > 0) throw refuse(path, `${left} bytes after the last tensor belong to none`);
}
