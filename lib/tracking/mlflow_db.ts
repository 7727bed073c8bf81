/**
 * Runs in MLflow's own SQLite database: `mlflow ui --backend-store-uri sqlite:///experiments/mlflow.db` shows them.
 *
 * The rules are those of MLflow's `SqlAlchemyStore`, at every revision from `mlflow_schema.ts` on; statements name their
 * columns, so that they fit files that MLflow has upgraded since, also while they are open here. That rows may be
 * written twice is SQLite's doing (ON CONFLICT), as in mlflow-go.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { fileURLToPath, pathToFileURL } from "node:url";
import { inputError, isDiskFull, storageError } from "../support/errors.ts";
import { artifactParts, EXPERIMENT_KIND, MAX_PARAM_LENGTH, metricKey, paramEntries, tagValue } from "./limits.ts";
import { type MlflowFile, openMlflowFile, transaction } from "./sqlite_file.ts";
import {
  type Artifact,
  type Batch,
  type MetricEvent,
  type RunDescription,
  type RunEnd,
  type Tracker,
  TrackerAway,
} from "./tracker.ts";

/** The folder of the runs' artifacts, beside the database. */
export const ARTIFACTS_FOLDER = "mlartifacts";

/** The largest float64, which stands for infinity: SQL has none. */
const LARGEST = 1.7976931348623157e308;

/** MLflow's id of one of our runs: 32 hex digits. A uuid gives its own, so that the same run is always the same row. */
export function mlflowRunId(runId: string): string {
  const hex = runId.replaceAll("-", "").toLowerCase();
  return /^[0-9a-f]{32}$/.test(hex) ? hex : createHash("sha256").update(runId).digest("hex").slice(0, 32);
}

