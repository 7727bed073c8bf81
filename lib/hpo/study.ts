/**
 * Studies as a library: ask for a trial, run it, tell what came of it. The words and the rules are Optuna's, and so is the
 * file: Optuna and optuna-dashboard open it at any time.
 *
 * @example
 * ```ts
 * import { createStudy } from "./study.ts";
 * import assert from "node:assert/strict";
 *
 * using study = createStudy({ studyName: "parabola", direction: "minimize" });
 * for (let i = 0; i < 20; i++) {
 *   const trial = study.ask();
 *   const x = trial.suggestFloat("x", -10, 10);
 *   study.tell(trial, (x - 2) ** 2);
 * }
 * assert.equal(study.trials.length, 20);
 * assert.equal(study.bestValue, Math.min(...study.trials.map(({ values }) => values![0]!)));
 * ```
 */
import { inputError } from "../support/errors.ts";
import { IN_MEMORY, openStorage, type StudyDatabase, transaction } from "./database.ts";
import { createStudy as insertStudy, listStudies } from "./study_db.ts";
import { openStudy, type Study, type StudyParts } from "./study_handle.ts";
import type { Direction } from "./trial.ts";

export type { Trial } from "./live_trial.ts";
export type { EnqueueOptions, Study, StudyParts } from "./study_handle.ts";
export type { Told } from "./trial_outcome.ts";

/** Which study to open, and how to search. */
export interface LoadStudyOptions extends StudyParts {
  /**
   * A file path (Optuna's `sqlite:///study.db` too), ":memory:", or a database that is open already, which then stays open
   * when the study is disposed of.
   */
  storage: string | StudyDatabase;
  /** Optuna's study name. Not needed where the file holds one study only. */
  studyName?: string | undefined;
}

/** What a new study is. */
export interface CreateStudyOptions extends Partial<LoadStudyOptions> {
  /** Which side of the one objective is better. Not given: "minimize". */
  direction?: Direction | undefined;
  /** The same for several objectives. */
  directions?: readonly Direction[] | undefined;
  /** Open the study of that name if there is one, in place of an error. */
  loadIfExists?: boolean | undefined;
  /** What to remember with the study; any JSON. */
  userAttributes?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * Creates a study, and the file if there is none.
 *
 * @throws an input error for a name that is taken (unless `loadIfExists`) or directions that are none, a storage error when
 *   the file cannot be opened
 */
export function createStudy(options: CreateStudyOptions = {}): Study {
  const { studyName, direction, directions, loadIfExists = false } = options;
  if (direction !== undefined && directions !== undefined) {
    throw inputError(
      "both direction and directions are given",
      "Give direction for one objective, directions for more.",
    );
  }
  const asked = directions ?? (direction === undefined ? undefined : [direction]);
  const wanted = asked ?? ["minimize"];
  if (wanted.length === 0 || wanted.some((one) => one !== "minimize" && one !== "maximize")) {
    throw inputError(
      `directions: expected "minimize" or "maximize" for each objective but found ${JSON.stringify(wanted)}`,
      "Give one per objective.",
    );
  }
  return withStorage(options.storage ?? IN_MEMORY, (db) => {
    const stored = transaction(db, () => {
      const found = listStudies(db).find(({ id }) => id === studyName);
      if (found === undefined) {
        return insertStudy(db, {
          ...(studyName === undefined ? {} : { id: studyName }),
          directions: wanted,
          attributes: options.userAttributes ?? {},
        });
      }
      if (!loadIfExists) {
        throw inputError(
          `there is a study ${studyName} in ${db.path} already`,
          "Give another studyName, or loadIfExists: true to continue it.",
        );
      }
      if (asked !== undefined && asked.join() !== found.directions.join()) {
        throw inputError(
          `study ${studyName} in ${db.path} has directions ${found.directions.join(", ")}, not ${asked.join(", ")}`,
          "Give those, or another studyName.",
        );
      }
      return found;
    });
    return openStudy(db, stored, options);
  });
}

/**
 * Opens a study that exists.
 *
 * @throws an input error that names the studies of the file when it is not there, a storage error when the file cannot be
 *   opened
 */
export function loadStudy(options: LoadStudyOptions): Study {
  const { storage, studyName } = options;
  if (typeof storage === "string") requireFile(storage);
  return withStorage(storage, (db) => {
    const studies = listStudies(db);
    const found = studyName === undefined
      ? studies.length === 1 ? studies[0] : undefined
      : studies.find(({ id }) => id === studyName);
    if (found !== undefined) return openStudy(db, found, options);
    const newest = studies.slice(-5).reverse().map(({ id }) => id).join(", ");
    throw inputError(
      studyName === undefined
        ? `${studies.length} studies in ${db.path}, and no studyName`
        : `no study ${studyName} in ${db.path}`,
      newest === "" ? "Create one with createStudy." : `Give one of these, the newest first: ${newest}.`,
    );
  });
}

const SQLITE_URL = "sqlite:///";

function pathOf(storage: string): string {
  if (storage.startsWith(SQLITE_URL)) return storage.slice(SQLITE_URL.length) || IN_MEMORY;
  if (/^\w[\w+]*:\/\//.test(storage)) {
    throw inputError(`storage: expected a file path or ":memory:" but found ${storage}`, "Only SQLite files are read.");
  }
  return storage;
}

function requireFile(storage: string): void {
  const path = pathOf(storage);
  if (path === IN_MEMORY) {
    throw inputError("there is no study in a new database in memory", "Give the path of a file, or create a study.");
  }
  try {
    Deno.statSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw inputError(`there is no file ${path}`, "Give the path of a study database, or create a study.");
  }
}

/** Runs `body` with the database; one that is opened here is closed again when `body` throws. */
function withStorage(storage: string | StudyDatabase, body: (db: StudyDatabase) => Study): Study {
  if (typeof storage !== "string") return body(storage);
  const db = openStorage(pathOf(storage));
  try {
    const study = body(db);
    const store = study[Symbol.dispose];
    const close = () => {
      using _database = db;
      if (db.connection.isOpen) store();
    };
    return Object.defineProperty(study, Symbol.dispose, { value: close });
  } catch (error) {
    db[Symbol.dispose]();
    throw error;
  }
}
