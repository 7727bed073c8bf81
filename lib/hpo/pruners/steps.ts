/** What the pruners share: what a trial has reported, and when a pruner looks at it. */
import { inputError } from "../../support/errors.ts";
import type { Direction, FrozenTrial, StudyHistory } from "../trial.ts";

/** The direction of a study with one objective. */
export function onlyDirection({ directions, studyName }: StudyHistory): Direction {
  if (directions.length === 1) return directions[0]!;
  throw inputError(
    `study ${studyName} has ${directions.length} objectives: what a trial reports cannot be compared`,
    "Study one objective, or take the pruner none.",
  );
}

/** The largest step that a trial has reported, or null. */
export const lastStep = ({ intermediate }: FrozenTrial): number | null => intermediate.at(-1)?.step ?? null;

/** Whether the latest report is the first one since step warmup + k·interval, the latest such step up to it. */
export function isFirstInInterval({ intermediate }: FrozenTrial, warmup: number, interval: number): boolean {
  const step = intermediate.at(-1)!.step;
  if (step < warmup) return false;
  const boundary = Math.floor((step - warmup) / interval) * interval + warmup;
  return (intermediate.at(-2)?.step ?? -1) < boundary;
}

/** The best of values by a direction, NaN left out; NaN if there is no other. */
export function bestValue(values: readonly number[], direction: Direction): number {
  let best = NaN;
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    if (Number.isNaN(best) || (direction === "maximize" ? value > best : value < best)) best = value;
  }
  return best;
}

/** @throws an input error unless an option is an integer of at least `least`. */
export function requireInteger(pruner: string, name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw inputError(
    `the ${pruner} pruner's ${name} is ${value}, expected an integer of at least ${least}`,
    "Correct the pruner's options.",
  );
}
