/** An open study: what can be done with it, and how. `study.ts` opens one. */
import { inputError } from "../support/errors.ts";
import { onCommit, type StudyDatabase, transaction } from "./database.ts";
import { defaultPruner, defaultSampler } from "./default_strategy.ts";
import { type LiveTrial, liveTrial, type Trial } from "./live_trial.ts";
import { optimize, type OptimizeOptions } from "./optimize.ts";
import { bestTrial, paretoFront } from "./best_trials.ts";
import type { Pruner } from "./pruners/pruner.ts";
import type { Sampler } from "./samplers/sampler.ts";
import type { Distribution, Params, SearchSpace } from "./space.ts";
import {
  insertTrial,
  readStudy,
  readTrial,
  setStudyAttribute,
  staleTrials,
  type StoredStudy,
  type TrialTemplate,
  updateTrial,
} from "./study_db.ts";
import type { Direction, FrozenTrial, StudyHistory } from "./trial.ts";
import { checkTemplate, endOf, hasParams, type Told } from "./trial_outcome.ts";
import { knownDistribution, readHistory, TRIAL_ID } from "./trial_reader.ts";

/** How to search. */
export interface StudyParts {
  /** How parameters are proposed. */
  sampler?: Sampler | undefined;
  /** How hopeless trials are told. */
  pruner?: Pruner | undefined;
  /** Is told what is odd but no error. Not given: `console.warn`. */
  onWarning?: ((message: string) => void) | undefined;
}

/** A study that is open. */
export interface Study extends Disposable {
  readonly studyName: string;
  /** One per objective. */
  readonly directions: readonly Direction[];
  /** The only one. @throws an input error in a study of several objectives */
  readonly direction: Direction;
  /** The database that it is in. */
  readonly database: StudyDatabase;
  /** The study as it is stored now. */
  readonly stored: StoredStudy;
  readonly userAttributes: Readonly<Record<string, unknown>>;
  readonly systemAttributes: Readonly<Record<string, unknown>>;
  readonly sampler: Sampler;
  readonly pruner: Pruner;
  /**
   * All trials by number, also those that other programs have added meanwhile. Trials that have ended are the same objects
   * each time.
   */
  readonly trials: readonly FrozenTrial[];
  /** The trials as samplers and pruners see them. */
  readonly history: StudyHistory;
  /**
   * The COMPLETE trial with the best value, the earliest among equals.
   *
   * @throws an input error where there is none yet, or in a study of several objectives
   */
  readonly bestTrial: FrozenTrial;
  /** Its value. */
  readonly bestValue: number;
  /** Its parameters. */
  readonly bestParams: Params;
  /** The Pareto front: the trials that no other one dominates. Of one objective: all that share the best value. */
  readonly bestTrials: readonly FrozenTrial[];
  /** Whether the sampler has nothing left to propose (a grid that is finished). */
  readonly exhausted: boolean;

