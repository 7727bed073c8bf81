/**
 * An arena: one logical allocation for all tensors of one lifetime (parameters, gradients, optimizer state,
 * activations), made once. It spans several buffers when it is larger than the adapter's largest buffer; a tensor
 * never straddles two.
 */
import type { Gpu } from "./device.ts";

/** A byte range of one GPU buffer. */
export interface BufferSlice {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/** A place in an arena whose buffers need not exist yet: what a plan is made of. */
export interface ArenaSlot {
  readonly chunk: number;
  readonly offset: number;
  readonly size: number;
}

/** The sizes of an arena's buffers, known before anything is allocated. */
export interface ArenaLayout {
  readonly label: string;
  readonly chunkBytes: readonly number[];
  readonly totalBytes: number;
}

/** Alignment of every tensor: the portable storage-buffer offset alignment of WebGPU. */
export const ALIGNMENT = 256;

/** Rounds up to a multiple of `ALIGNMENT`. */
export function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** Lays out tensors one after another in chunks of at most `maxChunkBytes`. */
export function layoutSequential(
  label: string,
  sizes: readonly number[],
  maxChunkBytes: number,
): { slots: ArenaSlot[]; layout: ArenaLayout } {
  const slots: ArenaSlot[] = [];
  const chunkBytes: number[] = [];
  for (const size of sizes) {
    const bytes = align(Math.max(size, 4));
    if (bytes > maxChunkBytes) {
      throw new RangeError(
        `${label}: a tensor of ${bytes} bytes is over the adapter's buffer limit of ${maxChunkBytes}`,
      );
    }
    if (chunkBytes.length === 0 || chunkBytes.at(-1)! + bytes > maxChunkBytes) chunkBytes.push(0);
    const chunk = chunkBytes.length - 1;
    slots.push({ chunk, offset: chunkBytes[chunk]!, size });
    chunkBytes[chunk]! += bytes;
  }
  return { slots, layout: { label, chunkBytes, totalBytes: chunkBytes.reduce((sum, bytes) => sum + bytes, 0) } };
}

/** Allocated buffers of a layout. */
export interface Arena {
  readonly layout: ArenaLayout;
  readonly buffers: readonly GPUBuffer[];
  /** The buffer range of a slot. */
  slice(slot: ArenaSlot): BufferSlice;
  destroy(): void;
}

/** Allocates the buffers of a layout, zero-filled, usable as storage and as source and target of copies. */
export function createArena(gpu: Gpu, layout: ArenaLayout): Arena {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffers = layout.chunkBytes.map((bytes, i) => gpu.createBuffer(`${layout.label} ${i}`, bytes, usage));
  return {
    layout,
    buffers,
    slice: (slot) => ({ buffer: buffers[slot.chunk]!, offset: slot.offset, size: slot.size }),
    destroy: () => buffers.forEach((buffer) => gpu.destroyBuffer(buffer)),
  };
}

/** Bytes queued by `writeBuffer` after which a submit is forced, so that Deno's staging memory is given back. */
const STAGING_BYTES = 32 * 2 ** 20;

/** Writes a large array in pieces, submitting between them: Deno frees staging memory only after a submit. */
export function uploadLarge(gpu: Gpu, slice: BufferSlice, data: Float32Array<ArrayBuffer>): void {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  for (let start = 0; start < bytes.length; start += STAGING_BYTES) {
    const piece = bytes.subarray(start, Math.min(bytes.length, start + STAGING_BYTES));
    gpu.device.queue.writeBuffer(slice.buffer, slice.offset + start, piece);
    gpu.device.queue.submit([]);
  }
}
