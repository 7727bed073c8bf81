/**
 * The SQLite file of the search: opening it, transactions, and what its failures mean.
 *
 * A rollback journal with synchronous=EXTRA, and no WAL: a committed trial survives a power cut, a killed process leaves
 * a journal that the next opening rolls back, the database is one file that can be copied, and optuna-dashboard's
 * browser viewer, which cannot read WAL files, opens it at any time. The journal file is kept between transactions with
 * its header wiped and synced (journal_mode=PERSIST), which is as durable as deleting it and a quarter faster, and goes
 * when the database is closed.
 */
import { dirname, resolve } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { inputError, storageError, WinnowError } from "../support/errors.ts";
import { makeFolder } from "../storage/atomic_file.ts";
import { asStorageError } from "../storage/fs_error.ts";
import { OPTUNA_DDL, OPTUNA_REVISION } from "./optuna_schema.ts";

/** How long a statement waits while another process (a dashboard) holds the file, in milliseconds. */
const BUSY_TIMEOUT_MS = 20_000;

/** The path of a database that lives in memory and goes with its connection. */
export const IN_MEMORY = ":memory:";

/** An open search database. */
export interface StudyDatabase extends Disposable {
  /** The file, or ":memory:". */
  readonly path: string;
  readonly connection: DatabaseSync;
  /** Prepared statements by their SQL: see `statement`. */
  readonly statements: Map<string, StatementSync>;
  /** What waits for the transaction's end: see `onCommit`. */
  readonly committed: (() => void)[];
}

/** The prepared statement of an SQL text; kept, since preparing costs more than running. */
export function statement(db: StudyDatabase, sql: string): StatementSync {
  let prepared = db.statements.get(sql);
  if (prepared === undefined) {
    prepared = db.connection.prepare(sql);
    db.statements.set(sql, prepared);
  }
  return prepared;
}

/**
 * SQLite's messages (sqlite3_errstr) that are the file system's or the file's fault, and what to do about them. By the
 * message, since node:sqlite gives a result code for some statements only.
 */
const STORAGE_MESSAGES: [start: string, remedy: string][] = [
  ["database is locked", "Another program holds it: close that and resume."],
  ["attempt to write a readonly database", "Make the file and its folder writable for this user."],
  ["disk I/O error", "Check the free space and the disk (df, dmesg) before going on."],
  ["database disk image is malformed", "Restore the file from a copy, or move it away and start a new study."],
  ["database or disk is full", "Free some space there and resume."],
  ["unable to open database file", "Make the folder writable for this user, or set paths.experiments elsewhere."],
  ["file is not a database", "It is no SQLite file: move it away, or set paths.experiments elsewhere."],
];

/** The error to throw for one of node:sqlite's: a storage error where the disk or the file is at fault. */
function explain(error: unknown, path: string): unknown {
  if (error instanceof WinnowError || !(error instanceof Error)) return error;
  const remedy = STORAGE_MESSAGES.find(([start]) => error.message.startsWith(start))?.[1];
  return remedy === undefined
    ? error
    : storageError(`study database ${path}: ${error.message}`, remedy, { cause: error });
}

/** Runs `body`, with SQLite's failures explained. */
export function guarded<T>(db: StudyDatabase, body: (connection: DatabaseSync) => T): T {
  try {
    return body(db.connection);
  } catch (error) {
    throw explain(error, db.path);
  }
}

/**
 * Runs `body` in a transaction that takes the write lock at once: all of it is stored, or nothing. Within another
 * transaction it is a part of that: what throws is undone alone, and what does not is stored with the whole.
 */
