/**
 * Studies and trials in Optuna's tables. Users see uuids: a study's is Optuna's study name, a trial's is its attribute
 * `winnow:trial_id`; rows have Optuna's own integer ids besides.
 *
 * A trial is created in one transaction and finished in another, so that a process killed at any instant leaves it
 * absent, RUNNING or finished, with all that belongs to that.
 */
import { inputError } from "../support/errors.ts";
import { guarded, snapshot, type StudyDatabase, transaction } from "./database.ts";
import { fromDatetime, fromValueRow, parseAttribute, toDatetime, toValueRow } from "./optuna_values.ts";
import {
  type Distribution,
  fromInternal,
  fromOptunaJson,
  type Params,
  type SearchSpace,
  toInternal,
  toOptunaJson,
} from "./space.ts";

export { openStudyDatabase, type StudyDatabase } from "./database.ts";

/** The attribute that holds a trial's uuid. */
const TRIAL_ID = "winnow:trial_id";

/** Which side of the objective is better. */
export type Direction = "maximize" | "minimize";

/** A study as stored. */
export interface Study {
  /** Optuna's integer key. */
  row: number;
  /** The uuid that users see; Optuna's study name. */
  id: string;
  direction: Direction;
  attributes: Record<string, unknown>;
}

/** Where a trial stands; Optuna's names. */
export type TrialState = "RUNNING" | "COMPLETE" | "PRUNED" | "FAIL" | "WAITING";

/** A trial as stored. */
export interface Trial {
  /** Optuna's integer key. */
  row: number;
  /** Position in the study, from 0. */
  number: number;
  /** The uuid that users see, or null for a trial that Optuna itself has added. */
  id: string | null;
  state: TrialState;
  params: Params;
  distributions: Record<string, Distribution>;
  /** The objective, or null if there is none (yet). */
  value: number | null;
  /** The objective after each epoch, ascending. */
  intermediate: { epoch: number; value: number }[];
  attributes: Record<string, unknown>;
  /** ISO 8601, UTC. */
  started: string | null;
  completed: string | null;
}

type Row = Record<string, string | number | null>;

/** All rows of a query, with SQLite's failures explained. */
const select = (db: StudyDatabase, sql: string, ...values: (string | number)[]): Row[] =>
  guarded(db, (connection) => connection.prepare(sql).all(...values) as Row[]);

/** Creates a study with its attributes; `id` becomes Optuna's study name. */
export function createStudy(
  db: StudyDatabase,
  { id = crypto.randomUUID(), direction, attributes = {} }: {
    id?: string;
    direction: Direction;
    attributes?: Record<string, unknown>;
  },
): Study {
  return transaction(db, (connection) => {
    const { lastInsertRowid } = connection.prepare("INSERT INTO studies (study_name) VALUES (?)").run(id);
    const row = Number(lastInsertRowid);
    connection.prepare("INSERT INTO study_directions (study_id, direction, objective) VALUES (?, ?, 0)")
      .run(row, direction.toUpperCase());
    const insert = connection.prepare("INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (?, ?, ?)");
    for (const [key, value] of Object.entries(attributes)) insert.run(row, key, JSON.stringify(value ?? null));
    return { row, id, direction, attributes };
  });
}

/** All studies with one objective, oldest first. */
export function listStudies(db: StudyDatabase): Study[] {
  const rows = select(
    db,
    "SELECT s.study_id AS row, s.study_name AS id, d.direction FROM studies s JOIN study_directions d USING (study_id) " +
      "WHERE d.objective = 0 AND d.direction IN ('MAXIMIZE', 'MINIMIZE') ORDER BY s.study_id",
  );
  return rows.map(({ row, id, direction }) => ({
    row: Number(row),
    id: String(id),
    direction: direction === "MAXIMIZE" ? "maximize" : "minimize",
    attributes: Object.fromEntries(
      select(db, "SELECT key, value_json FROM study_user_attributes WHERE study_id = ?", Number(row))
        .map((one) => [String(one["key"]), parseAttribute(String(one["value_json"]))]),
    ),
  }));
}

/**
 * The study with this id, or the newest one.
 *
 * @throws an input error that names the known studies.
 */
