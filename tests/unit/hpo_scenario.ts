/** What the search's tests share: a database in a new folder, and a small space. */
import { join } from "node:path";
import { openStudyDatabase, type StudyDatabase } from "../../lib/hpo/study_db.ts";
import type { SearchSpace } from "../../lib/hpo/space.ts";

/** Four parameters, one of each kind. */
export const smallSpace: SearchSpace = {
  "training.learning_rate": { type: "float", low: 1e-5, high: 1e-3, log: true },
  "model.dropout": { type: "float", low: 0, high: 0.5, step: 0.1 },
  "model.layers": { type: "int", low: 1, high: 6 },
  "model.pooling": { type: "categorical", choices: ["cls", "mean"] },
};

/** Runs `body` with a new database in a folder that is removed afterwards. */
export async function withDatabase(body: (db: StudyDatabase) => void | Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "winnow-hpo-" });
  try {
    using db = await openStudyDatabase(join(folder, "study.db"));
    await body(db);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
