/**
 * GPU time of every dispatch of programs, by timestamp queries. WebGPU writes timestamps at the ends of compute passes
 * only, so each dispatch gets a pass of its own: the same pipelines, bind groups and order as in one pass, hence the same
 * results, with a little time between the passes that no dispatch is charged with.
 */
import { inputError } from "../support/errors.ts";
import type { Gpu } from "./device.ts";
import type { Program } from "./program.ts";

/** When something began and ended on the GPU, in ticks of its clock since the timer's first timestamp. */
export interface TickSpan {
  readonly begin: number;
  readonly end: number;
}

/** Times what it runs. */
export interface DispatchTimer {
  /** Runs programs in order and times each dispatch of them. */
  runEach(programs: readonly Program[], stepOffset: number): void;
  /** Runs programs in one compute pass, as a step is run, and times the whole. */
  runWhole(programs: readonly Program[], stepOffset: number): void;
  /** Waits for the GPU and returns what was timed since the last call, in order. */
  read(): Promise<TickSpan[]>;
  destroy(): void;
}

/** What the CPU does for one submit, so that a caller can time it. */
export type CpuMeasure = <T>(part: "encode" | "submit", work: () => T) => T;

/** Queries that a set may have: WebGPU's limit. */
const MAX_QUERIES = 4096;
const TICK_BYTES = 8;

/** Refuses an adapter that has no timestamps. @throws {WinnowError} of kind `input` */
export function checkTimestamps(gpu: Pick<Gpu, "name" | "features">): void {
  if (!gpu.features.has("timestamp-query")) {
    throw inputError(
      `${gpu.name} has no timestamps (WebGPU's feature timestamp-query), so kernels cannot be timed on it`,
      "Update its Vulkan driver, or profile on lavapipe (`apt-get install mesa-vulkan-drivers`, and VK_DRIVER_FILES set to " +
        "its lvp_icd file)",
    );
  }
}

/**
 * A timer of up to `capacity` dispatches between two reads.
 *
 * @param measure Runs the parts of the CPU's work; unless given they are run and not timed
 * @throws {WinnowError} of kind `input` where the adapter has no timestamps
 * @throws {RangeError} from `runEach` and `runWhole` above the capacity
 */
export function createDispatchTimer(
  gpu: Gpu,
  capacity: number,
  measure: CpuMeasure = (_, work) => work(),
): DispatchTimer {
  const { device } = gpu;
  checkTimestamps(gpu);
  const sets = Array.from({ length: Math.ceil(2 * capacity / MAX_QUERIES) }, (_, i) =>
    device.createQuerySet({
      label: `timestamps ${i}`,
      type: "timestamp",
      count: Math.min(MAX_QUERIES, 2 * capacity - i * MAX_QUERIES),
    }));
  const bytes = 2 * capacity * TICK_BYTES;
  const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const resolved = gpu.createBuffer("timestamps", bytes, QUERY_RESOLVE | COPY_SRC);
  const staging = gpu.createBuffer("timestamps read", bytes, COPY_DST | MAP_READ);
  let used = 0;
  let origin: bigint | undefined;
  const beginPass = (encoder: GPUCommandEncoder) => {
    if (used === capacity) throw new RangeError(`Expected at most ${capacity} dispatches between two reads`);
    const query = 2 * used++;
    const beginningOfPassWriteIndex = query % MAX_QUERIES;
    return encoder.beginComputePass({
      timestampWrites: {
        querySet: sets[Math.floor(query / MAX_QUERIES)]!,
        beginningOfPassWriteIndex,
        endOfPassWriteIndex: beginningOfPassWriteIndex + 1,
      },
    });
  };
  const run = (encode: (encoder: GPUCommandEncoder) => void) => {
    const commands = measure("encode", () => {
      const encoder = device.createCommandEncoder();
      encode(encoder);
      return encoder.finish();
    });
    measure("submit", () => device.queue.submit([commands]));
  };
  return {
    runEach: (programs, stepOffset) =>
      run((encoder) => {
        for (const program of programs) {
          for (let i = 0; i < program.dispatches; i++) {
            const pass = beginPass(encoder);
            program.encode(pass, stepOffset, i, i + 1);
            pass.end();
          }
        }
      }),
    runWhole: (programs, stepOffset) =>
      run((encoder) => {
        const pass = beginPass(encoder);
        for (const program of programs) program.encode(pass, stepOffset);
        pass.end();
      }),
    async read() {
      const count = used;
      used = 0;
      if (count === 0) return [];
      const encoder = device.createCommandEncoder();
      for (let first = 0; first < 2 * count; first += MAX_QUERIES) {
        const queries = Math.min(MAX_QUERIES, 2 * count - first);
        encoder.resolveQuerySet(sets[first / MAX_QUERIES]!, 0, queries, resolved, first * TICK_BYTES);
      }
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, 2 * count * TICK_BYTES);
      device.queue.submit([encoder.finish()]);
      try {
        await staging.mapAsync(GPUMapMode.READ, 0, 2 * count * TICK_BYTES);
      } catch (error) {
        gpu.check();
        throw error;
      }
      const ticks = new BigUint64Array(staging.getMappedRange(0, 2 * count * TICK_BYTES).slice(0));
      staging.unmap();
      gpu.check();
      const since = (origin ??= ticks[0]!);
      return Array.from({ length: count }, (_, i) => ({
        begin: Number(ticks[2 * i]! - since),
        end: Number(ticks[2 * i + 1]! - since),
      }));
    },
    destroy() {
      for (const set of sets) set.destroy();
      gpu.destroyBuffer(resolved);
      gpu.destroyBuffer(staging);
    },
  };
}
