/**
 * Which variant of each matrix product a study runs: tried on this adapter before the first trial that needs it, or kept from
 * an earlier study. Every variant that may be chosen gives the same bits (`gpu/tune.ts` leaves out those that do not), so
 * neither a resume nor a second study depends on what is kept.
 */
import type { Config } from "../config/schema.ts";
import type { Gpu } from "../gpu/device.ts";
import type { GemmRequest } from "../gpu/gemm.ts";
import type { GemmVariant } from "../gpu/gemm_variants.ts";
import { candidatesChecksum, gemmCandidates, type GemmTuning, tuneGemm, tuningKey } from "../gpu/tune.ts";
import { inputError, WinnowError } from "../support/errors.ts";
import type { EnginePlan } from "../train/engine_plan.ts";
import { openTuneCache, type TuneCache, tuneCacheFolder, tunedAdapter } from "./tune_cache.ts";

/** What an autotuner tells. */
export interface TuningEvents {
  /** So many products are going to be tried. */
  onStart?(count: number): void;
  /** A product was tried. */
  onTuned?(key: string, tuning: GemmTuning): void;
  onWarning?(message: string): void;
}

/** Chooses variants of products. */
export interface Autotuner {
  /** The fastest variant of a product where it has been tried, by this process or an earlier one. */
  variantOf(request: GemmRequest): GemmVariant | undefined;
  /**
   * Tries the products that have not been.
   *
   * @returns whether anything was tried
   * @throws {WinnowError} of kind `failure` when every variant of a product gives wrong numbers
   */
  tune(products: readonly GemmRequest[], signal: AbortSignal, events?: TuningEvents): Promise<boolean>;
}

/**
 * Whether a configuration lets products be tried: `auto` on GPUs. On software adapters compiling costs more than is won.
 *
 * @throws an input error when it wants what the adapter cannot do
 */
export function isAutotuned(
  { gpu: { autotune } }: Pick<Config, "gpu">,
  { name, preset, isSoftware, features }: Pick<Gpu, "name" | "preset" | "isSoftware" | "features">,
): boolean {
  const isTimed = features.has("timestamp-query");
  if (autotune === "auto") return isTimed && preset === "tiled" && !isSoftware;
  if (autotune === "on" && !isTimed) {
    throw inputError(`gpu.autotune=on needs timestamp queries, which ${name} lacks`, "Use gpu.autotune=auto");
  }
  return autotune === "on";
}

/** The products of a plan's graphs, of one length among those whose products share their choices. */
export function plannedProducts({ training, evaluation, options: { batchSize, lengths } }: EnginePlan): GemmRequest[] {
  const octaves = new Map(lengths.map((length) => [Math.ceil(Math.log2(batchSize * length)), length]));
  return [...octaves.values()].flatMap((length) =>
    [training.get(length)!, evaluation.get(length)!].flatMap(({ graph }) => graph.products)
  );
}

/** The autotuner that a configuration asks for; undefined where it asks for none. */
export async function openAutotuner(config: Pick<Config, "gpu">, gpu: Gpu): Promise<Autotuner | undefined> {
  if (!isAutotuned(config, gpu)) return undefined;
  const folder = tuneCacheFolder();
  return createAutotuner(gpu, folder === undefined ? undefined : await openTuneCache(folder, tunedAdapter(gpu)));
}

/** An autotuner with a cache, or without one. */
export function createAutotuner(gpu: Gpu, cache: TuneCache | undefined): Autotuner {
  /** By key; null where there is nothing to choose from. */
  const chosen = new Map<string, GemmVariant | null>();
  const variantOf = (request: GemmRequest): GemmVariant | undefined => {
    const key = tuningKey(request);
    const known = chosen.get(key);
    if (known !== undefined) return known ?? undefined;
    const candidates = gemmCandidates(gpu, request);
    const kept = cache?.get(key, candidatesChecksum(request, candidates))?.variant;
    const variant = candidates.length < 2 ? null : candidates.find((name) => name === kept);
    if (variant !== undefined) chosen.set(key, variant);
    return variant ?? undefined;
  };
  return {
    variantOf,
    async tune(products, signal, events = {}) {
      for (const request of products) variantOf(request);
      const untried = new Map(products.map((request) => [tuningKey(request), request] as const));
      for (const key of chosen.keys()) untried.delete(key);
      if (untried.size === 0) return false;
      events.onStart?.(untried.size);
      try {
        for (const [key, request] of untried) {
          signal.throwIfAborted();
          const candidates = gemmCandidates(gpu, request);
          const tuning = await tuneGemm(gpu, request, candidates);
          const { variant, microseconds, dropped } = tuning;
          for (const [name, reason] of Object.entries(dropped)) {
            events.onWarning?.(`the matrix product ${key} is wrong on ${gpu.name} in variant "${name}": ${reason}`);
          }
          if (variant === undefined) {
            throw new WinnowError(
              "failure",
              `${gpu.name} gives wrong numbers in every variant of the matrix product ${key}`,
              "Update its driver, or use another adapter; gpu.autotune=off trains all the same",
            );
          }
          chosen.set(key, variant);
          const timings = Object.fromEntries(Object.entries(microseconds).map(([name, times]) => [name, [...times]]));
          cache?.set(key, {
            checksum: candidatesChecksum(request, candidates),
            variant,
            microseconds: timings,
            dropped,
          });
          events.onTuned?.(key, tuning);
        }
      } finally {
        // Also of what was tried before an interruption.
        await cache?.save().catch((error: Error) => {
          events.onWarning?.(`what was found of matrix products is not kept for the next study: ${error.message}`);
        });
      }
      return true;
    },
  };
}
