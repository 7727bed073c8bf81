/**
 * The SQLite file of MLflow's store: opened, created where it is missing, and what its failures mean. MLflow's own
 * processes may read, write and even upgrade it at the same time.
 *
 * In WAL mode, since a reader (`mlflow ui`) never holds up a writer then; each commit is synced. Closing it puts
 * everything into the one file again.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { inputError, storageError, WinnowError } from "../support/errors.ts";
import { MLFLOW_DDL } from "./mlflow_schema.ts";
import { TrackerAway } from "./tracker.ts";

/** How long opening waits for another process, such as an MLflow that upgrades the file. */
const PATIENCE_MS = 20_000;
/** How long a write waits: training stands still meanwhile, and the write is tried again later anyway. */
const BUSY_MS = 50;

/** What Winnow writes. A file that has it, of whatever revision, can be written to. */
const COLUMNS: Record<string, readonly string[]> = {
  experiments: [
    "experiment_id",
    "name",
    "artifact_location",
    "lifecycle_stage",
    "creation_time",
    "last_update_time",
  ],
  experiment_tags: ["key", "value", "experiment_id"],
  runs: [
    ...["run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status", "start_time"],
    ...["end_time", "source_version", "lifecycle_stage", "artifact_uri", "experiment_id", "deleted_time"],
  ],
  metrics: ["key", "value", "timestamp", "run_uuid", "step", "is_nan"],
  latest_metrics: ["key", "value", "timestamp", "step", "is_nan", "run_uuid"],
  params: ["key", "value", "run_uuid"],
  tags: ["key", "value", "run_uuid"],
};

/** Messages of SQLite that pass by themselves, or once somebody makes room. Tables are away while MLflow rebuilds them. */
const PASSING = [
  "database is locked",
  "database table is locked",
  "database schema is locked",
  "database schema has changed",
  "database or disk is full",
  "disk I/O error",
  "no such table",
];

/** An open file of MLflow's store. */
export interface MlflowFile extends Disposable {
  readonly path: string;
  readonly connection: DatabaseSync;
  /** Declared lengths of the value columns; SQLite does not enforce them, other databases do after a migration. */
  readonly maxParam: number;
  readonly maxTag: number;
}

/** The error to throw for one of SQLite's: `TrackerAway` where it may pass, else a storage error. */
function explain(error: unknown, path: string): unknown {
  if (error instanceof WinnowError || error instanceof TrackerAway || !(error instanceof Error)) return error;
  const message = `the tracking database ${path}: ${error.message}`;
  if (PASSING.some((start) => error.message.startsWith(start))) return new TrackerAway(message, 0, { cause: error });
  return storageError(message, "Look at the file and its folder, or set tracking.uri to another one", { cause: error });
}

/** Runs `body` with the write lock: all of it is stored, or nothing. */
export function transaction<T>(file: MlflowFile, body: (connection: DatabaseSync) => T): T {
  try {
    return atomically(file.connection, body);
  } catch (error) {
    throw explain(error, file.path);
  }
}

/** The same with SQLite's own errors. */
function atomically<T>(connection: DatabaseSync, body: (connection: DatabaseSync) => T): T {
  connection.exec("BEGIN IMMEDIATE");
  try {
    const result = body(connection);
    connection.exec("COMMIT");
    return result;
  } catch (error) {
    // Some failures (a full disk) have rolled back already.
    if (connection.isTransaction) connection.exec("ROLLBACK");
    throw error;
  }
}

/**
 * Opens MLflow's database, and creates it if there is none.
 *
 * @throws a storage error when it cannot be opened, an input error when it is another program's or of an MLflow before 2.5
 */
export function openMlflowFile(path: string): MlflowFile {
  let connection: DatabaseSync | undefined;
  try {
    mkdirSync(dirname(path), { recursive: true });
    connection = new DatabaseSync(path, { timeout: PATIENCE_MS });
    useWal(connection);
    connection.exec("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON");
    createTables(connection, path);
    const [maxParam, maxTag] = [declaredLength(connection, "params"), declaredLength(connection, "tags")];
    connection.exec(`PRAGMA busy_timeout=${BUSY_MS}`);
    const opened = connection;
    return { path, connection, maxParam, maxTag, [Symbol.dispose]: () => close(opened) };
  } catch (error) {
    if (connection?.isOpen) connection.close();
    const found = explain(error, path);
    if (!(found instanceof TrackerAway)) throw found;
    // At the start there is no later: whoever holds the file, or the full disk, is the user's to see to.
    throw storageError(found.message, "Free the file or the disk, or set tracking.uri to another file", {
      cause: found,
    });
  }
}

/** WAL where it can be had: another process that reads at this moment keeps the mode that is, which does as well. */
function useWal(connection: DatabaseSync): void {
  try {
    connection.exec("PRAGMA journal_mode=WAL");
  } catch (error) {
    if (!(error as Error).message.startsWith("database is locked")) throw error;
  }
}

function createTables(connection: DatabaseSync, path: string): void {
  atomically(connection, () => {
    const tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    if (tables.length === 0) connection.exec(MLFLOW_DDL);
    else checkTables(connection, path, tables.some(({ name }) => name === "experiments"));
  });
}

function checkTables(connection: DatabaseSync, path: string, isMlflow: boolean): void {
  if (!isMlflow) {
    throw inputError(`${path} is a database of another program, not MLflow's`, "Set tracking.uri to another file");
  }
  for (const [table, columns] of Object.entries(COLUMNS)) {
    const there = new Set(connection.prepare(`PRAGMA table_info(${table})`).all().map(({ name }) => name));
    const missing = columns.filter((column) => !there.has(column));
    if (missing.length > 0) {
      throw inputError(
        `${path} is of an MLflow that Winnow does not know: its table ${table} has no ${missing.join(", ")}`,
        `Upgrade it with \`mlflow db upgrade sqlite:///${path}\`, or set tracking.uri to another file`,
      );
    }
  }
}

/** The n of VARCHAR(n) of the column `value`. */
function declaredLength(connection: DatabaseSync, table: string): number {
  const column = connection.prepare(`PRAGMA table_info(${table})`).all().find(({ name }) => name === "value");
  return Number(/\((\d+)\)/.exec(String(column?.type))?.[1] ?? Infinity);
}

/** Back to one file, which also opens where nothing can be written; not while another process has it open. */
function close(connection: DatabaseSync): void {
  if (!connection.isOpen) return;
  try {
    connection.exec("PRAGMA journal_mode=DELETE");
  } catch { // It stays a file in WAL mode, as good as before.
  }
  connection.close();
}
