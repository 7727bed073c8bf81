/**
 * Reads the structure of a MessagePack file without its contents: https://github.com/msgpack/msgpack/blob/master/spec.md
 *
 * `@msgpack/msgpack` decodes a buffer that holds the whole file and makes every array of it, several gigabytes for a
 * large model. Here a small window of the file is in memory, and the bytes of arrays are stepped over.
 */
import type { RandomAccess } from "./random_access.ts";

/** Enough for the heads around an array; what comes next is read when it is asked for. */
const WINDOW_BYTES = 4096;

/** Bound on heads, so that a file of small values ends in a refusal; a tensor takes about 9. */
const MAX_HEADS = 400_000;

/** What a value is, as far as its first bytes say. */
export type Head =
  | { readonly kind: "map" | "array"; readonly count: number }
  | { readonly kind: "text" | "bytes"; readonly byteLength: number }
  | { readonly kind: "extension"; readonly type: number; readonly byteLength: number }
  /** An integer past 2^53 is inexact. */
  | { readonly kind: "integer"; readonly value: number }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "nil" | "float" };

/** A position in a MessagePack file. */
export interface HeadReader {
  position(): number;
  /** The head of the next value, which is passed; what belongs to it comes next. */
  next(): Head;
  /** Steps over bytes, which must be in the file. */
  skip(byteLength: number): void;
  /** UTF-8 of this many bytes. */
  text(byteLength: number): string;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Begins to read at the start of a file. */
export function headReader(file: RandomAccess): HeadReader {
  let at = 0;
  let heads = 0;
  let window = new DataView(new ArrayBuffer(0));
  let windowStart = 0;
  /** Makes sure that the next `count` bytes are in the window, passes them, and says where in it they are. */
  const take = (count: number): number => {
    if (count > file.size - at) throw file.refuse(`it ends inside the value at byte ${at}`);
    if (at < windowStart || at + count > windowStart + window.byteLength) {
      const bytes = new Uint8Array(Math.min(Math.max(count, WINDOW_BYTES), file.size - at));
      file.read(at, bytes, `the value at byte ${at}`);
      window = new DataView(bytes.buffer);
      windowStart = at;
    }
    at += count;
    return at - count - windowStart;
  };
  const uint = (width: number): number => {
    const from = take(width);
    if (width === 8) return Number(window.getBigUint64(from));
    return width === 4 ? window.getUint32(from) : width === 2 ? window.getUint16(from) : window.getUint8(from);
  };
  const int = (width: number): number => {
    const from = take(width);
    if (width === 8) return Number(window.getBigInt64(from));
    return width === 4 ? window.getInt32(from) : width === 2 ? window.getInt16(from) : window.getInt8(from);
  };
  const skip = (byteLength: number) => {
    if (byteLength > file.size - at) throw file.refuse(`it ends inside the value at byte ${at}`);
    at += byteLength;
  };
  const extension = (byteLength: number): Head => ({ kind: "extension", byteLength, type: int(1) });
  const float = (byteLength: number): Head => {
    skip(byteLength);
    return { kind: "float" };
  };
  const decode = (code: number): Head | undefined => {
    if (code <= 0x7f) return { kind: "integer", value: code };
    if (code <= 0x8f) return { kind: "map", count: code & 15 };
    if (code <= 0x9f) return { kind: "array", count: code & 15 };
    if (code <= 0xbf) return { kind: "text", byteLength: code & 31 };
    if (code >= 0xe0) return { kind: "integer", value: code - 0x100 };
    if (code === 0xc0) return { kind: "nil" };
    if (code === 0xc2 || code === 0xc3) return { kind: "boolean", value: code === 0xc3 };
    if (code >= 0xc4 && code <= 0xc6) return { kind: "bytes", byteLength: uint(1 << (code - 0xc4)) };
    if (code >= 0xc7 && code <= 0xc9) return extension(uint(1 << (code - 0xc7)));
    if (code === 0xca || code === 0xcb) return float(code === 0xca ? 4 : 8);
    if (code >= 0xcc && code <= 0xcf) return { kind: "integer", value: uint(1 << (code - 0xcc)) };
    if (code >= 0xd0 && code <= 0xd3) return { kind: "integer", value: int(1 << (code - 0xd0)) };
    if (code >= 0xd4 && code <= 0xd8) return extension(1 << (code - 0xd4));
    if (code >= 0xd9 && code <= 0xdb) return { kind: "text", byteLength: uint(1 << (code - 0xd9)) };
    if (code === 0xdc || code === 0xdd) return { kind: "array", count: uint(code === 0xdc ? 2 : 4) };
    if (code === 0xde || code === 0xdf) return { kind: "map", count: uint(code === 0xde ? 2 : 4) };
    return undefined; // 0xc1
  };
  return {
    position: () => at,
    next: () => {
      if (++heads > MAX_HEADS) throw file.refuse(`it has more than ${MAX_HEADS} values`);
      const head = decode(uint(1));
      if (!head) throw file.refuse(`the value at byte ${at - 1} is of no known kind`);
      return head;
    },
    skip,
    text: (byteLength) => {
      const from = take(byteLength);
      try {
        return utf8.decode(new Uint8Array(window.buffer, from, byteLength));
      } catch (cause) {
        throw file.refuse(`the text at byte ${at - byteLength} is not UTF-8`, cause);
      }
    },
  };
}