export function transaction<T>(db: StudyDatabase, body: (connection: DatabaseSync) => T): T {
  return db.connection.isTransaction
    ? within(db, ["SAVEPOINT part", "RELEASE part", "ROLLBACK TO part; RELEASE part"], body)
    : within(db, ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"], body);
}

/** Runs `body`, which only reads, so that all of its queries see the same instant. */
export function snapshot<T>(db: StudyDatabase, body: (connection: DatabaseSync) => T): T {
  if (db.connection.isTransaction) return guarded(db, body);
  return within(db, ["BEGIN", "COMMIT", "ROLLBACK"], body);
}

/** Runs `then` once what was written is stored: now, or when the transaction commits; never if it is undone. */
export function onCommit(db: StudyDatabase, then: () => void): void {
  if (db.connection.isTransaction) db.committed.push(then);
  else then();
}

function within<T>(
  db: StudyDatabase,
  [begin, commit, rollback]: [begin: string, commit: string, rollback: string],
  body: (connection: DatabaseSync) => T,
): T {
  return guarded(db, (connection) => {
    const waiting = db.committed.length;
    statement(db, begin).run();
    let result: T;
    try {
      result = body(connection);
      statement(db, commit).run();
    } catch (error) {
      db.committed.length = waiting;
      // Some failures (a full disk) have rolled back already.
      if (connection.isTransaction) connection.exec(rollback);
      throw error;
    }
    if (!connection.isTransaction) { for (const then of db.committed.splice(0)) then(); }
    return result;
  });
}

/**
 * Opens the search database, and creates it with Optuna's tables if there is none.
 *
 * @throws a storage error when it cannot be opened or is damaged, an input error when it is another program's.
 */
export async function openStudyDatabase(path: string): Promise<StudyDatabase> {
  const folder = dirname(resolve(path));
  await makeFolder(folder).catch(async (error) => {
    throw await asStorageError(error, "creating the folder of the study database", folder);
  });
  return openStorage(path);
}

/**
 * Opens the search database in a folder that exists, or one in memory, and creates it with Optuna's tables if there is
 * none.
 *
 * @throws a storage error when it cannot be opened or is damaged, an input error when it is another program's.
 */
export function openStorage(path: string): StudyDatabase {
  const db = connect(path, { readOnly: false });
  const { connection } = db;
  try {
    guarded(db, () => connection.exec("PRAGMA journal_mode=PERSIST; PRAGMA synchronous=EXTRA; PRAGMA foreign_keys=ON"));
    transaction(db, () => {
      const tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
      if (tables.length === 0) connection.exec(OPTUNA_DDL);
      else if (!tables.some((table) => table["name"] === "studies")) {
        throw inputError(
          `${path} is a database of another program`,
          "Move it away, or set paths.experiments elsewhere.",
        );
      }
    });
    checkRevision(db);
  } catch (error) {
    db[Symbol.dispose]();
    throw error;
  }
  return db;
}

/**
 * Opens a search database that is there for reading alone, beside whatever run is writing to it.
 *
 * @throws a storage error when it cannot be opened or is damaged, an input error when it is another program's.
 */
export function openForReading(path: string): StudyDatabase {
  const db = connect(path, { readOnly: true });
  try {
    checkRevision(db);
  } catch (error) {
    db[Symbol.dispose]();
    throw error;
  }
  return db;
}

/** A connection. One that may write leaves no journal behind. */
function connect(path: string, { readOnly }: { readOnly: boolean }): StudyDatabase {
  let connection: DatabaseSync;
  try {
    connection = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, readOnly });
  } catch (error) {
    throw explain(error, path);
  }
  return {
    path,
    connection,
    statements: new Map(),
    committed: [],
    [Symbol.dispose]: () => {
      if (!connection.isOpen) return;
      try {
        if (!readOnly) connection.exec("PRAGMA journal_mode=DELETE");
      } catch { /* another program is at it: its journal is not ours to remove */ }
      connection.close();
    },
  };
}

function checkRevision(db: StudyDatabase): void {
  const revisions = guarded(db, (connection) => connection.prepare("SELECT version_num FROM alembic_version").all());
  const found = revisions.map((row) => row["version_num"]).join(", ");
  if (found === OPTUNA_REVISION) return;
  throw inputError(
    `study database ${db.path}: expected Optuna's schema ${OPTUNA_REVISION} but found "${found}"`,
    "Run `optuna storage upgrade` on it with Optuna 3.2 or newer, or move it away.",
  );
}