export function findStudy(db: StudyDatabase, id?: string): Study {
  const studies = listStudies(db);
  const found = id === undefined ? studies.at(-1) : studies.find((study) => study.id === id);
  if (found !== undefined) return found;
  const newest = studies.slice(-5).reverse().map((study) => study.id).join(", ");
  throw inputError(
    id === undefined ? `no study in ${db.path}` : `no study ${id} in ${db.path}`,
    newest === "" ? "Start one with `deno task train`." : `Give the id of a known study, the newest first: ${newest}.`,
  );
}

/**
 * Adds a RUNNING trial with its parameters and a new uuid; its number is the count of trials before it.
 *
 * @param space The distributions that the parameters were drawn from; each parameter needs one.
 */
export function createTrial(db: StudyDatabase, study: Study, space: SearchSpace, params: Params): Trial {
  const row = transaction(db, (connection) => {
    const number = connection.prepare("SELECT count(*) AS count FROM trials WHERE study_id = ?").get(study.row);
    const { lastInsertRowid } = connection.prepare(
      "INSERT INTO trials (number, study_id, state, datetime_start) VALUES (?, ?, 'RUNNING', ?)",
    ).run(Number(number!["count"]), study.row, toDatetime(new Date()));
    const insert = connection.prepare(
      "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)",
    );
    for (const [name, value] of Object.entries(params)) {
      const distribution = space[name];
      if (distribution === undefined) throw new RangeError(`Expected a distribution for parameter "${name}"`);
      insert.run(lastInsertRowid, name, toInternal(distribution, value), toOptunaJson(distribution));
    }
    upsertAttribute(connection, Number(lastInsertRowid), TRIAL_ID, crypto.randomUUID());
    return Number(lastInsertRowid);
  });
  return listTrials(db, study, row)[0]!;
}

type Connection = StudyDatabase["connection"];

function upsertAttribute(connection: Connection, trialRow: number, key: string, value: unknown): void {
  connection.prepare(
    "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?) " +
      "ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json",
  ).run(trialRow, key, JSON.stringify(value ?? null));
}

/** Refuses to touch a trial that is finished, as Optuna does. */
function requireUnfinished(connection: Connection, trial: Pick<Trial, "row">): void {
  const found = connection.prepare("SELECT state FROM trials WHERE trial_id = ?").get(trial.row);
  if (found?.["state"] !== "RUNNING" && found?.["state"] !== "WAITING") {
    throw new RangeError(`Expected an unfinished trial but found ${found?.["state"] ?? "none"} in row ${trial.row}`);
  }
}

/**
 * Stores the objective after an epoch. A resumed trial may report an epoch again: the newer value replaces the older,
 * no epoch is there twice.
 */
export function reportIntermediate(db: StudyDatabase, trial: Pick<Trial, "row">, epoch: number, value: number): void {
  if (!Number.isSafeInteger(epoch) || epoch < 0) throw new RangeError(`Expected an epoch from 0 but found ${epoch}`);
  const row = toValueRow(value);
  transaction(db, (connection) => {
    requireUnfinished(connection, trial);
    connection.prepare(
      "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) " +
        "VALUES (?, ?, ?, ?) ON CONFLICT (trial_id, step) DO UPDATE SET " +
        "intermediate_value = excluded.intermediate_value, intermediate_value_type = excluded.intermediate_value_type",
    ).run(trial.row, epoch, row.value, row.type);
  });
}

/** Stores an attribute of a trial, in place of an earlier one of that key. */
export function setTrialAttribute(db: StudyDatabase, trial: Pick<Trial, "row">, key: string, value: unknown): void {
  guarded(db, (connection) => upsertAttribute(connection, trial.row, key, value));
}

/** How a trial ended: with a value, or without. */
export type Outcome = { state: "COMPLETE"; value: number } | { state: "FAIL" };

/**
 * Ends a trial: state, objective, attributes and time in one transaction.
 *
 * @throws a RangeError for a value that is not finite (Optuna stores none; such a trial is FAIL) or a finished trial.
 */
