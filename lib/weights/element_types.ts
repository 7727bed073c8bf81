/** The types of tensors' elements, by the names that safetensors gives them, and how they become float32. */

/** Bytes per element. */
export const ELEMENT_BYTES: ReadonlyMap<string, number> = new Map([
  ["BOOL", 1],
  ["U8", 1],
  ["I8", 1],
  ["F8_E5M2", 1],
  ["F8_E4M3", 1],
  ["F8_E8M0", 1],
  ["F8_E4M3FNUZ", 1],
  ["F8_E5M2FNUZ", 1],
  ["I16", 2],
  ["U16", 2],
  ["F16", 2],
  ["BF16", 2],
  ["I32", 4],
  ["U32", 4],
  ["F32", 4],
  ["F64", 8],
  ["I64", 8],
  ["U64", 8],
  ["C64", 8],
]);

/** Little-endian elements as numbers that a Float32Array takes, for the types that are read as float32. */
export const FLOAT_CONVERSIONS: ReadonlyMap<string, (bytes: ArrayBuffer) => ArrayLike<number>> = new Map<
  string,
  (bytes: ArrayBuffer) => ArrayLike<number>
>([
  ["F32", (bytes) => new Float32Array(bytes)],
  ["F16", (bytes) => new Float16Array(bytes)],
  ["BF16", fromBfloat16],
  ["F64", (bytes) => new Float64Array(bytes)],
]);

/** A bfloat16 is the upper half of a float32. */
function fromBfloat16(bytes: ArrayBuffer): Float32Array {
  return new Float32Array(Uint32Array.from(new Uint16Array(bytes), (half) => half << 16).buffer);
}
