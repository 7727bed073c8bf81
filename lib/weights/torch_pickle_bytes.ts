/** The operands of pickle instructions, taken one after the other from bytes that may end or lie at any point. */

import { quote } from "./random_access.ts";

/** Longest integer that is believed, in bytes; sizes and counters need 8, seeds 16. */
const MAX_INTEGER_BYTES = 16;

/** What is wrong with a pickle; not yet said of which file. */
export class PickleError extends Error {
  override name = "PickleError";
}

/** A position in a pickle. Every reading throws a PickleError when the pickle ends before it. */
export interface PickleBytes {
  position(): number;
  left(): number;
  byte(): number;
  uint16(): number;
  int32(): number;
  uint32(): number;
  /** Inexact past 2^53, which is past the end of any file. */
  uint64(): number;
  /** Big-endian, unlike all else. */
  float64(): number;
  /** An integer in two's complement; a bigint when it is past 2^53. */
  long(length: number): number | bigint;
  /** UTF-8. */
  text(length: number): string;
  /** UTF-8 up to the end of the line, which is left out. */
  line(): string;
  /** A line in Python's "raw-unicode-escape": Latin-1 with `\uXXXX` and `\UXXXXXXXX`. */
  escapedLine(): string;
  /** A line with an integer; INT has 00 and 01 for false and true, LONG an L at the end. */
  decimal(instruction: "INT" | "LONG"): number | bigint | boolean;
  floatLine(): number;
  /** A line with a number of the memo. */
  index(): number;
}

/** Begins to read a pickle. */
export function pickleBytes(bytes: Uint8Array): PickleBytes {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const left = () => bytes.length - at;
  const skip = (count: number): number => {
    if (count < 0 || count > left()) throw new PickleError(`it ends inside the operand at byte ${at}`);
    at += count;
    return at - count;
  };
  const take = (count: number): Uint8Array => {
    const from = skip(count);
    return bytes.subarray(from, from + count);
  };
  const takeLine = (): Uint8Array => {
    const end = bytes.indexOf(0x0a, at);
    if (end === -1) throw new PickleError(`it ends inside the line at byte ${at}`);
    const line = take(end - at);
    at++;
    return line;
  };
  const line = () => decodeUtf8(takeLine());
  return {
    position: () => at,
    left,
    byte: () => view.getUint8(skip(1)),
    uint16: () => view.getUint16(skip(2), true),
    int32: () => view.getInt32(skip(4), true),
    uint32: () => view.getUint32(skip(4), true),
    uint64: () => Number(view.getBigUint64(skip(8), true)),
    float64: () => view.getFloat64(skip(8), false),
    long: (length) => {
      if (length < 0 || length > MAX_INTEGER_BYTES) throw new PickleError(`it has an integer of ${length} bytes`);
      const words = new BigUint64Array(2);
      new Uint8Array(words.buffer).set(take(length));
      return narrow(BigInt.asIntN(8 * length, words[1]! << 64n | words[0]!));
    },
    text: (length) => decodeUtf8(take(length)),
    line,
    escapedLine: () => unescape(takeLine()),
    decimal: (instruction) => {
      const text = line();
      if (instruction === "INT" && (text === "00" || text === "01")) return text === "01";
      if (!/^-?\d{1,38}L?$/.test(text)) throw new PickleError(`it has an integer ${quote(text)}`);
      return narrow(BigInt(text.replace("L", "")));
    },
    floatLine: () => {
      const text = line();
      if (!/^-?(\d{1,400}(\.\d{0,400})?(e[+-]?\d{1,4})?|inf|nan)$/.test(text)) {
        throw new PickleError(`it has a float ${quote(text)}`);
      }
      return Number(text.replace("inf", "Infinity"));
    },
    index: () => {
      const text = line();
      if (!/^\d{1,15}$/.test(text)) throw new PickleError(`it has a memo number ${quote(text)}`);
      return Number(text);
    },
  };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new PickleError("it has text that is not UTF-8", { cause });
  }
}

function narrow(value: bigint): number | bigint {
  return BigInt.asIntN(53, value) === value ? Number(value) : value;
}

function unescape(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 1 << 12) text += String.fromCharCode(...bytes.subarray(i, i + (1 << 12)));
  return text.replaceAll(/\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g, (_, short?: string, long?: string) => {
    const point = parseInt(short ?? long!, 16);
    if (point > 0x10ffff) throw new PickleError("it has text outside Unicode");
    return String.fromCodePoint(point);
  });
}
