/**
 * Studies and trials in Optuna's tables. Users see names and uuids: a study that a command starts has a uuid for a name, a
 * trial's uuid is its attribute `winnow:trial_id`; rows have Optuna's own integer ids besides.
 *
 * A trial is created in one transaction and finished in another, so that a process killed at any instant leaves it
 * absent, RUNNING or finished, with all that belongs to that. All functions may be part of a larger `transaction`.
 */
import { inputError } from "../support/errors.ts";
import { guarded, statement, type StudyDatabase, transaction } from "./database.ts";
import { parseAttribute, toDatetime, toValueRow, writeAttribute } from "./optuna_values.ts";
import { contains, type Distribution, type Params, type SearchSpace, toInternal, toOptunaJson } from "./space.ts";
import { type Direction, FINISHED, type FrozenTrial, type TrialState } from "./trial.ts";
import { readHistory, readTrials, touch, TRIAL_ID } from "./trial_reader.ts";

export { openForReading, openStudyDatabase, type StudyDatabase } from "./database.ts";
export type { Direction, FrozenTrial, TrialState } from "./trial.ts";

/** A study as stored. */
export interface StoredStudy {
  /** Optuna's integer key. */
  readonly row: number;
  /** What users call it; Optuna's study name. */
  readonly id: string;
  /** One per objective. */
  readonly directions: readonly Direction[];
  readonly userAttributes: Readonly<Record<string, unknown>>;
  readonly systemAttributes: Readonly<Record<string, unknown>>;
}

/** A study or a trial by its row. */
type Row = Readonly<{ row: number }>;

/** Creates a study with its user attributes; `id` becomes Optuna's study name. */
export function createStudy(
  db: StudyDatabase,
  { id = crypto.randomUUID(), directions, attributes = {} }: {
    id?: string;
    directions: readonly Direction[];
    attributes?: Readonly<Record<string, unknown>>;
  },
): StoredStudy {
  return transaction(db, () => {
    const row = Number(statement(db, "INSERT INTO studies (study_name) VALUES (?)").run(id).lastInsertRowid);
    const insert = statement(db, "INSERT INTO study_directions (study_id, direction, objective) VALUES (?, ?, ?)");
    for (const [objective, direction] of directions.entries()) insert.run(row, direction.toUpperCase(), objective);
    for (const [key, value] of Object.entries(attributes)) setStudyAttribute(db, { row }, key, value);
    return readStudy(db, row);
  });
}

/** Which of the two kinds of attributes: the user's own, or those that Optuna and its tools keep for themselves. */
export type AttributeKind = "user" | "system";

/** Stores an attribute of a study, in place of an earlier one of that key. */
export function setStudyAttribute(
  db: StudyDatabase,
  study: Row,
  key: string,
  value: unknown,
  kind: AttributeKind = "user",
): void {
  guarded(db, () => upsertAttribute(db, `study_${kind}_attributes`, "study_id", study.row, key, value));
}

function upsertAttribute(
  db: StudyDatabase,
  table: `${"study" | "trial"}_${AttributeKind}_attributes`,
  owner: "study_id" | "trial_id",
  row: number,
  key: string,
  value: unknown,
): void {
  statement(
    db,
    `INSERT INTO ${table} (${owner}, key, value_json) VALUES (?, ?, ?) ` +
      `ON CONFLICT (${owner}, key) DO UPDATE SET value_json = excluded.value_json`,
  ).run(row, key, writeAttribute(value));
}

const studyAttributes = (db: StudyDatabase, row: number, kind: AttributeKind): Record<string, unknown> =>
  Object.fromEntries(
    statement(db, `SELECT key, value_json FROM study_${kind}_attributes WHERE study_id = ? ORDER BY 1`).all(row)
      .map((one) => [String(one["key"]), parseAttribute(String(one["value_json"]))]),
  );

/** A study as it is stored now. */
export function readStudy(db: StudyDatabase, row: number): StoredStudy {
  return guarded(db, () => {
    const id = statement(db, "SELECT study_name FROM studies WHERE study_id = ?").get(row)?.["study_name"];
    if (id === undefined) throw inputError(`no study in row ${row} of ${db.path}`, "It was deleted: start a new one.");
    const directions = statement(db, "SELECT direction FROM study_directions WHERE study_id = ? ORDER BY objective")
      .all(row).map(({ direction }): Direction => direction === "MAXIMIZE" ? "maximize" : "minimize");
    return {
      row,
      id: String(id),
      directions,
      userAttributes: studyAttributes(db, row, "user"),
      systemAttributes: studyAttributes(db, row, "system"),
    };
  });
}

