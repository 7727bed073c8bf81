/**
 * Batched readback. An awaited map costs 11 ms in Deno whatever its size (the poll sleeps 10 ms), so results are
 * copied on the GPU into a staging buffer as they appear and mapped together; what is larger than a staging buffer goes
 * through several of them in turn.
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

/** Bytes of each staging buffer of `readRanges`, and how many take turns. */
const STAGING_BYTES = 16 * 2 ** 20, STAGING_BUFFERS = 3;

/** A piece of a range, and its place in a staging buffer. */
interface Piece {
  readonly range: number;
  /** Within the range. */
  readonly start: number;
  readonly size: number;
  readonly at: number;
}

/** Ranges in pieces, as many at a time as a staging buffer holds. */
function stagingLoads(sizes: readonly number[], capacity: number): Piece[][] {
  const loads: Piece[][] = [];
  let free = 0;
  sizes.forEach((bytes, range) => {
    for (let start = 0; start < bytes;) {
      if (free === 0) {
        loads.push([]);
        free = capacity;
      }
      const size = Math.min(free, bytes - start);
      loads.at(-1)!.push({ range, start, size, at: capacity - free });
      start += size;
      free -= size;
    }
  });
  return loads;
}

/**
 * Reads ranges of any size (multiples of 4 bytes), as they are behind everything submitted so far. While one staging
 * buffer is copied out the GPU fills the others, so that the 11 ms of a map are waited for once and not for each piece.
 *
 * @param stagingBytes Of each of the three staging buffers, which are there during the call only; a multiple of 8
 */
export async function readRanges(
  gpu: Gpu,
  slices: readonly BufferSlice[],
  stagingBytes = STAGING_BYTES,
): Promise<Float32Array<ArrayBuffer>[]> {
  const results = slices.map(({ size }) => new Float32Array(size / 4));
  const loads = stagingLoads(slices.map(({ size }) => size), stagingBytes);
  const capacity = loads.length > 1 ? stagingBytes : loads[0]?.reduce((sum, { size }) => sum + size, 0) ?? 0;
  const staging = Array.from(
    { length: Math.min(STAGING_BUFFERS, loads.length) },
    (_, i) => gpu.createBuffer(`readback ${i}`, capacity, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST),
  );
  const fill = (load: number): Promise<void> => {
    const target = staging[load % staging.length]!;
    const encoder = gpu.device.createCommandEncoder({ label: "readback" });
    let bytes = 0;
    for (const { range, start, size, at } of loads[load]!) {
      const { buffer, offset } = slices[range]!;
      encoder.copyBufferToBuffer(buffer, offset + start, target, at, size);
      bytes = at + size;
    }
    gpu.device.queue.submit([encoder.finish()]);
    return target.mapAsync(GPUMapMode.READ, 0, bytes);
  };
  const filling: Promise<void>[] = [];
  const begin = (load: number) => {
    filling[load] = fill(load);
    // Where an earlier one fails, nobody waits for this one any more.
    filling[load].catch(() => {});
  };
  try {
    for (let load = 0; load < staging.length; load++) begin(load);
    for (const [load, pieces] of loads.entries()) {
      await filling[load];
      const { at, size } = pieces.at(-1)!;
      const source = staging[load % staging.length]!;
      const mapped = source.getMappedRange(0, at + size);
      for (const { range, start, size, at } of pieces) {
        new Uint8Array(results[range]!.buffer).set(new Uint8Array(mapped, at, size), start);
      }
      source.unmap();
      const next = load + staging.length;
      if (next < loads.length) begin(next);
    }
    gpu.check();
  } catch (error) {
    gpu.check();
    throw error;
  } finally {
    for (const buffer of staging) gpu.destroyBuffer(buffer);
  }
  return results;
}
