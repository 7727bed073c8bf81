/** Builds msgpack files of Flax by hand, honest ones and those that lie. */
import { concat } from "./torch_archives.ts";

const utf8 = new TextEncoder();

/** Big-endian bytes of a whole number. */
function big(value: number, width: number): number[] {
  return Array.from({ length: width }, (_, i) => Number(BigInt(value) >> BigInt(8 * (width - 1 - i)) & 255n));
}

/** Values of MessagePack, each as its bytes, in the widest form. */
export const msgpack = {
  integer: (value: number) => Uint8Array.from([0xd3, ...big(value, 8)]),
  true: Uint8Array.of(0xc3),
  text: (text: string) => concat([Uint8Array.from([0xdb, ...big(utf8.encode(text).length, 4)]), utf8.encode(text)]),
  bytes: (bytes: Uint8Array, claim = bytes.length) => concat([Uint8Array.from([0xc6, ...big(claim, 4)]), bytes]),
  array: (items: readonly Uint8Array[], claim = items.length) =>
    concat([Uint8Array.from([0xdd, ...big(claim, 4)]), ...items]),
  extension: (type: number, bytes: Uint8Array, claim = bytes.length) =>
    concat([Uint8Array.from([0xc9, ...big(claim, 4), type]), bytes]),
  map: (entries: readonly (readonly [key: string, value: Uint8Array])[], claim = entries.length) =>
    concat([
      Uint8Array.from([0xdf, ...big(claim, 4)]),
      ...entries.flatMap(([key, value]) => [msgpack.text(key), value]),
    ]),
};

/** What stands before an array's bytes, for an array of `byteLength` bytes. */
export function arrayHead(shape: readonly number[], type: string, byteLength: number): Uint8Array {
  const inner = concat([
    Uint8Array.of(0x93),
    msgpack.array(shape.map(msgpack.integer)),
    msgpack.text(type),
    msgpack.bytes(new Uint8Array(0), byteLength),
  ]);
  return msgpack.extension(1, inner, inner.length + byteLength);
}

/** An array as `flax.serialization` writes it; values are float32 unless a type says otherwise. */
export function arrayOf(shape: readonly number[], values: ArrayBufferView, type = "float32"): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return concat([arrayHead(shape, type, bytes.length), bytes]);
}

/** An array in pieces. */
export function chunkedOf(shape: readonly number[], pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return msgpack.map([
    ["__msgpack_chunked_array__", msgpack.true],
    ["shape", msgpack.map(shape.map((length, i) => [`${i}`, msgpack.integer(length)] as const))],
    ["chunks", msgpack.map(pieces.map((piece, i) => [`${i}`, piece] as const))],
  ]);
}
