/** The loop of a search in which nothing is to be decided: ask, run, tell. */
import { type StudyDatabase, transaction } from "./database.ts";
import type { Trial } from "./live_trial.ts";
import type { Told } from "./trial_outcome.ts";

/** When to stop; at the first of these. */
export interface OptimizeOptions {
  /** Trials that this call runs. */
  nTrials?: number | undefined;
  /** No trial is begun after this many seconds. */
  timeoutSeconds?: number | undefined;
  /** Begins no trial when it is aborted; what an objective does with it is its own. */
  signal?: AbortSignal | undefined;
  /** Go on after a trial whose objective throws. Not given: false, as in Optuna. */
  catchErrors?: boolean | undefined;
}

/** What the loop needs of a study. */
export interface Loop {
  readonly db: StudyDatabase;
  ask(): Trial;
  tell(trial: Trial, told: Told): unknown;
  isExhausted(): boolean;
  warn(message: string): void;
}

/** How long the loop may keep other work of the process waiting while objectives are synchronous, in milliseconds. */
const TURN_MS = 50;

/** Runs trials until one of the limits: see `Study.optimize`. */
export async function optimize(
  { db, ask, tell, isExhausted, warn }: Loop,
  objective: (trial: Trial) => Told | Promise<Told>,
  { nTrials = Infinity, timeoutSeconds = Infinity, signal, catchErrors = false }: OptimizeOptions,
): Promise<void> {
  const began = performance.now();
  let left = nTrials;
  const next = (): Trial | undefined => {
    const isOver = left <= 0 || signal?.aborted || performance.now() - began >= timeoutSeconds * 1000 || isExhausted();
    if (isOver) return undefined;
    left--;
    return ask();
  };

  let turn = performance.now();
  let trial = next();
  while (trial !== undefined) {
    const current = trial;
    let told: Told = { state: "FAIL" };
    let thrown: { error: unknown } | undefined;
    try {
      const result = objective(current);
      told = result instanceof Promise ? await result : result;
    } catch (error) {
      if (signal?.aborted) throw error;
      thrown = { error };
    }
    let unasked: { error: unknown } | undefined;
    trial = transaction(db, () => {
      tell(current, told);
      if (thrown !== undefined && !catchErrors) return undefined;
      try {
        return next();
      } catch (error) {
        unasked = { error }; // the trial before it has ended all the same
        return undefined;
      }
    });
    if (unasked !== undefined) throw unasked.error;
    if (thrown !== undefined) {
      if (!catchErrors) throw thrown.error;
      warn(`trial ${current.number} fails: ${thrown.error}`);
    }
    if (performance.now() - turn > TURN_MS) {
      await new Promise((resolve) => setTimeout(resolve));
      turn = performance.now();
    }
  }
  signal?.throwIfAborted();
}