/** The file that `tracking.uri` names: a path or a `sqlite:///` URI. */
export function databasePath(uri: string): string {
  const path = uri.startsWith("sqlite:///") ? uri.slice("sqlite:///".length) : uri;
  if (!/^[a-z+]+:\/\//i.test(path)) return resolve(path);
  throw inputError(
    `tracking.uri ${uri.replace(/:\/\/.*/, "://…")} is no SQLite file`,
    "Name a file or sqlite:///FILE, or set tracking.store=mlflow_rest for a server",
  );
}

/**
 * Opens MLflow's database for one experiment, creating both where they are missing.
 *
 * @throws a storage or input error, as `openMlflowFile`; an input error where the experiment has been deleted
 */
export function openMlflowDatabase(path: string, experiment: string): Tracker {
  const file = openMlflowFile(path);
  try {
    const experimentId = openExperiment(file, experiment);
    return {
      where: path,
      openRun: (run) => doing(() => transaction(file, (db) => openRun(db, experimentId, file.maxTag, run))),
      logBatch: (batch) => doing(() => transaction(file, (db) => logBatch(db, file, batch))),
      logArtifact: (artifact) => logArtifact(file, artifact),
      endRun: (end) => doing(() => transaction(file, (db) => endRun(db, end))),
      loggedSteps: (runId) => doing(() => transaction(file, (db) => loggedSteps(db, runId))),
      [Symbol.asyncDispose]: () => doing(() => file[Symbol.dispose]()),
    };
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/** A synchronous step as a promise that holds its error. */
const doing = <T>(step: () => T): Promise<T> => new Promise((resolve) => resolve(step()));

/** The id of the experiment of that name. Its artifacts lie beside the database; they follow when the folder moves. */
function openExperiment(file: MlflowFile, name: string): number {
  const location = pathToFileURL(join(dirname(file.path), ARTIFACTS_FOLDER)).href;
  return transaction(file, (db) => {
    const now = Date.now();
    db.prepare(
      "INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time) " +
        "VALUES (?, ?, 'active', ?, ?) ON CONFLICT DO NOTHING",
    ).run(name, location, now, now);
    const found = db.prepare(
      "SELECT experiment_id, artifact_location, lifecycle_stage FROM experiments WHERE name = ? ORDER BY experiment_id",
    ).get(name)!;
    if (found["lifecycle_stage"] !== "active") {
      throw inputError(
        `the experiment ${name} of ${file.path} has been deleted`,
        "Restore it in MLflow, or set tracking.experiment to another name",
      );
    }
    const id = Number(found["experiment_id"]);
    const [kind, value] = EXPERIMENT_KIND;
    db.prepare("INSERT INTO experiment_tags (key, value, experiment_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
      .run(kind, value, id);
    const before = String(found["artifact_location"] ?? "");
    if (before !== location && before.startsWith("file:") && before.endsWith(`/${ARTIFACTS_FOLDER}`)) {
      if (!existsSync(fileURLToPath(before))) moveArtifacts(db, id, before, location);
    }
    return id;
  });
}

/** The experiments folder has moved: its runs' artifacts lie in the new place. */
function moveArtifacts(db: DatabaseSync, experiment: number, from: string, to: string): void {
  db.prepare("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?").run(to, experiment);
  db.prepare(
    "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
  ).run(to, from.length + 1, experiment, from.length + 1, `${from}/`);
}

function openRun(db: DatabaseSync, experiment: number, maxTag: number, run: RunDescription): void {
  const id = mlflowRunId(run.run_id);
  const { artifact_location: location } = db.prepare(
    "SELECT artifact_location FROM experiments WHERE experiment_id = ?",
  )
    .get(experiment)!;
  db.prepare(
    "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, " +
      "end_time, source_version, lifecycle_stage, artifact_uri, experiment_id, deleted_time) " +
      "VALUES (?, ?, 'UNKNOWN', '', '', '', 'RUNNING', ?, NULL, '', 'active', ?, ?, NULL) ON CONFLICT (run_uuid) " +
      "DO UPDATE SET status = 'RUNNING', end_time = NULL, lifecycle_stage = 'active', deleted_time = NULL",
  ).run(id, run.name.slice(0, 250), run.start_time, `${location}/${id}/artifacts`, experiment);
  setTags(db, id, maxTag, {
    "mlflow.runName": run.name.slice(0, 250),
    ...(run.parent_id === undefined ? {} : { "mlflow.parentRunId": mlflowRunId(run.parent_id) }),
    "winnow.run_id": run.run_id,
    ...run.tags,
  });
}

function logBatch(db: DatabaseSync, { path, maxParam, maxTag }: MlflowFile, batch: Batch): void {
  const id = mlflowRunId(batch.run_id);
  if (db.prepare("SELECT 1 FROM runs WHERE run_uuid = ?").get(id) === undefined) {
    throw inputError(`${path} has no run ${id}: it was removed there`, "Set tracking.store=none to go on without it");
  }
  insertMetrics(db, id, batch.metrics ?? []);
  setTags(db, id, maxTag, batch.tags ?? {});
  const param = db.prepare("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
  for (const [key, value] of paramEntries(batch.params ?? {}, Math.min(MAX_PARAM_LENGTH, maxParam))) {
    param.run(key, value, id);
  }
}

/**
 * A metric's history has each (key, timestamp, step, value) once; its latest value is that of the greatest (step,
 * timestamp, value). NaN is 0 with a flag, infinities are the largest floats.
 */
function insertMetrics(db: DatabaseSync, id: string, metrics: readonly MetricEvent[]): void {
  const history = db.prepare(
    "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
  );
  const latest = db.prepare(
    "INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?) " +
      "ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp, " +
      "step = excluded.step, is_nan = excluded.is_nan WHERE (excluded.step, excluded.timestamp, excluded.value) > " +
      "(latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)",
  );
  for (const { metric, value, timestamp, step } of metrics) {
    const isNan = Number.isNaN(value);
    const stored = isNan ? 0 : Math.max(-LARGEST, Math.min(LARGEST, value));
    const row = [metricKey(metric), stored, Math.round(timestamp), id, Math.round(step), isNan ? 1 : 0] as const;
    history.run(...row);
    latest.run(...row);
  }
}

function setTags(db: DatabaseSync, id: string, maxTag: number, tags: Readonly<Record<string, string>>): void {
  const statement = db.prepare(
    "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?) ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value",
  );
  for (const [key, value] of Object.entries(tags)) statement.run(metricKey(key), tagValue(value, maxTag), id);
}

/** An ended run that is told so again keeps its time. */
function endRun(db: DatabaseSync, { run_id, status, end_time }: RunEnd): void {
  db.prepare("UPDATE runs SET status = ?, end_time = coalesce(end_time, ?) WHERE run_uuid = ?").run(
    status,
    end_time,
    mlflowRunId(run_id),
  );
}

function loggedSteps(db: DatabaseSync, runId: string): Map<string, Set<number>> {
  const found = new Map<string, Set<number>>();
  for (const { key, step } of db.prepare("SELECT key, step FROM metrics WHERE run_uuid = ?").all(mlflowRunId(runId))) {
    const steps = found.get(String(key)) ?? new Set();
    found.set(String(key), steps.add(Number(step)));
  }
  return found;
}

/** Puts a file where MLflow looks for the run's artifacts, in one instant. */
async function logArtifact(file: MlflowFile, { run_id, path, content }: Artifact): Promise<void> {
  const id = mlflowRunId(run_id);
  const uri = transaction(file, (db) => db.prepare("SELECT artifact_uri FROM runs WHERE run_uuid = ?").get(id))
    ?.["artifact_uri"];
  const folder = typeof uri === "string" ? localFolder(uri) : undefined;
  if (folder === undefined) {
    throw inputError(
      `the artifacts of run ${id} do not lie in a folder here: ${uri}`,
      "Set tracking.experiment to an experiment of its own",
    );
  }
  const target = join(folder, ...artifactParts(path));
  const aside = `${target}.${Deno.pid}.tmp`;
  try {
    await Deno.mkdir(dirname(target), { recursive: true });
    if ("text" in content) await Deno.writeTextFile(aside, content.text);
    else await Deno.copyFile(content.file, aside);
    await Deno.rename(aside, target);
  } catch (error) {
    await Deno.remove(aside).catch(() => {});
    const message = `writing the artifact ${target} failed: ${(error as Error).message}`;
    if (isDiskFull(error)) throw new TrackerAway(message);
    throw storageError(message, "Make its folder writable", { cause: error });
  }
}

/** The folder of a `file:` URI or a path; undefined for other places. */
function localFolder(uri: string): string | undefined {
  if (uri.startsWith("file:")) return fileURLToPath(uri);
  return uri.startsWith("/") ? uri : undefined;
}