/** All studies, oldest first; without those for which Optuna has never been told a direction. */
export function listStudies(db: StudyDatabase): StoredStudy[] {
  const rows = guarded(db, () =>
    statement(
      db,
      "SELECT study_id FROM studies s WHERE EXISTS (SELECT * FROM study_directions d WHERE d.study_id = s.study_id) " +
        "AND NOT EXISTS (SELECT * FROM study_directions d WHERE d.study_id = s.study_id AND direction = 'NOT_SET') " +
        "ORDER BY study_id",
    ).all());
  return rows.map((one) => readStudy(db, Number(one["study_id"])));
}

/**
 * The study with this id, or the newest one.
 *
 * @throws an input error that names the known studies.
 */
export function findStudy(db: StudyDatabase, id?: string): StoredStudy {
  const studies = listStudies(db);
  const found = id === undefined ? studies.at(-1) : studies.find((study) => study.id === id);
  if (found !== undefined) return found;
  const newest = studies.slice(-5).reverse().map((study) => study.id).join(", ");
  throw inputError(
    id === undefined ? `no study in ${db.path}` : `no study ${id} in ${db.path}`,
    newest === "" ? "Start one with `deno task train`." : `Give the id of a known study, the newest first: ${newest}.`,
  );
}

/** What a trial is created from: all that is not given is empty. */
export type TrialTemplate = Partial<Omit<FrozenTrial, "row" | "number" | "id">> & Pick<FrozenTrial, "state">;

/** Adds a trial as it is given and returns its row; its number is the count of the study's trials before it. */
export function insertTrial(db: StudyDatabase, study: Row, trial: TrialTemplate): number {
  return transaction(db, () => {
    const { lastInsertRowid } = statement(
      db,
      "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) " +
        "SELECT count(*), ?, ?, ?, ? FROM trials WHERE study_id = ?",
    ).run(study.row, trial.state, datetime(trial.started), datetime(trial.completed), study.row);
    const row = Number(lastInsertRowid);
    touch(db, study.row, row);
    insertParams(db, row, trial.params ?? {}, trial.distributions ?? {});
    insertValues(db, row, trial.values ?? []);
    for (const { step, value } of trial.intermediate ?? []) upsertIntermediate(db, row, step, value);
    for (const kind of ["user", "system"] as const) {
      for (const [key, value] of Object.entries(trial[`${kind}Attributes`] ?? {})) {
        upsertAttribute(db, `trial_${kind}_attributes`, "trial_id", row, key, value);
      }
    }
    return row;
  });
}

const datetime = (iso: string | null | undefined): string | null => iso ? toDatetime(new Date(iso)) : null;

function insertParams(db: StudyDatabase, row: number, params: Params, space: Readonly<SearchSpace>): void {
  const insert = statement(
    db,
    "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?) " +
      "ON CONFLICT (trial_id, param_name) DO NOTHING",
  );
  for (const [name, value] of Object.entries(params)) {
    const distribution = Object.hasOwn(space, name) ? space[name] : undefined;
    if (distribution === undefined) throw new RangeError(`Expected a distribution for parameter "${name}"`);
    insert.run(row, name, toInternal(distribution, value), toOptunaJson(distribution));
  }
}

function insertValues(db: StudyDatabase, row: number, values: readonly number[]): void {
  const insert = statement(
    db,
    "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, ?, ?, ?)",
  );
  for (const [objective, one] of values.entries()) {
    if (Number.isNaN(one)) throw new RangeError("Expected a value but found NaN");
    const { value, type } = toValueRow(one);
    insert.run(row, objective, value, type);
  }
}

function upsertIntermediate(db: StudyDatabase, row: number, step: number, one: number): void {
  if (!Number.isSafeInteger(step) || step < 0) throw new RangeError(`Expected a step from 0 but found ${step}`);
  const { value, type } = toValueRow(one);
  statement(
    db,
    "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) " +
      "VALUES (?, ?, ?, ?) ON CONFLICT (trial_id, step) DO UPDATE SET " +
      "intermediate_value = excluded.intermediate_value, intermediate_value_type = excluded.intermediate_value_type",
  ).run(row, step, value, type);
}

/**
 * Adds a RUNNING trial with its parameters and a new uuid.
 *
 * @param space The distributions that the parameters were drawn from; each parameter needs one.
 */
export function createTrial(db: StudyDatabase, study: Row, space: SearchSpace, params: Params): FrozenTrial {
  for (const [name, value] of Object.entries(params)) {
    if (space[name] && !contains(space[name], value)) {
      throw new RangeError(
        `Expected ${name} to be of ${JSON.stringify(space[name])} but found ${JSON.stringify(value)}`,
      );
    }
  }
  const row = insertTrial(db, study, {
    state: "RUNNING",
    params,
    distributions: space,
    userAttributes: { [TRIAL_ID]: crypto.randomUUID() },
    started: new Date().toISOString(),
  });
  return readTrial(db, study, row);
}

