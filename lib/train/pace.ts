/**
 * Steps beside a save. On a software adapter to ask whether the device is done blocks this thread until it is, in Deno on
 * lavapipe, and a save that shares the thread would get one piece written a step. So it is given its time while the step
 * runs on the adapter's own threads, before the device is asked. A GPU answers at once, and nothing is waited for.
 */
import type { Background } from "../support/background.ts";
import type { Engine, StepMetrics } from "./engine.ts";

/** Of a step's usual time, what a save under way gets: less than all, so that the adapter is not kept waiting. */
const SHARE = 0.8;

/** How steps and saves take turns. */
export interface Pace {
  /** To be awaited after a step was queued. */
  queued(): Promise<void>;
  /** `engine.drain`. */
  drain(): Promise<StepMetrics[]>;
}

/** The pace of one run. */
export function createPace(engine: Pick<Engine, "gpu" | "drain">, saves: Background): Pace {
  let stepMs = 0, undrained = 0, began = 0;
  return {
    async queued() {
      if (undrained++ === 0) began = performance.now();
      if (engine.gpu.isSoftware && saves.isBusy) await saves.giveTime(SHARE * stepMs);
    },
    async drain() {
      const steps = await engine.drain();
      if (undrained > 0) stepMs = (performance.now() - began) / undrained;
      undrained = 0;
      return steps;
    },
  };
}
