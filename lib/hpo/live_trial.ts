/** A trial while it runs: it is asked for parameters, reports, and learns whether to stop. Optuna's `Trial`. */
import { inputError } from "../support/errors.ts";
import { onCommit, type StudyDatabase } from "./database.ts";
import type { Pruner } from "./pruners/pruner.ts";
import { isSingle } from "./samplers/axis.ts";
import type { RelativeSample, Sampler } from "./samplers/sampler.ts";
import {
  areCompatible,
  type Category,
  checkDistribution,
  contains,
  type Distribution,
  isRepresentable,
  type Params,
} from "./space.ts";
import { readTrial, recordHeartbeat, type StoredStudy, type TrialUpdate, updateTrial } from "./study_db.ts";
import type { FrozenTrial, StudyHistory } from "./trial.ts";
import { knownDistribution } from "./trial_reader.ts";

/**
 * A trial that runs.
 *
 * What it suggests is stored when the running turn of the event loop ends, or with what it writes next (`report`,
 * `setUserAttribute`, `tell`), whichever is first; a trial that trains asynchronously has its parameters in the file before
 * it waits for anything. Where a process may be killed within one long turn, call `store`, or name all parameters in
 * `study.ask`, which stores them with the trial.
 */
export interface Trial {
  /** Optuna's integer key in the database. */
  readonly row: number;
  /** Position in the study, from 0. */
  readonly number: number;
  /** The uuid that Winnow gave it. */
  readonly id: string;
  /** What was suggested so far, in that order. */
  readonly params: Params;
  readonly distributions: Readonly<Record<string, Distribution>>;
  readonly userAttributes: Readonly<Record<string, unknown>>;
  readonly systemAttributes: Readonly<Record<string, unknown>>;

  /**
   * A real number from `low` to `high`, both included; `log` on a logarithmic scale, or a multiple of `step` above `low`.
   * Asked for the same name again, a trial gives the same value.
   *
   * @throws an input error for a range that is none, or a name that had another kind of values in this study
   */
  suggestFloat(name: string, low: number, high: number, options?: { log?: boolean; step?: number }): number;
  /** An integer from `low` to `high`, both included; as `suggestFloat`. */
  suggestInt(name: string, low: number, high: number, options?: { log?: boolean; step?: number }): number;
  /** One of `choices`; as `suggestFloat`. A study's choices for a name never change. */
  suggestCategorical<const T extends Category>(name: string, choices: readonly T[]): T;
  /** A value of any distribution; as `suggestFloat`. */
  suggest(name: string, distribution: Distribution): Category;

  /**
   * Stores the objective as it is after `step` (from 0; an epoch, say). A step reported again gets the newer value, since a
   * trial that is resumed repeats the epoch in which it was killed; in this, Optuna's `Trial.report` differs: it
   * keeps the first.
   *
   * @throws an input error in a study of several objectives, which have no intermediate values
   */
  report(value: number, step: number): void;
  /** Whether the study's pruner takes going on for hopeless; then `study.tell(trial, { state: "PRUNED" })`. */
  shouldPrune(): boolean;
  /** Stores something to remember with the trial; any JSON, NaN and infinities too. */
  setUserAttribute(key: string, value: unknown): void;
  /** Stores one of Optuna's own notes. */
  setSystemAttribute(key: string, value: unknown): void;
  /** Says that the trial is alive: see `study.staleTrials`. */
  heartbeat(): void;
  /** Stores what was suggested now. */
  store(): void;
}

/** What a running trial stands on. */
export interface TrialContext {
  readonly db: StudyDatabase;
  readonly study: StoredStudy;
  readonly sampler: Sampler;
  readonly pruner: Pruner;
  /** The study when the trial was begun: what its sampler learns from. */
  readonly history: StudyHistory;
  /** The study now. */
  currentHistory(): StudyHistory;
  warn(message: string): void;
}

/** A running trial, and what of it is not stored yet. */
export interface LiveTrial extends Trial {
  /** Writes to the trial, together with what was suggested since. */
  write(update: TrialUpdate): void;
  /** Forgets what is not stored: the trial was never begun. */
  discard(): void;
}

