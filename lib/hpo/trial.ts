/** A trial and a study's history as samplers, pruners and reports see them; the words are Optuna's, in camelCase. */
import type { Distribution, Params } from "./space.ts";

/** Which side of an objective is better. */
export type Direction = "maximize" | "minimize";

/** Where a trial stands; Optuna's names. */
export type TrialState = "RUNNING" | "COMPLETE" | "PRUNED" | "FAIL" | "WAITING";

/** The states in which a trial has ended and no longer changes. */
export const FINISHED: ReadonlySet<TrialState> = new Set<TrialState>(["COMPLETE", "PRUNED", "FAIL"]);

/** What is known of a trial at one moment (Optuna's `FrozenTrial`). */
export interface FrozenTrial {
  /** Optuna's integer key in the database. */
  readonly row: number;
  /** Position in the study, from 0. */
  readonly number: number;
  /** The uuid that Winnow gave it, or null for a trial that another program has added. */
  readonly id: string | null;
  readonly state: TrialState;
  /** In the order in which they were suggested. */
  readonly params: Params;
  readonly distributions: Readonly<Record<string, Distribution>>;
  /** One per objective, or null if there are none (yet). */
  readonly values: readonly number[] | null;
  /** What the trial reported, ascending by step; a value may be NaN or infinite. */
  readonly intermediate: readonly { readonly step: number; readonly value: number }[];
  readonly userAttributes: Readonly<Record<string, unknown>>;
  /** Optuna's own notes: `fixed_params`, `completed_rung_0`, … */
  readonly systemAttributes: Readonly<Record<string, unknown>>;
  /** ISO 8601, UTC. */
  readonly started: string | null;
  readonly completed: string | null;
}

/** What a sampler or pruner may learn from. */
export interface StudyHistory {
  readonly studyName: string;
  /** One per objective. */
  readonly directions: readonly Direction[];
  /**
   * All trials by number, without gaps. A finished trial never changes and is the same object in every later history of
   * the study, so that what was computed of it may be kept in a WeakMap.
   */
  readonly trials: readonly FrozenTrial[];
}
