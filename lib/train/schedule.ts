/** Learning-rate schedules, step by step as `transformers.get_*_schedule_with_warmup` compute them. */

/** A learning rate after warmup. */
interface ScheduleDefinition {
  /** One line for people. */
  readonly summary: string;
  /** The factor on the learning rate where `progress`, the share of the steps since warmup, is done. */
  factor(progress: number): number;
}

/** The schedules. */
export const SCHEDULES = {
  linear: { summary: "After warmup along a line to 0", factor: (progress) => Math.max(0, 1 - progress) },
  cosine: {
    summary: "After warmup along half a cosine to 0",
    factor: (progress) => Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress))),
  },
  constant: { summary: "After warmup as it is", factor: () => 1 },
} satisfies Record<string, ScheduleDefinition>;

/** The name of a schedule. */
export type Schedule = keyof typeof SCHEDULES;

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
 * The learning rate of optimizer step `index`, counted from 0: it rises from 0 over the warmup, then goes as the schedule
 * says.
 */
export function learningRateAt(index: number, options: ScheduleOptions): number {
  const { learningRate, schedule, warmupSteps, totalSteps } = options;
  if (index < warmupSteps) return (learningRate * index) / Math.max(1, warmupSteps);
  const progress = (index - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
  return learningRate * SCHEDULES[schedule].factor(progress);
}
