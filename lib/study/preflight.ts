/** What a trial will take of GPU memory and disk, checked and said before the first step. */
import type { Config } from "../config/schema.ts";
import type { Gpu } from "../gpu/device.ts";
import { CHECKPOINT_OVERHEAD_BYTES, preflight as storagePreflight, type StoragePreflight } from "../storage/disk.ts";
import { formatBytes } from "../storage/free_space.ts";
import { inputError, storageError, type WinnowError } from "../support/errors.ts";
import { parseByteSize } from "../support/byte_size.ts";
import { type CheckpointSize, checkpointSize } from "./checkpoint_size.ts";
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

/** What a preflight knows beside the configuration. */
export interface PreflightOptions {
  /** Bytes of the study's checkpoints that are on disk already; 0 unless given. */
  readonly ownedBytes?: number;
  /** The largest checkpoint of any trial, where it is not the configuration's own. */
  readonly largest?: CheckpointSize;
  /** The plan of an engine for the same options that is there already and will be used. */
  readonly held?: EnginePlan | undefined;
}

const LIMIT_KEY = "gpu.memory_limit_gb";

/** The bound on GPU memory: the configuration's, else for software adapters the machine's free memory. */
function memoryLimit(config: Config, gpu: Gpu, held: EnginePlan | undefined): Preflight["limit"] {
  const gigabytes = config.gpu.memory_limit_gb;
  if (gigabytes !== null) return { bytes: gigabytes * 1e9, source: LIMIT_KEY };
  if (!gpu.isSoftware) return undefined;
  // What is held is taken from it, and will not be taken again.
  const bytes = Deno.systemMemoryInfo().available + (held?.memory.total ?? 0);
  return { bytes, source: "free memory of this machine" };
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
 * Plans an engine's memory.
 *
 * @param shortestLength The least data.max_length that may be suggested; at most the largest of the options' lengths
 * @param held The plan of an engine that is open for these options, if one is
 * @throws an input error when the model cannot fit, with the numbers and what would
 */
export function planWithinMemory(
  config: Config,
  gpu: Gpu,
  options: EngineOptions,
  shortestLength: number,
  held?: EnginePlan,
): Pick<Preflight, "plan" | "memory" | "limit"> {
  let plan: EnginePlan;
  try {
    plan = held ?? planEngine(gpu, options);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw inputError(
      `The model does not fit ${gpu.name}: ${error.message}`,
      "Lower training.batch_size or data.max_length, or choose a smaller model.id",
      { cause: error },
    );
  }
  const limit = memoryLimit(config, gpu, held);
  const { memory } = plan;
  if (limit && memory.total > limit.bytes) {
    throw inputError(
      `The model needs ${formatBytes(memory.total)} of GPU memory but ${limit.source} allows ` +
        `${formatBytes(limit.bytes)} (${describeMemory(memory)})`,
      remedy(gpu, options, limit, shortestLength),
    );
  }
  return { plan, memory, limit };
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
  { ownedBytes = 0, largest, held }: PreflightOptions = {},
): Promise<Preflight> {
  const { plan, memory, limit } = planWithinMemory(config, gpu, options, shortestLength, held);
  const { modelBytes, weightsBytes, optimizerBytes } = checkpointSize(options, plan.parameters.specs);
  const { retention, paths } = config;
  const storage = await storagePreflight({
    weightsBytes: largest?.weightsBytes ?? weightsBytes,
    optimizerBytes: largest?.optimizerBytes ?? optimizerBytes,
    keepLast: retention.keep_last_n,
    keepBest: retention.keep_best_k,
    isSearch: config.study.n_trials > 1,
    capBytes: parseByteSize(retention.max_total_size),
    ownedBytes,
  }, paths.experiments);
  if (!storage.fits) throw refusal(config, storage);
  return { plan, memory, limit, storage, modelBytes, weightsBytes, optimizerBytes };
}

function refusal({ paths }: Config, storage: StoragePreflight): WinnowError {
  const { neededBytes, freeBytes, leastBytes, capBytes, ownedBytes } = storage;
  if (leastBytes > capBytes) {
    return storageError(
      `A point to resume from and the best checkpoint take ${
        formatBytes(leastBytes)
      } but retention.max_total_size is ` +
        formatBytes(capBytes),
      `Set retention.max_total_size="${formatBytes(Math.ceil(leastBytes * 1.01))}" ` +
        "or more, or set tuning.mode=lora, which stores adapters only",
    );
  }
  const owned = ownedBytes > 0 ? `, and ${formatBytes(ownedBytes)} are those that are there` : "";
  return storageError(
    `The checkpoints of a trial need up to ${formatBytes(neededBytes)} in ${paths.experiments} but ` +
      `${formatBytes(freeBytes)} are free${owned}`,
    "Free space, set paths.experiments to another disk, or lower retention.keep_last_n and retention.keep_best_k, or set " +
      "tuning.mode=lora, which stores adapters only; `deno task cleanup` lists what can go",
  );
}

function describeMemory(memory: MemoryForecast): string {
  const { total: _, ...parts } = memory;
  return Object.entries(parts).filter(([, bytes]) => bytes > 0).map(([name, bytes]) => `${name} ${formatBytes(bytes)}`)
    .join(", ");
}

/** The preflight as lines for people. */
export function describePreflight({ memory, limit, storage, weightsBytes, optimizerBytes }: Preflight): string {
  const bound = limit ? ` of ${formatBytes(limit.bytes)} (${limit.source})` : "";
  const { perCheckpointBytes, neededBytes, studyBytes, capBytes, freeBytes } = storage;
  const most = perCheckpointBytes - CHECKPOINT_OVERHEAD_BYTES > weightsBytes + optimizerBytes
    ? ` in the largest trial that search_space allows`
    : "";
  return [
    `GPU memory   ${formatBytes(memory.total)}${bound}: ${describeMemory(memory)}`,
    `checkpoints  ${formatBytes(perCheckpointBytes)} each${most} (weights ${formatBytes(weightsBytes)}, optimizer ` +
    `${formatBytes(optimizerBytes)}${most ? " as configured" : ""}), ${
      formatBytes(neededBytes)
    } per trial (more where ` +
    `best ones tie), ${formatBytes(freeBytes)} free`,
    `storage      up to ${formatBytes(studyBytes)} of checkpoints in the study at once; retention keeps them within ` +
    `${formatBytes(capBytes)} (retention.max_total_size) and one save`,
  ].join("\n");
}
