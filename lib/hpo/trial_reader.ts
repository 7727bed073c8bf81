/**
 * Trials out of Optuna's tables. A finished trial never changes, so it is read once and is the same object from then on;
 * of the others those are read again that this process has written to, and all of them when another one has written.
 */
import { guarded, onCommit, snapshot, statement, type StudyDatabase } from "./database.ts";
import { fromDatetime, fromValueRow, parseAttribute } from "./optuna_values.ts";
import { type Distribution, fromInternal, fromOptunaJson } from "./space.ts";
import { FINISHED, type FrozenTrial, type TrialState } from "./trial.ts";

/** The attribute that holds a trial's uuid. */
export const TRIAL_ID = "winnow:trial_id";

/** What is known of a study's trials. */
interface Known {
  /** SQLite's counter of other connections' commits when this was read. */
  version: number;
  /** By number. Never changed but replaced. */
  trials: readonly FrozenTrial[];
  /** The newest row that was read. */
  last: number;
  /** A distribution that each parameter has had, and in which row. */
  distributions: Map<string, { row: number; distribution: Distribution }>;
  /** Rows that this connection has written to since, and a mark of the last write. */
  touched: Map<number, symbol>;
}

/** By database and row of the study. */
const known = new WeakMap<StudyDatabase, Map<number, Known>>();

function knownOf(db: StudyDatabase, study: number): Known {
  let studies = known.get(db);
  if (studies === undefined) known.set(db, studies = new Map());
  let found = studies.get(study);
  if (found === undefined) {
    studies.set(study, found = { version: -1, trials: [], last: 0, distributions: new Map(), touched: new Map() });
  }
  return found;
}

/** Marks a trial as written to: its next reading is from the file. */
export function touch(db: StudyDatabase, study: number, row: number): void {
  knownOf(db, study).touched.set(row, Symbol());
}

const dataVersion = (db: StudyDatabase) => Number(statement(db, "PRAGMA data_version").get()!["data_version"]);

/** A study's trials by number; the same array where nothing has changed, the same objects where a trial has ended. */
export function readHistory(db: StudyDatabase, study: number): readonly FrozenTrial[] {
  return refreshed(db, study).trials;
}

/** The distribution that a study's trials have had for a parameter, or undefined. */
export function knownDistribution(db: StudyDatabase, study: number, name: string): Distribution | undefined {
  return refreshed(db, study).distributions.get(name)?.distribution;
}

function refreshed(db: StudyDatabase, study: number): Known {
  const found = knownOf(db, study);
  if (found.touched.size === 0 && guarded(db, () => dataVersion(db)) === found.version) return found;
  const written = [...found.touched];
  snapshot(db, () => {
    const version = dataVersion(db);
    const again = new Set(written.map(([row]) => row));
    if (version !== found.version) {
      for (const { row, state } of found.trials) if (!FINISHED.has(state)) again.add(row);
    }
    const changed = found.version === -1
      ? readTrials(db, study)
      : [...again].filter((row) => row <= found.last).flatMap((row) => readTrials(db, study, { row }));
    if (found.version !== -1) changed.push(...readTrials(db, study, { after: found.last }));
    found.trials = merged(found.trials, again, changed);
    found.last = changed.reduce((last, { row }) => Math.max(last, row), found.last);
    learnDistributions(found, again, changed);
    found.version = version;
  });
  // What was read within a transaction of ours may be undone, and is read again then.
  onCommit(db, () => {
    for (const [row, mark] of written) if (found.touched.get(row) === mark) found.touched.delete(row);
  });
  return found;
}

/** Adds the distributions of trials that were read; of one that is gone (a transaction undone) they are forgotten. */
function learnDistributions(
  { distributions, trials }: Known,
  again: ReadonlySet<number>,
  changed: readonly FrozenTrial[],
): void {
  const present = new Map(changed.map((trial) => [trial.row, trial]));
  const isGone = ([name, { row }]: [string, { row: number }]) =>
    again.has(row) && !Object.hasOwn(present.get(row)?.distributions ?? {}, name);
  const anew = [...distributions].some(isGone);
  if (anew) distributions.clear();
  for (const { row, distributions: own } of anew ? trials : changed) {
    for (const [name, distribution] of Object.entries(own)) {
      if (!distributions.has(name)) distributions.set(name, { row, distribution });
    }
  }
}

