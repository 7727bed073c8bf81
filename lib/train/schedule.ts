/** Learning-rate schedules, step by step as `transformers.get_*_schedule_with_warmup` compute them. */

/** The shape of the learning rate after warmup. */
export type Schedule = "linear" | "cosine" | "constant";

/** A schedule over a whole run. */
export interface ScheduleOptions {
  readonly learningRate: number;
  readonly schedule: Schedule;
  readonly warmupSteps: number;
  readonly totalSteps: number;
}

/** Optimizer steps of warmup for a ratio of the whole, rounded up. */
export function warmupSteps(ratio: number, totalSteps: number): number {
  return Math.ceil(ratio * totalSteps);
}

/**
 * The learning rate of optimizer step `index`, counted from 0: it rises from 0 over the warmup, then falls to 0 along
 * a line or half a cosine, or stays.
 */
export function learningRateAt(index: number, options: ScheduleOptions): number {
  const { learningRate, schedule, warmupSteps, totalSteps } = options;
  if (index < warmupSteps) return (learningRate * index) / Math.max(1, warmupSteps);
  const progress = (index - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
  if (schedule === "linear") return learningRate * Math.max(0, 1 - progress);
  if (schedule === "cosine") return learningRate * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
  return learningRate;
}