/** The handle of a trial that is RUNNING in the database. */
export function liveTrial(context: TrialContext, frozen: FrozenTrial): LiveTrial {
  const { db, study, warn } = context;
  const { row, number } = frozen;
  const params: Params = { ...frozen.params };
  const distributions: Record<string, Distribution> = { ...frozen.distributions };
  const userAttributes = { ...frozen.userAttributes };
  const systemAttributes = { ...frozen.systemAttributes };
  const enqueued = (systemAttributes["fixed_params"] ?? {}) as Params;
  /** Names of the parameters that are not stored yet. */
  let pending: readonly string[] = [];
  let relative: RelativeSample | undefined;

  const write = (update: TrialUpdate) => {
    const names = pending;
    const suggested = Object.fromEntries(names.map((name) => [name, params[name]!]));
    updateTrial(db, study, frozen, { ...update, params: suggested, distributions });
    onCommit(db, () => pending = pending.filter((name) => !names.includes(name)));
  };
  const store = () => {
    if (pending.length > 0) write({});
  };
  /** At the end of the turn. What fails now fails again with the next write, and is thrown there. */
  const storeQuietly = () => {
    if (!db.connection.isOpen) return;
    try {
      store();
    } catch { /* see above */ }
  };

  const draw = (name: string, distribution: Distribution): Category => {
    if (Object.hasOwn(enqueued, name)) {
      const value = enqueued[name]!;
      if (!isRepresentable(distribution, value)) {
        throw inputError(
          `trial ${number}: the value ${JSON.stringify(value)} of the enqueued ${name} is none of ${
            describe(distribution)
          }`,
          "Tell the trial FAIL, and enqueue another value.",
        );
      }
      if (!contains(distribution, value)) {
        warn(`trial ${number}: the value ${JSON.stringify(value)} of the enqueued ${name} is not in its distribution`);
      }
      return value;
    }
    if (isSingle(distribution)) {
      return distribution.type === "categorical" ? distribution.choices[0]! : distribution.low;
    }
    const visible = context.pruner.visibleTo?.(context.history, number) ?? context.history;
    relative ??= context.sampler.sampleRelative(visible, number);
    const drawn = own(relative.params, name), from = own(relative.space, name);
    if (
      drawn !== undefined && from !== undefined && areCompatible(from, distribution) && contains(distribution, drawn)
    ) {
      return drawn;
    }
    return context.sampler.sampleIndependent(visible, number, name, distribution);
  };

  const suggest = (name: string, asked: Distribution): Category => {
    const distribution = checkDistribution(`parameter ${name}`, asked, "Correct what the trial is asked for.");
    const before = own(distributions, name);
    const known = before ?? knownDistribution(db, study.row, name);
    if (known !== undefined && !areCompatible(known, distribution)) {
      throw inputError(
        `parameter ${name} of study ${study.id}: expected ${describe(known)} but found ${describe(distribution)}`,
        "Within a study a parameter keeps its kind, its scale and its choices: give this one another name.",
      );
    }
    if (before !== undefined) {
      if (before.type !== "categorical" && !sameRange(before, distribution)) {
        warn(`trial ${number}: ${name} was suggested from ${describe(before)}, and keeps that value`);
      }
      return params[name]!;
    }
    const value = draw(name, distribution);
    params[name] = value;
    distributions[name] = distribution;
    if (pending.length === 0) queueMicrotask(storeQuietly);
    pending = [...pending, name];
    return value;
  };
  const requireOneObjective = (what: string) => {
    if (study.directions.length === 1) return;
    throw inputError(
      `${what} in study ${study.id}, which has ${study.directions.length} objectives`,
      "Intermediate values and pruning are for a single objective.",
    );
  };

  return {
    row,
    number,
    id: frozen.id ?? "",
    params,
    distributions,
    userAttributes,
    systemAttributes,
    suggest,
    suggestFloat: (name, low, high, { log = false, step } = {}) =>
      suggest(name, { type: "float", low, high, log, step: step ?? null }) as number,
    suggestInt: (name, low, high, { log = false, step = 1 } = {}) =>
      suggest(name, { type: "int", low, high, log, step }) as number,
    suggestCategorical: <const T extends Category>(name: string, choices: readonly T[]) =>
      suggest(name, { type: "categorical", choices: [...choices] }) as T,
    report: (value, step) => {
      requireOneObjective("a report");
      if (!Number.isSafeInteger(step) || step < 0) {
        throw inputError(`trial ${number}: expected a step from 0 but found ${step}`, "Count epochs or batches.");
      }
      write({ intermediate: [{ step, value }] });
    },
    shouldPrune: () => {
      requireOneObjective("pruning");
      store();
      const decision = context.pruner.decide(context.currentHistory(), readTrial(db, study, row));
      if (Object.keys(decision.systemAttributes ?? {}).length > 0) {
        Object.assign(systemAttributes, decision.systemAttributes);
        write({ systemAttributes: decision.systemAttributes! });
      }
      return decision.prune;
    },
    setUserAttribute: (key, value) => {
      write({ userAttributes: { [key]: value } });
      userAttributes[key] = value;
    },
    setSystemAttribute: (key, value) => {
      write({ systemAttributes: { [key]: value } });
      systemAttributes[key] = value;
    },
    heartbeat: () => recordHeartbeat(db, frozen),
    store,
    write,
    discard: () => pending = [],
  };
}

/** A member by name, which may be "constructor". */
const own = <T>(record: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;

const describe = (distribution: Distribution): string => JSON.stringify(distribution);

const sameRange = (a: Distribution, b: Distribution): boolean =>
  a.type === "categorical" || b.type === "categorical" ||
  (a.low === b.low && a.high === b.high && (a.step ?? null) === (b.step ?? null));
