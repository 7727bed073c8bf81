import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fromDatetime, parseAttribute, toDatetime } from "../../lib/hpo/optuna_values.ts";
import { bestTrial } from "../../lib/hpo/best_trials.ts";
import {
  createStudy,
  createTrial,
  findStudy,
  findTrial,
  finishTrial,
  type FrozenTrial,
  listTrials,
  openStudyDatabase,
  type StoredStudy,
  type StudyDatabase,
  updateTrial,
} from "../../lib/hpo/study_db.ts";
import { exitCode, WinnowError } from "../../lib/support/errors.ts";
import { smallSpace, withDatabase } from "./hpo_scenario.ts";

const params = {
  "training.learning_rate": 2e-5,
  "model.dropout": 0.3,
  "model.layers": 4,
  "model.pooling": "mean",
};

const report = (db: StudyDatabase, study: StoredStudy, trial: FrozenTrial, step: number, value: number) =>
  updateTrial(db, study, trial, { intermediate: [{ step, value }] });

Deno.test("a study is found by its uuid, or as the newest, with its attributes", async () => {
  await withDatabase((db) => {
    const first = createStudy(db, { directions: ["maximize"], attributes: { config: { seed: 7, name: "Größe 😀" } } });
    const second = createStudy(db, { directions: ["minimize"] });
    assert.deepEqual(findStudy(db), second);
    assert.deepEqual(findStudy(db, first.id).userAttributes, { config: { seed: 7, name: "Größe 😀" } });
    assert.match(first.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.throws(() => findStudy(db, "unknown"), (error: WinnowError) => {
      return exitCode(error) === 2 && error.remedy.includes(first.id) && error.message.includes("unknown");
    });
  });
});

Deno.test("a trial goes from RUNNING to COMPLETE with all that was stored of it", async () => {
  await withDatabase((db) => {
    const study = createStudy(db, { directions: ["maximize"] });
    const trial = createTrial(db, study, smallSpace, params);
    assert.deepEqual([trial.number, trial.state, trial.values, trial.completed], [0, "RUNNING", null, null]);
    assert.deepEqual(trial.params, params);
    assert.deepEqual(Object.keys(trial.params), Object.keys(params));
    report(db, study, trial, 2, 0.5);
    report(db, study, trial, 1, NaN);
    report(db, study, trial, 3, -Infinity);
    report(db, study, trial, 2, 0.6); // once more after a resume
    updateTrial(db, study, trial, { userAttributes: { seed: 3 } });
    finishTrial(db, study, trial, { state: "COMPLETE", value: 0.6 }, { "winnow:checkpoint": "x" });
    const [stored] = listTrials(db, study);
    assert.deepEqual(stored!.intermediate, [
      { step: 1, value: NaN },
      { step: 2, value: 0.6 },
      { step: 3, value: -Infinity },
    ]);
    assert.deepEqual([stored!.state, stored!.values], ["COMPLETE", [0.6]]);
    assert.deepEqual(stored!.userAttributes, { "winnow:trial_id": trial.id, seed: 3, "winnow:checkpoint": "x" });
    assert.ok(Math.abs(Date.parse(stored!.completed!) - Date.now()) < 60_000);
    assert.deepEqual(findTrial(db, trial.id!)?.trial, stored);
    assert.equal(findTrial(db, "unknown"), undefined);
    assert.throws(() => finishTrial(db, study, trial, { state: "FAIL" }), RangeError);
    assert.throws(() => report(db, study, trial, 4, 1), RangeError);
  });
});

Deno.test("nothing of a refused value is stored", async () => {
  await withDatabase((db) => {
    const study = createStudy(db, { directions: ["maximize"] });
    assert.throws(() => createTrial(db, study, smallSpace, { ...params, "model.layers": 99 }), RangeError);
    assert.deepEqual(listTrials(db, study), []);
    const trial = createTrial(db, study, smallSpace, params);
    for (const value of [NaN]) {
      assert.throws(() => finishTrial(db, study, trial, { state: "COMPLETE", value }, { late: 1 }), RangeError);
    }
    assert.throws(() => report(db, study, trial, 0.5, 1), RangeError);
    const [stored] = listTrials(db, study);
    assert.deepEqual([stored!.state, Object.keys(stored!.userAttributes)], ["RUNNING", ["winnow:trial_id"]]);
  });
});

Deno.test("trials are numbered within their study, and the best is the earliest of equals", async () => {
  await withDatabase((db) => {
    const [one, two] = [createStudy(db, { directions: ["maximize"] }), createStudy(db, { directions: ["minimize"] })];
    for (const value of [0.2, 0.9, 0.9, 0.1]) {
      for (const study of [one, two]) {
        finishTrial(db, study, createTrial(db, study, smallSpace, params), { state: "COMPLETE", value });
      }
    }
    finishTrial(db, one, createTrial(db, one, smallSpace, params), { state: "FAIL" });
    assert.deepEqual(listTrials(db, one).map((trial) => trial.number), [0, 1, 2, 3, 4]);
    assert.equal(bestTrial(listTrials(db, one), "maximize")?.number, 1);
    assert.equal(bestTrial(listTrials(db, two), "minimize")?.number, 3);
    assert.equal(bestTrial([], "minimize"), undefined);
  });
});

Deno.test("a database that is damaged, another program's or of another revision is refused with a remedy", async () => {
  await withDatabase(async (db) => {
    const folder = dirname(db.path);
    Deno.writeTextFileSync(join(folder, "text.db"), "no database, but a text that is long enough".repeat(50));
    await assert.rejects(openStudyDatabase(join(folder, "text.db")), (error: WinnowError) => exitCode(error) === 3);

    const other = new DatabaseSync(join(folder, "other.db"));
    other.exec("CREATE TABLE runs (id INTEGER)");
    other.close();
    await assert.rejects(openStudyDatabase(join(folder, "other.db")), /another program/);

    db.connection.exec("UPDATE alembic_version SET version_num = 'v9'");
    await assert.rejects(openStudyDatabase(db.path), (error: WinnowError) => /v3\.2\.0\.a.*"v9"/.test(error.message));
  });
});

Deno.test("another program may read the file between our writes, and hold it for a while", async () => {
  await withDatabase(async (db) => {
    const study = createStudy(db, { directions: ["maximize"] });
    const reader = new DatabaseSync(db.path, { readOnly: true });
    createTrial(db, study, smallSpace, params);
    assert.equal(reader.prepare("SELECT count(*) AS n FROM trials").get()!["n"], 1);
    reader.close();
    // A dashboard that holds the write lock for 300 ms: the next write waits for it.
    const holder = new Worker(
      "data:text/javascript," + encodeURIComponent(`
        import { DatabaseSync } from "node:sqlite";
        const db = new DatabaseSync(${JSON.stringify(db.path)});
        db.exec("BEGIN EXCLUSIVE");
        postMessage("held");
        setTimeout(() => { db.exec("COMMIT"); db.close(); }, 300);
      `),
      { type: "module" },
    );
    await new Promise((resolve) => holder.onmessage = resolve);
    const begin = performance.now();
    createTrial(db, study, smallSpace, params);
    assert.ok(performance.now() - begin > 100, "the lock was not held");
    assert.equal(listTrials(db, study).length, 2);
    holder.terminate();
  });
});

Deno.test("times and attributes in Optuna's writing", () => {
  const time = new Date("2026-01-31T13:05:09.120Z");
  assert.equal(toDatetime(time), "2026-01-31 13:05:09.120000");
  assert.equal(fromDatetime("2026-01-31 13:05:09.120456"), "2026-01-31T13:05:09.120Z");
  assert.equal(fromDatetime("2026-01-31 13:05:09"), "2026-01-31T13:05:09Z");
  assert.deepEqual(parseAttribute('{"a": [NaN, -Infinity, "NaN \\" Infinity"], "b": Infinity}'), {
    a: [NaN, -Infinity, 'NaN " Infinity'],
    b: Infinity,
  });
});
