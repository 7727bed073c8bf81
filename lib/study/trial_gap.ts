/**
 * The time between two trials, when the GPU learns nothing: from a trial's last evaluation to the first step of the next, by
 * what it goes into.
 */
import { median } from "../support/median.ts";

/** What happens between two trials, in order. */
export const GAP_PHASES = [
  /** Waiting for the last checkpoint. */
  "saving",
  /** Details of the best checkpoint: intervals, curves, and its predictions where they are not known. */
  "evaluation",
  /** The trial's report and clearing its engine. */
  "report",
  /** The study: database, retention, asking for the next parameters. */
  "study",
  /** Folders, input rows, augmentation, plan and preflight. */
  "preparation",
  /** Memory of the engine, and first values of the parameters. */
  "engine",
  /** Batches of the first epoch, programs and pipelines of the first step. */
  "first_step",
] as const;

/** Seconds by phase; 0 where nothing went into it. */
export type GapSeconds = Readonly<Record<(typeof GAP_PHASES)[number], number>>;

/** One gap. */
export interface TrialGap {
  readonly seconds: number;
  readonly phases: GapSeconds;
}

/** Measures the gaps of a study's run. */
export interface GapClock {
  /** A trial has evaluated an epoch: if it was its last, the gap begins here. */
  begin(): void;
  /** What happened since the last call was this. */
  lap(phase: keyof GapSeconds): void;
  /** There is no gap: the trial failed, and what is between it and the next is another matter. */
  drop(): void;
  /** The next trial's first step is queued. Undefined where no trial ended before it. */
  end(): TrialGap | undefined;
  /** All gaps so far. */
  readonly gaps: readonly TrialGap[];
}

/** A clock that has not begun. `now` gives milliseconds. */
export function createGapClock(now: () => number = () => performance.now()): GapClock {
  const gaps: TrialGap[] = [];
  let began: number | undefined, last = 0;
  let phases = none();
  return {
    gaps,
    begin() {
      began = last = now();
      phases = none();
    },
    lap(phase) {
      const at = now();
      phases[phase] += (at - last) / 1000;
      last = at;
    },
    drop() {
      began = undefined;
    },
    end() {
      if (began === undefined) return undefined;
      this.lap("first_step");
      const gap = { seconds: (last - began) / 1000, phases };
      began = undefined;
      gaps.push(gap);
      return gap;
    },
  };
}

const none = () => Object.fromEntries(GAP_PHASES.map((phase) => [phase, 0])) as Record<keyof GapSeconds, number>;

/** What gaps come to; undefined where there are none. */
export function summariseGaps(gaps: readonly TrialGap[]) {
  if (gaps.length === 0) return undefined;
  const of = (phase: keyof GapSeconds) => median(gaps.map(({ phases }) => phases[phase]));
  const seconds = gaps.map((gap) => gap.seconds);
  return {
    count: gaps.length,
    median_seconds: median(seconds),
    longest_seconds: Math.max(...seconds),
    phases: Object.fromEntries(GAP_PHASES.map((phase) => [phase, of(phase)])) as Record<keyof GapSeconds, number>,
  };
}

/** The gaps as a line for people; nothing where there are none. */
export function describeGaps(gaps: readonly TrialGap[]): string[] {
  const found = summariseGaps(gaps);
  if (!found) return [];
  const { count, median_seconds, longest_seconds, phases } = found;
  const most = GAP_PHASES.filter((phase) => phases[phase] >= 0.1 * median_seconds)
    .toSorted((a, b) => phases[b] - phases[a])
    .map((phase) => `${phase.replace("_", " ")} ${phases[phase].toFixed(2)}`);
  const times = count === 1 ? "" : ` (median of ${count}, longest ${longest_seconds.toFixed(2)} s)`;
  return [`gap          ${median_seconds.toFixed(2)} s between two trials${times}: ${most.join(", ")}`];
}
