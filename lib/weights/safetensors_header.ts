/**
 * The header of a safetensors file, read as what it is: bytes from a stranger.
 *
 * A file is 8 bytes of header length (u64, little-endian), the header (JSON, padded with spaces), then the tensors'
 * bytes without gaps: https://github.com/huggingface/safetensors#format
 */
import { z } from "zod";
import type { WinnowError } from "../support/errors.ts";
import { ELEMENT_BYTES } from "./element_types.ts";
import { quote, refuseFile } from "./random_access.ts";
import { elementCount } from "./stored_tensor.ts";
import { isTextMap, parseUntrustedJson } from "./untrusted_json.ts";

/** The header length that the official library allows. */
export const MAX_HEADER_BYTES = 100_000_000;

const MAX_RANK = 32;

/** Bits per element of the types that do not fill bytes. */
const BITS: ReadonlyMap<string, number> = new Map([["F4", 4], ["F6_E2M3", 6], ["F6_E3M2", 6]]);

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

function refuse(path: string, reason: string, cause?: unknown): WinnowError {
  return refuseFile(path, "safetensors", reason, cause);
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

function parseJson(header: Uint8Array, path: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = parseUntrustedJson(header);
  } catch (cause) {
    if (cause instanceof RangeError) throw refuse(path, `its header is too large: ${cause.message}`, cause);
    throw refuse(path, `its header is not JSON: ${quote((cause as Error).message)}`, cause);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw refuse(path, "its header is not an object");
  }
  return json as Record<string, unknown>;
}

function labelOf(name: string): string {
  return `tensor ${quote(name)}`;
}

function parseTensor(name: string, value: unknown, dataStart: number, dataBytes: number, path: string): TensorInfo {
  const label = labelOf(name);
  const parsed = tensorSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw refuse(path, `${label}: ${issue.path.join(".") || "entry"}: ${issue.message}`);
  }
  const { dtype, shape, data_offsets: [begin, end] } = parsed.data;
  const bits = BITS.get(dtype) ?? 8 * (ELEMENT_BYTES.get(dtype) ?? NaN);
  if (Number.isNaN(bits)) throw refuse(path, `${label} has the unknown type ${quote(dtype)}`);
  if (begin > end || end > dataBytes) {
    throw refuse(path, `${label} lies at bytes ${begin} to ${end} of ${dataBytes}`);
  }
  // A product past 2^53 is inexact, but then far from any file's size.
  if (elementCount(shape) * bits !== (end - begin) * 8) {
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
