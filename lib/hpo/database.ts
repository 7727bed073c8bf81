/**
 * The SQLite file of the search: opening it, transactions, and what its failures mean.
 *
 * A rollback journal with synchronous=EXTRA, and no WAL: a committed trial survives a power cut, a killed process leaves
 * a journal that the next opening rolls back, the database is one file that can be copied, and optuna-dashboard's
 * browser viewer, which cannot read WAL files, opens it at any time. Writes are few: some per epoch.
 */
import { DatabaseSync } from "node:sqlite";
import { dirname, resolve } from "node:path";
import { inputError, storageError, WinnowError } from "../support/errors.ts";
import { makeFolder } from "../storage/atomic_file.ts";
import { asStorageError } from "../storage/fs_error.ts";
import { OPTUNA_DDL, OPTUNA_REVISION } from "./optuna_schema.ts";

/** How long a statement waits while another process (a dashboard) holds the file, in milliseconds. */
const BUSY_TIMEOUT_MS = 20_000;

/** An open search database. */
export interface StudyDatabase extends Disposable {
  readonly path: string;
  readonly connection: DatabaseSync;
}

/** SQLite's primary result codes that are the file system's or the file's fault, and what to do about them. */
const STORAGE_CODES: Record<number, string> = {
  5: "Another program holds it locked: close it and resume.",
  8: "Make the file and its folder writable for this user.",
  10: "Check the disk (dmesg, smartctl) before going on.",
  11: "The file is damaged: restore it from a copy, or move it away and start a new study.",
  13: "Free some space there and resume.",
  14: "Make the folder writable for this user, or set paths.experiments elsewhere.",
  26: "It is no SQLite file: move it away, or set paths.experiments elsewhere.",
};

/** The error to throw for one of node:sqlite's: a storage error where the disk or the file is at fault. */
function explain(error: unknown, path: string): unknown {
  const code = (error as { errcode?: number } | null)?.errcode;
  const remedy = typeof code === "number" ? STORAGE_CODES[code & 0xff] : undefined;
  if (error instanceof WinnowError || remedy === undefined) return error;
  return storageError(`study database ${path}: ${(error as Error).message}`, remedy, { cause: error });
}

/** Runs `body`, with SQLite's failures explained. */
export function guarded<T>(db: StudyDatabase, body: (connection: DatabaseSync) => T): T {
  try {
    return body(db.connection);
  } catch (error) {
    throw explain(error, db.path);
  }
}

/** Runs `body` in a transaction that takes the write lock at once: all of it is stored, or nothing. */
export function transaction<T>(db: StudyDatabase, body: (connection: DatabaseSync) => T): T {
  return within(db, "BEGIN IMMEDIATE", body);
}

/** Runs `body`, which only reads, so that all of its queries see the same instant. */
export function snapshot<T>(db: StudyDatabase, body: (connection: DatabaseSync) => T): T {
  return within(db, "BEGIN", body);
}

function within<T>(db: StudyDatabase, begin: string, body: (connection: DatabaseSync) => T): T {
  return guarded(db, (connection) => {
    connection.exec(begin);
    try {
      const result = body(connection);
      connection.exec("COMMIT");
      return result;
    } catch (error) {
      // Some failures (a full disk) have rolled back already.
      if (connection.isTransaction) connection.exec("ROLLBACK");
      throw error;
    }
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
  let connection: DatabaseSync;
  try {
    connection = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  } catch (error) {
    throw explain(error, path);
  }
  const db: StudyDatabase = {
    path,
    connection,
    [Symbol.dispose]: () => {
      if (connection.isOpen) connection.close();
    },
  };
  try {
    guarded(db, () => connection.exec("PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA; PRAGMA foreign_keys=ON"));
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

function checkRevision(db: StudyDatabase): void {
  const revisions = guarded(db, (connection) => connection.prepare("SELECT version_num FROM alembic_version").all());
  const found = revisions.map((row) => row["version_num"]).join(", ");
  if (found === OPTUNA_REVISION) return;
  throw inputError(
    `study database ${db.path}: expected Optuna's schema ${OPTUNA_REVISION} but found "${found}"`,
    "Run `optuna storage upgrade` on it with Optuna 3.2 or newer, or move it away.",
  );
}
