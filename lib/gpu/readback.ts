/**
 * Batched readback. An awaited map costs 11 ms in Deno whatever its size (the poll sleeps 10 ms), so results are
 * copied on the GPU into a staging buffer as they appear and mapped together.
 */
import type { BufferSlice } from "./arena.ts";
import type { Gpu } from "./device.ts";

/** Reads GPU ranges into memory, many at a time. */
export interface Readback {
  /** Bytes of the staging buffer. */
  readonly capacity: number;
  /** Bytes still free before a flush. */
  readonly free: number;
  /** Copies a range behind everything submitted so far; false when the staging buffer is full: flush first. */
  enqueue(slice: BufferSlice): boolean;
  /** Waits for the GPU and returns the ranges in the order they were enqueued. */
  flush(): Promise<ArrayBuffer[]>;
  destroy(): void;
}

/** A readback with a staging buffer of so many bytes. */
export function createReadback(gpu: Gpu, capacity: number): Readback {
  const staging = gpu.createBuffer("readback", capacity, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  let pending: { start: number; size: number }[] = [];
  let used = 0;
  return {
    capacity,
    get free() {
      return capacity - used;
    },
    enqueue({ buffer, offset, size }) {
      const padded = Math.ceil(size / 4) * 4;
      if (padded > capacity) throw new RangeError(`Expected at most ${capacity} bytes to read but found ${size}`);
      if (used + padded > capacity) return false;
      const encoder = gpu.device.createCommandEncoder({ label: "readback" });
      encoder.copyBufferToBuffer(buffer, offset, staging, used, padded);
      gpu.device.queue.submit([encoder.finish()]);
      pending.push({ start: used, size });
      used += padded;
      return true;
    },
    async flush() {
      const ranges = pending;
      const bytes = used;
      pending = [];
      used = 0;
      if (ranges.length === 0) return [];
      try {
        await staging.mapAsync(GPUMapMode.READ, 0, bytes);
      } catch (error) {
        gpu.check();
        throw error;
      }
      const mapped = staging.getMappedRange(0, bytes);
      const results = ranges.map(({ start, size }) => mapped.slice(start, start + size));
      staging.unmap();
      gpu.check();
      return results;
    },
    destroy: () => gpu.destroyBuffer(staging),
  };
}

/** Reads one large range in pieces of the readback's capacity. */
export async function readLarge(readback: Readback, slice: BufferSlice): Promise<Float32Array<ArrayBuffer>> {
  const result = new Uint8Array(slice.size);
  for (let start = 0; start < slice.size; start += readback.capacity) {
    const size = Math.min(readback.capacity, slice.size - start);
    if (!readback.enqueue({ buffer: slice.buffer, offset: slice.offset + start, size })) {
      throw new Error("Expected the readback to be flushed before a large read");
    }
    const [piece] = await readback.flush();
    result.set(new Uint8Array(piece!), start);
  }
  return new Float32Array(result.buffer);
}