/** The trials with those of the rows `again` replaced by what was read of them now; one that is no longer there goes. */
function merged(
  trials: readonly FrozenTrial[],
  again: ReadonlySet<number>,
  changed: readonly FrozenTrial[],
): readonly FrozenTrial[] {
  const result = trials.slice();
  let replaced = 0;
  for (const trial of changed) {
    if (again.has(trial.row) && result[trial.number]?.row === trial.row) replaced++;
    else if (trial.number !== result.length) replaced = NaN; // not as numbered: see below
    result[trial.number] = trial;
  }
  const expected = trials.reduce((count, { row }) => count + (again.has(row) ? 1 : 0), 0);
  if (replaced === expected) return result;
  const read = new Set(changed.map(({ row }) => row));
  const kept = trials.filter(({ row }) => !again.has(row) && !read.has(row));
  return [...kept, ...changed].sort((a, b) => a.number - b.number || a.row - b.row);
}

type Row = Record<string, string | number | null>;

/**
 * Reads a study's trials from the file, by number: all of them, the one in `row`, or those in rows above `after`.
 * Parameters are in the order in which they were suggested, as Optuna gives them.
 */
export function readTrials(
  db: StudyDatabase,
  study: number,
  { row, after }: { row?: number; after?: number } = {},
): FrozenTrial[] {
  const [where, key] = row !== undefined
    ? ["t.trial_id = ?", row]
    : after !== undefined
    ? ["t.trial_id > ?", after]
    : ["t.trial_id > ?", 0];
  const children = (columns: string, table: string, order: string) => {
    const rows = statement(
      db,
      `SELECT c.trial_id, ${columns} FROM trials t JOIN ${table} c USING (trial_id) ` +
        `WHERE t.study_id = ? AND ${where} ORDER BY ${order}`,
    ).all(study, key) as Row[];
    return Map.groupBy(rows, (one) => one["trial_id"]);
  };
  return snapshot(db, () => {
    const trials = statement(db, `SELECT * FROM trials t WHERE t.study_id = ? AND ${where} ORDER BY number, trial_id`)
      .all(study, key) as Row[];
    if (trials.length === 0) return [];
    const params = children("param_name, param_value, distribution_json", "trial_params", "param_id");
    const values = children("value, value_type", "trial_values", "objective");
    const reports = children("step, intermediate_value, intermediate_value_type", "trial_intermediate_values", "step");
    const user = children("key, value_json", "trial_user_attributes", "trial_user_attribute_id");
    const system = children("key, value_json", "trial_system_attributes", "trial_system_attribute_id");
    return trials.map((trial): FrozenTrial => {
      const of = (groups: Map<string | number | null | undefined, Row[]>) => groups.get(trial["trial_id"]) ?? [];
      const distributions = Object.fromEntries(
        of(params).map((one) => [one["param_name"], distributionOf(String(one["distribution_json"]))]),
      );
      const userAttributes = attributes(of(user));
      const id = userAttributes[TRIAL_ID];
      return {
        row: Number(trial["trial_id"]),
        number: Number(trial["number"]),
        id: typeof id === "string" ? id : null,
        state: trial["state"] as TrialState,
        params: Object.fromEntries(
          of(params).map((one) => {
            const name = String(one["param_name"]);
            return [name, fromInternal(distributions[name]!, Number(one["param_value"]))];
          }),
        ),
        distributions,
        values: of(values).length === 0
          ? null
          : of(values).map((one) => fromValueRow(one["value"] as number | null, String(one["value_type"]))),
        intermediate: of(reports).map((one) => ({
          step: Number(one["step"]),
          value: fromValueRow(one["intermediate_value"] as number | null, String(one["intermediate_value_type"])),
        })),
        userAttributes,
        systemAttributes: attributes(of(system)),
        started: trial["datetime_start"] === null ? null : fromDatetime(String(trial["datetime_start"])),
        completed: trial["datetime_complete"] === null ? null : fromDatetime(String(trial["datetime_complete"])),
      };
    });
  });
}

const attributes = (rows: readonly Row[]): Record<string, unknown> =>
  Object.fromEntries(rows.map((one) => [one["key"], parseAttribute(String(one["value_json"]))]));

/** Distributions by their JSON, of which a study has few and its trials many. */
const parsed = new Map<string, Distribution>();

function distributionOf(json: string): Distribution {
  let found = parsed.get(json);
  if (found === undefined) {
    if (parsed.size >= 10_000) parsed.clear(); // ranges that change with every trial
    parsed.set(json, found = fromOptunaJson(json));
  }
  return found;
}
