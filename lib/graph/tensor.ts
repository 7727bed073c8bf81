/** Tensors of the static graph: a shape and a place, no data. */
import type { ArenaSlot } from "../gpu/arena.ts";

/** Which allocation a tensor lives in; the arenas are divided by lifetime. */
export type ArenaName = "parameter" | "gradient" | "moment" | "average" | "metrics" | "input" | "activation";

/** How activations may be stored. */
export const PRECISIONS = {
  f32: "32 bits for everything",
  f16: "16 bits for most of what is kept for the backward pass; arithmetic in 32 bits, with loss scaling",
} as const;

/** How elements are stored; arithmetic is in 32 bits either way. Only activations are ever `f16`. */
export type ElementType = keyof typeof PRECISIONS;

/** A row-major tensor of 32-bit elements (floats or unsigned), or of floats stored in 16. */
export interface Tensor {
  readonly id: number;
  readonly name: string;
  readonly shape: readonly number[];
  readonly element: ElementType;
  readonly arena: ArenaName;
  /** Bytes reserved: rows of activations are padded to `ROW_PADDING`, so that kernels may work in whole row tiles. */
  readonly bytes: number;
  /** The tensor's place; activations get theirs from the memory plan. */
  readonly slot: ArenaSlot | undefined;
  /** Whether a derivative with respect to this tensor is wanted; of an op's output, `defineOp` decides it. */
  requiresGradient: boolean;
}

/** A byte range of a tensor, bound where the whole would exceed the adapter's binding limit. */
export interface TensorWindow {
  readonly tensor: Tensor;
  readonly offset: number;
  readonly size: number;
}

/** Product of all dimensions. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

/** Product of all dimensions but the last: the rows that row-wise kernels see. */
export function rowCount(shape: readonly number[]): number {
  return elementCount(shape.slice(0, -1));
}

/** The last dimension. */
export function width(tensor: { readonly shape: readonly number[] }): number {
  return tensor.shape.at(-1) ?? 1;
}

/** Windows of whole rows of a table, each within the binding limit and starting at an aligned offset. */
export function rowWindows(
  table: Tensor,
  maxBindingBytes: number,
  alignment: number,
): { window: TensorWindow; firstRow: number; rows: number }[] {
  const rowBytes = width(table) * 4;
  const rows = rowCount(table.shape);
  let perWindow = Math.min(rows, Math.floor(maxBindingBytes / rowBytes));
  if (perWindow < rows) {
    while (perWindow > 0 && (perWindow * rowBytes) % alignment !== 0) perWindow--;
  }
  if (perWindow === 0) {
    throw new RangeError(`${table.name}: a row of ${rowBytes} bytes cannot be windowed to ${maxBindingBytes} bytes`);
  }
  const windows = [];
  for (let firstRow = 0; firstRow < rows; firstRow += perWindow) {
    const count = Math.min(perWindow, rows - firstRow);
    windows.push({
      window: { tensor: table, offset: firstRow * rowBytes, size: count * rowBytes },
      firstRow,
      rows: count,
    });
  }
  return windows;
}