/** A trial as it is stored now. */
export function readTrial(db: StudyDatabase, study: Row, row: number): FrozenTrial {
  const found = readTrials(db, study.row, { row })[0];
  if (found === undefined) throw new RangeError(`Expected a trial in row ${row} of study ${study.row}`);
  return found;
}

/** What is written to a RUNNING trial at once. */
export interface TrialUpdate {
  /** New parameters; each needs one of `distributions`. One that is stored already stays as it is. */
  readonly params?: Params;
  readonly distributions?: Readonly<Record<string, Distribution>>;
  /** What it reported; a step that it had reported before gets the newer value. */
  readonly intermediate?: readonly { readonly step: number; readonly value: number }[];
  readonly userAttributes?: Readonly<Record<string, unknown>>;
  readonly systemAttributes?: Readonly<Record<string, unknown>>;
  /** Ends it, or (RUNNING) takes a waiting one up; the time is stored too. */
  readonly state?: TrialState;
  /** One per objective; none may be NaN. */
  readonly values?: readonly number[];
}

/**
 * Writes to a trial in one transaction: all, or nothing.
 *
 * @throws a RangeError when it is finished already, or of a value that it cannot have
 */
export function updateTrial(db: StudyDatabase, study: Row, trial: Row, update: TrialUpdate): void {
  const { row } = trial;
  transaction(db, () => {
    const found = statement(db, "SELECT state FROM trials WHERE trial_id = ?").get(row)?.["state"];
    if (found === undefined || FINISHED.has(found as TrialState)) {
      throw new RangeError(`Expected an unfinished trial but found ${found ?? "none"} in row ${row}`);
    }
    touch(db, study.row, row);
    insertParams(db, row, update.params ?? {}, update.distributions ?? {});
    insertValues(db, row, update.values ?? []);
    for (const { step, value } of update.intermediate ?? []) upsertIntermediate(db, row, step, value);
    for (const kind of ["user", "system"] as const) {
      for (const [key, value] of Object.entries(update[`${kind}Attributes`] ?? {})) {
        upsertAttribute(db, `trial_${kind}_attributes`, "trial_id", row, key, value);
      }
    }
    if (update.state === undefined) return;
    const time = FINISHED.has(update.state) ? "datetime_complete" : "datetime_start";
    statement(db, `UPDATE trials SET state = ?, ${time} = ? WHERE trial_id = ?`)
      .run(update.state, toDatetime(new Date()), row);
  });
}

/** How a trial ended. */
export type Outcome = { state: "COMPLETE" | "PRUNED"; value: number } | { state: "FAIL" };

/**
 * Ends a trial of a study with one objective: state, value, attributes and time in one transaction.
 *
 * @throws a RangeError for NaN (Optuna stores none; such a trial is FAIL) or a finished trial.
 */
export function finishTrial(
  db: StudyDatabase,
  study: Row,
  trial: Row,
  outcome: Outcome,
  userAttributes: Record<string, unknown> = {},
): void {
  const values = outcome.state === "FAIL" ? [] : [outcome.value];
  updateTrial(db, study, trial, { state: outcome.state, values, userAttributes });
}

/** Records that a trial is alive; other programs take a RUNNING trial for lost when this was long ago. */
export function recordHeartbeat(db: StudyDatabase, trial: Row): void {
  guarded(db, () =>
    statement(
      db,
      "INSERT INTO trial_heartbeats (trial_id, heartbeat) VALUES (?, CURRENT_TIMESTAMP) " +
        "ON CONFLICT (trial_id) DO UPDATE SET heartbeat = CURRENT_TIMESTAMP",
    ).run(trial.row));
}

/** The RUNNING trials whose last heartbeat is longer ago than this. One that has never had any is not among them. */
export function staleTrials(db: StudyDatabase, study: Row, graceSeconds: number): FrozenTrial[] {
  const stale = guarded(db, () =>
    statement(
      db,
      "SELECT trial_id FROM trials JOIN trial_heartbeats USING (trial_id) WHERE study_id = ? AND state = 'RUNNING' " +
        "AND unixepoch('now') - unixepoch(heartbeat) > ? ORDER BY trial_id",
    ).all(study.row, graceSeconds));
  return stale.map((one) => readTrial(db, study, Number(one["trial_id"])));
}

/** The study's trials in order of their numbers. */
export function listTrials(db: StudyDatabase, study: Row): readonly FrozenTrial[] {
  return readHistory(db, study.row);
}

/** The trial with this uuid in any study, and its study; undefined if there is none. */
export function findTrial(db: StudyDatabase, id: string): { study: StoredStudy; trial: FrozenTrial } | undefined {
  for (const study of listStudies(db)) {
    const trial = listTrials(db, study).find((one) => one.id === id);
    if (trial !== undefined) return { study, trial };
  }
  return undefined;
}
