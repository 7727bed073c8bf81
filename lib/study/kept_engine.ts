/**
 * The engine between two trials. A trial whose plan is equal in all that the engine was built for (shapes, constants of
 * its kernels, settings of its optimizer) takes the one of the trial before, memory, programs and all, cleared; any other
 * gets a new one after the old one is closed. So there is never memory for two.
 */
import { isDeepStrictEqual } from "node:util";
import type { Gpu } from "../gpu/device.ts";
import { type Engine, openEngine } from "../train/engine.ts";
import type { EngineOptions, EnginePlan } from "../train/engine_plan.ts";

/** A place for one engine that no trial uses. */
export interface KeptEngine {
  /** The plan of the engine that is kept, where it is one for these options; any other engine is closed. */
  planFor(options: EngineOptions): EnginePlan | undefined;
  /**
   * The engine that is kept, if this is its plan, else a new one; either way nothing is kept any more.
   *
   * @throws {WinnowError} of kind `input` when the device refuses the memory
   */
  open(gpu: Gpu, plan: EnginePlan): Promise<Engine>;
  /**
   * Clears an engine and keeps it; where that fails it is closed.
   *
   * @throws what closing throws
   */
  keep(engine: Engine): void;
  /** Closes what is kept: its memory is needed for something else, or for nothing any more. */
  release(): void;
}

/** A place that is empty. */
export function keepEngine(): KeptEngine {
  let kept: Engine | undefined;
  const release = () => {
    const engine = kept;
    kept = undefined;
    engine?.close();
  };
  return {
    planFor(options) {
      if (kept && !isDeepStrictEqual(kept.plan.options, options)) release();
      return kept?.plan;
    },
    async open(gpu, plan) {
      if (kept?.plan !== plan || kept.gpu !== gpu) release();
      const engine = kept;
      kept = undefined;
      return engine ?? await openEngine(gpu, plan);
    },
    keep(engine) {
      release();
      try {
        engine.reset();
      } catch {
        // Not one that a trial left as it should: the next is better off with its own.
        engine.close();
        return;
      }
      kept = engine;
    },
    release,
  };
}