  /**
   * Begins a trial: the first that waits in the queue (`enqueueTrial`), else a new one.
   *
   * @param define Suggests parameters at once, which are then stored with the trial in one transaction, and throws to begin
   *   none: a space, of which all are suggested, or a function that asks for them one by one (conditional ones, say). It
   *   must not wait for anything.
   */
  ask(define?: SearchSpace | ((trial: Trial) => void)): Trial;
  /**
   * Ends a trial, and returns it as it is stored. A NaN, or another number of values than the study has objectives, makes it
   * FAIL with a warning; a PRUNED trial has its last intermediate value for its value.
   *
   * @param trial The trial, or its number.
   * @param options.userAttributes Stored in the same transaction.
   * @throws an input error for a trial that is not RUNNING
   */
  tell(
    trial: Trial | number,
    told: Told,
    options?: { userAttributes?: Readonly<Record<string, unknown>> },
  ): FrozenTrial;
  /**
   * Runs trials one after another: asks, runs `objective`, tells what it returns. The end of one trial and the beginning of
   * the next are one transaction. A queue of enqueued trials comes first; a sampler with nothing left to propose ends it.
   *
   * @param objective Returns the trial's value or values, or the state that it ends with. Where it throws, the trial is
   *   FAIL, and the error is thrown again unless `catchErrors`.
   * @throws what `objective` threw, or the signal's reason; the trial that the signal interrupts stays RUNNING
   */
  optimize(objective: (trial: Trial) => Told | Promise<Told>, options: OptimizeOptions): Promise<void>;
  /**
   * The handle of a RUNNING trial that another run of the program began: suggestions that are stored are given again.
   *
   * @throws an input error for a trial that is not RUNNING
   */
  continueTrial(number: number): Trial;
  /**
   * Puts a trial with these parameters into the queue; parameters that are not given are sampled.
   *
   * @param options.skipIfExists Unless there is one with the same parameters.
   */
  enqueueTrial(params: Params, options?: EnqueueOptions): void;
  /**
   * Adds a trial that ran elsewhere: of an earlier study, say. It gets the next number, and no uuid.
   *
   * @throws an input error for a trial that could not have been: COMPLETE without values, a parameter without a distribution
   *   or outside it or of another kind than in this study, another number of objectives
   */
  addTrial(trial: TrialTemplate): void;
  /**
   * Adds all of them as they are or, where one is refused, none. A warm start from an earlier study:
   * `study.addTrials(earlier.trials.filter(({ state }) => state === "COMPLETE"))`.
   */
  addTrials(trials: Iterable<TrialTemplate>): void;
  /** Stores something to remember with the study; any JSON. */
  setUserAttribute(key: string, value: unknown): void;
  /** Stores one of Optuna's own notes. */
  setSystemAttribute(key: string, value: unknown): void;
  /**
   * RUNNING trials whose program no longer lives, as it seems: their last `trial.heartbeat()` is longer ago than this. One
   * without any heartbeat is never among them, as in Optuna.
   */
  staleTrials(graceSeconds: number): readonly FrozenTrial[];
}

/** Options of `enqueueTrial`. */
export interface EnqueueOptions {
  userAttributes?: Readonly<Record<string, unknown>>;
  /** Stored beside `fixed_params`: a retry's `retry_history`, say. */
  systemAttributes?: Readonly<Record<string, unknown>>;
  skipIfExists?: boolean;
}

