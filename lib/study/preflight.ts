/** What a trial will take of GPU memory and disk, checked and said before the first step. */
import type { Config } from "../config/schema.ts";
import type { Gpu } from "../gpu/device.ts";
import { isTrained, type ParameterSpec } from "../graph/parameters.ts";
import { elementCount } from "../graph/tensor.ts";
import { preflight as storagePreflight, type StoragePreflight } from "../storage/disk.ts";
import { formatBytes } from "../storage/free_space.ts";
import { inputError, storageError } from "../support/errors.ts";
import { resumeArrays } from "../train/parameter_arrays.ts";
import { type EngineOptions, type EnginePlan, type MemoryForecast, planEngine } from "../train/engine_plan.ts";

/** What was found. */
export interface Preflight {
  readonly plan: EnginePlan;
  readonly memory: MemoryForecast;
  /** Bytes that GPU memory may take, and what says so; undefined where only the device itself knows. */
  readonly limit: { readonly bytes: number; readonly source: string } | undefined;
  readonly storage: StoragePreflight;
  /** Of the model, of what a checkpoint holds of it (what is trained), and of the optimizer's state. */
  readonly modelBytes: number;
  readonly weightsBytes: number;
  readonly optimizerBytes: number;
}

const LIMIT_KEY = "gpu.memory_limit_gb";

/** The bound on GPU memory: the configuration's, else for software adapters the machine's free memory. */
function memoryLimit(config: Config, gpu: Gpu): Preflight["limit"] {
  const gigabytes = config.gpu.memory_limit_gb;
  if (gigabytes !== null) return { bytes: gigabytes * 1e9, source: LIMIT_KEY };
  if (!gpu.isSoftware) return undefined;
  return { bytes: Deno.systemMemoryInfo().available, source: "free memory of this machine" };
}

/** Recomputation if that is enough, else the largest batch of those below the configured one that fits, or what else would. */
function remedy(
  gpu: Gpu,
  options: EngineOptions,
  { bytes: limit, source }: NonNullable<Preflight["limit"]>,
  shortestLength: number,
): string {
  if (options.recompute !== "layer") {
    for (const recompute of ["feed_forward", "layer"] as const) {
      const { total } = planEngine(gpu, { ...options, recompute }).memory;
      if (total <= limit) return `Set training.recompute=${recompute} (${formatBytes(total)}): same results, more time`;
    }
  }
  const accumulate = "raise training.accumulation_steps to keep the effective batch";
  for (let batchSize = options.batchSize >> 1; batchSize >= 1; batchSize >>= 1) {
    const { total } = planEngine(gpu, { ...options, batchSize }).memory;
    if (total <= limit) return `Set training.batch_size=${batchSize} (${formatBytes(total)}); ${accumulate}`;
  }
  const possible = options.lengths.filter((length) => length >= shortestLength);
  for (const length of possible.toReversed().slice(1)) {
    const lengths = options.lengths.filter((one) => one <= length);
    const { total } = planEngine(gpu, { ...options, batchSize: 1, lengths }).memory;
    if (total <= limit) {
      return `Set training.batch_size=1 and data.max_length=${length} (${formatBytes(total)}); ${accumulate}`;
    }
  }
  const shortest = Math.min(...possible);
  const lengths = options.lengths.filter((one) => one <= shortest);
  const { total } = planEngine(gpu, { ...options, batchSize: 1, lengths }).memory;
  const more = source === LIMIT_KEY ? `Raise ${LIMIT_KEY}` : "Use a machine with more memory";
  return `${more}, or choose a smaller model: even training.batch_size=1 and data.max_length=${shortest} take ` +
    formatBytes(total);
}

/**
 * Plans a trial's memory and storage.
 *
 * @param shortestLength The least data.max_length that may be suggested; at most the largest of the options' lengths
 * @throws an input error when the model cannot fit, with the numbers and what would; a storage error when the
 * checkpoints cannot
 */
export async function preflight(
  config: Config,
  gpu: Gpu,
  options: EngineOptions,
  shortestLength: number,
): Promise<Preflight> {
  let plan: EnginePlan;
  try {
    plan = planEngine(gpu, options);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw inputError(
      `The model does not fit ${gpu.name}: ${error.message}`,
      "Lower training.batch_size or data.max_length, or choose a smaller model.id",
      { cause: error },
    );
  }
  const limit = memoryLimit(config, gpu);
  const { memory } = plan;
  if (limit && memory.total > limit.bytes) {
    throw inputError(
      `The model needs ${formatBytes(memory.total)} of GPU memory but ${limit.source} allows ` +
        `${formatBytes(limit.bytes)} (${describeMemory(memory)})`,
      remedy(gpu, options, limit, shortestLength),
    );
  }
  const bytesOf = (specs: readonly ParameterSpec[]) =>
    4 * specs.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const { specs } = plan.parameters;
  const modelBytes = bytesOf(specs), weightsBytes = bytesOf(specs.filter(isTrained));
  const optimizerBytes = resumeArrays(options).length * weightsBytes;
  const storage = await storagePreflight({
    weightsBytes,
    optimizerBytes,
    keepLast: config.retention.keep_last_n,
    keepBest: config.retention.keep_best_k,
  }, config.paths.experiments);
  if (!storage.fits) {
    throw storageError(
      `The checkpoints of a trial need up to ${formatBytes(storage.neededBytes)} in ${config.paths.experiments} but ` +
        `${formatBytes(storage.freeBytes)} are free`,
      "Free space, set paths.experiments to another disk, or lower retention.keep_last_n and retention.keep_best_k",
    );
  }
  return { plan, memory, limit, storage, modelBytes, weightsBytes, optimizerBytes };
}

function describeMemory(memory: MemoryForecast): string {
  const { total: _, ...parts } = memory;
  return Object.entries(parts).filter(([, bytes]) => bytes > 0).map(([name, bytes]) => `${name} ${formatBytes(bytes)}`)
    .join(", ");
}

/** The preflight as two lines for people. */
export function describePreflight({ memory, limit, storage, weightsBytes, optimizerBytes }: Preflight): string {
  const bound = limit ? ` of ${formatBytes(limit.bytes)} (${limit.source})` : "";
  return [
    `GPU memory   ${formatBytes(memory.total)}${bound}: ${describeMemory(memory)}`,
    `checkpoints  ${formatBytes(storage.perCheckpointBytes)} each (weights ${formatBytes(weightsBytes)}, optimizer ` +
    `${formatBytes(optimizerBytes)}), ${formatBytes(storage.neededBytes)} per trial (more where best ones tie), ` +
    `${formatBytes(storage.freeBytes)} free`,
  ].join("\n");
}