export function finishTrial(
  db: StudyDatabase,
  trial: Pick<Trial, "row">,
  outcome: Outcome,
  attributes: Record<string, unknown> = {},
): void {
  transaction(db, (connection) => {
    requireUnfinished(connection, trial);
    if (outcome.state === "COMPLETE") {
      if (!Number.isFinite(outcome.value)) throw new RangeError(`Expected a finite value but found ${outcome.value}`);
      connection.prepare("INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, 0, ?, 'FINITE')")
        .run(trial.row, outcome.value);
    }
    for (const [key, value] of Object.entries(attributes)) upsertAttribute(connection, trial.row, key, value);
    connection.prepare("UPDATE trials SET state = ?, datetime_complete = ? WHERE trial_id = ?")
      .run(outcome.state, toDatetime(new Date()), trial.row);
  });
}

/** The study's trials in order of their numbers; with `row` only the one in that row. */
export function listTrials(db: StudyDatabase, study: Study, row?: number): Trial[] {
  const where = "WHERE t.study_id = ?" + (row === undefined ? "" : " AND t.trial_id = ?");
  const keys = row === undefined ? [study.row] : [study.row, row];
  const join = (columns: string, table: string, order: string) =>
    Map.groupBy(
      select(
        db,
        `SELECT ${columns}, trial_id FROM ${table} JOIN trials t USING (trial_id) ${where} ORDER BY ${order}`,
        ...keys,
      ),
      (one) => one["trial_id"],
    );
  return snapshot(db, () => {
    const params = join("param_name, param_value, distribution_json", "trial_params", "param_id");
    const values = join("value, value_type", "trial_values", "objective DESC");
    const reports = join("step, intermediate_value, intermediate_value_type", "trial_intermediate_values", "step");
    const attributes = join("key, value_json", "trial_user_attributes", "trial_user_attribute_id");
    return select(db, `SELECT * FROM trials t ${where} ORDER BY t.number, t.trial_id`, ...keys).map((trial) => {
      const key = trial["trial_id"]!;
      const distributions = Object.fromEntries(
        (params.get(key) ?? []).map((one) => [one["param_name"], fromOptunaJson(String(one["distribution_json"]))]),
      );
      const found = Object.fromEntries(
        (attributes.get(key) ?? []).map((one) => [one["key"], parseAttribute(String(one["value_json"]))]),
      );
      const value = values.get(key)?.at(-1);
      const id = found[TRIAL_ID];
      return {
        row: Number(key),
        number: Number(trial["number"]),
        id: typeof id === "string" ? id : null,
        state: trial["state"] as TrialState,
        params: Object.fromEntries(
          (params.get(key) ?? []).map((one) => {
            const name = String(one["param_name"]);
            return [name, fromInternal(distributions[name]!, Number(one["param_value"]))];
          }),
        ),
        distributions,
        value: value === undefined ? null : fromValueRow(value["value"] as number | null, String(value["value_type"])),
        intermediate: (reports.get(key) ?? []).map((one) => ({
          epoch: Number(one["step"]),
          value: fromValueRow(one["intermediate_value"] as number | null, String(one["intermediate_value_type"])),
        })),
        attributes: found,
        started: trial["datetime_start"] === null ? null : fromDatetime(String(trial["datetime_start"])),
        completed: trial["datetime_complete"] === null ? null : fromDatetime(String(trial["datetime_complete"])),
      };
    });
  });
}

/** The trial with this uuid in any study, and its study; undefined if there is none. */
export function findTrial(db: StudyDatabase, id: string): { study: Study; trial: Trial } | undefined {
  for (const study of listStudies(db)) {
    const trial = listTrials(db, study).find((one) => one.id === id);
    if (trial !== undefined) return { study, trial };
  }
  return undefined;
}

/** The COMPLETE trial with the best value, the earliest among equals; trials that Optuna itself added do not count. */
export function bestTrial(trials: readonly Trial[], direction: Direction): Trial | undefined {
  const sign = direction === "maximize" ? 1 : -1;
  let best: Trial | undefined;
  for (const trial of trials) {
    if (trial.state !== "COMPLETE" || trial.value === null || trial.id === null) continue;
    if (best === undefined || sign * trial.value > sign * best.value!) best = trial;
  }
  return best;
}