/** The study of a row, in a database that its owner closes. */
export function openStudy(db: StudyDatabase, opened: StoredStudy, options: StudyParts): Study {
  const { row, id: studyName, directions } = opened;
  const sampler = options.sampler ?? defaultSampler(studyName);
  const pruner = options.pruner ?? defaultPruner();
  const warn = options.onWarning ?? ((message: string) => console.warn(message));
  /** Trials that this process runs. */
  const running = new Set<Trial>();
  const history = (): StudyHistory => ({ studyName, directions, trials: readHistory(db, row) });

  const handleOf = (frozen: FrozenTrial, before: StudyHistory): LiveTrial => {
    const context = { db, study: opened, sampler, pruner, history: before, currentHistory: history, warn };
    const trial = liveTrial(context, frozen);
    running.add(trial);
    return trial;
  };
  const requireRunning = (number: number): FrozenTrial => {
    const found = readHistory(db, row).find((trial) => trial.number === number);
    if (found?.state === "RUNNING") return found;
    throw inputError(
      `trial ${number} of study ${studyName} is ${found?.state ?? "not there"}`,
      "Only a RUNNING trial goes on, and it ends once.",
    );
  };

  /** The first trial of the queue, or a new one, RUNNING. */
  const begin = ({ trials }: StudyHistory): FrozenTrial => {
    const waiting = trials.find(({ state }) => state === "WAITING");
    const id = { [TRIAL_ID]: crypto.randomUUID() };
    if (waiting !== undefined) {
      updateTrial(db, opened, waiting, { state: "RUNNING", userAttributes: waiting.id === null ? id : {} });
      return readTrial(db, opened, waiting.row);
    }
    const row = insertTrial(db, opened, { state: "RUNNING", started: new Date().toISOString(), userAttributes: id });
    return readTrial(db, opened, row);
  };
  const ask = (define?: SearchSpace | ((trial: Trial) => void)): Trial => {
    let trial: LiveTrial | undefined;
    try {
      return transaction(db, () => {
        const before = history();
        trial = handleOf(begin(before), before);
        if (typeof define === "function") define(trial);
        else for (const [name, one] of Object.entries(define ?? {})) trial.suggest(name, one);
        trial.store();
        return trial;
      });
    } catch (error) {
      if (trial !== undefined) {
        trial.discard();
        running.delete(trial);
      }
      throw error;
    }
  };

  const tell: Study["tell"] = (trial, told, { userAttributes = {} } = {}) => {
    const number = typeof trial === "number" ? trial : trial.number;
    const frozen = requireRunning(number);
    const ending = endOf(told, frozen, directions, (message) => warn(`trial ${number} fails: ${message}`));
    const update = { ...ending, userAttributes };
    const handle = typeof trial === "number" ? [...running].find((one) => one.number === number) : trial;
    if (handle === undefined) updateTrial(db, opened, frozen, update);
    else if (running.has(handle)) (handle as LiveTrial).write(update);
    else throw inputError(`trial ${number} is not of study ${studyName}`, "Tell the study that was asked for it.");
    if (handle !== undefined) onCommit(db, () => running.delete(handle));
    return readHistory(db, row)[number]!;
  };

  const addTrials = (trials: Iterable<TrialTemplate>) => {
    const added = new Map<string, Distribution>();
    const known = (name: string) => knownDistribution(db, row, name) ?? added.get(name);
    transaction(db, () => {
      for (const trial of trials) {
        insertTrial(db, opened, checkTemplate(trial, directions, known));
        for (const [name, one] of Object.entries(trial.distributions ?? {})) if (!added.has(name)) added.set(name, one);
      }
    });
  };

  const isExhausted = () => sampler.exhausted?.(history()) ?? false;
  const best = (): FrozenTrial => {
    requireOne(opened);
    const found = bestTrial(readHistory(db, row), directions[0]!);
    if (found === undefined) throw inputError(`study ${studyName} has no completed trial`, "Run one first.");
    return found;
  };

  return {
    studyName,
    directions,
    get direction() {
      return requireOne(opened);
    },
    database: db,
    get stored() {
      return readStudy(db, row);
    },
    get userAttributes() {
      return readStudy(db, row).userAttributes;
    },
    get systemAttributes() {
      return readStudy(db, row).systemAttributes;
    },
    sampler,
    pruner,
    get trials() {
      return readHistory(db, row);
    },
    get history() {
      return history();
    },
    get bestTrial() {
      return best();
    },
    get bestValue() {
      return best().values![0]!;
    },
    get bestParams() {
      return best().params;
    },
    get bestTrials() {
      return paretoFront(readHistory(db, row), directions);
    },
    get exhausted() {
      return isExhausted();
    },
    ask,
    tell,
    optimize: (objective, limits) => optimize({ db, ask, tell, isExhausted, warn }, objective, limits),
    continueTrial: (number) => handleOf(requireRunning(number), history()),
    enqueueTrial: (params, { userAttributes = {}, systemAttributes = {}, skipIfExists = false } = {}) => {
      if (skipIfExists && readHistory(db, row).some((trial) => hasParams(trial, params))) return;
      addTrials([{
        state: "WAITING",
        userAttributes,
        systemAttributes: { ...systemAttributes, fixed_params: params },
      }]);
    },
    addTrial: (trial) => addTrials([trial]),
    addTrials,
    setUserAttribute: (key, value) => setStudyAttribute(db, opened, key, value),
    setSystemAttribute: (key, value) => setStudyAttribute(db, opened, key, value, "system"),
    staleTrials: (graceSeconds) => staleTrials(db, opened, graceSeconds),
    [Symbol.dispose]: () => running.forEach((trial) => trial.store()),
  };
}

function requireOne({ id, directions }: StoredStudy): Direction {
  if (directions.length === 1) return directions[0]!;
  throw inputError(`study ${id} has ${directions.length} objectives`, "Use directions and bestTrials.");
}
