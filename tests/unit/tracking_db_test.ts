import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { databasePath, mlflowRunId, openMlflowDatabase } from "../../lib/tracking/mlflow_db.ts";
import { TrackerAway } from "../../lib/tracking/tracker.ts";
import { event, rows, run, STUDY, TRIAL } from "../support/tracking.ts";

async function inFolder(body: (path: string, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "winnow-test-" });
  try {
    await body(join(folder, "mlflow.db"), folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const all = (path: string, table: string) => rows(path, `SELECT * FROM ${table} ORDER BY 1`);

Deno.test("mlflow_db: a file of the old revision with nothing of ours in it", async () => {
  await inFolder(async (path) => {
    await openMlflowDatabase(path, "winnow")[Symbol.asyncDispose]();
    assert.deepEqual(all(path, "alembic_version"), [{ version_num: "acf3f17fdcc7" }]);
    const tables = rows(path, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    assert.equal(tables.length, 16);
    const [experiment] = all(path, "experiments");
    // 0 is MLflow's own "Default".
    assert.deepEqual([experiment!["experiment_id"], experiment!["name"]], [1, "winnow"]);
    assert.equal(
      [...Deno.readDirSync(join(path, ".."))].map(({ name }) => name).join(),
      "mlflow.db",
      "one file, no WAL",
    );
  });
});

Deno.test("mlflow_db: runs, and everything twice leaves one copy", async () => {
  await inFolder(async (path, folder) => {
    const once = async () => {
      await using tracker = openMlflowDatabase(path, "winnow");
      await tracker.openRun(run(STUDY, { name: "study" }));
      await tracker.openRun(run(TRIAL, { parent_id: STUDY, tags: { adapter: "a" } }));
      const metrics = [
        event("loss", 1, 0.5),
        event("loss", 2, NaN),
        event("loss", 3, Infinity),
        event("loss", 3, -Infinity),
      ];
      await tracker.logBatch({ run_id: TRIAL, metrics, params: { lr: "0.1" }, tags: { adapter: "b" } });
      await tracker.logBatch({ run_id: TRIAL, metrics: [...metrics, ...metrics], params: { lr: "0.2" } });
      await tracker.logArtifact({ run_id: TRIAL, path: "reports/a.json", content: { text: "{}" } });
      assert.deepEqual(await tracker.loggedSteps(TRIAL), new Map([["loss", new Set([1, 2, 3])]]));
      await tracker.endRun({ run_id: TRIAL, status: "FINISHED", end_time: 1_700_000_009_000 });
      await tracker.endRun({ run_id: TRIAL, status: "FINISHED", end_time: 1_700_000_019_000 });
    };
    await once();
    const tables = ["experiments", "runs", "metrics", "latest_metrics", "params", "tags", "experiment_tags"];
    const first = tables.map((table) => all(path, table));
    await once();
    assert.deepEqual(tables.map((table) => all(path, table)), first);

    const id = TRIAL.replaceAll("-", "");
    assert.equal(mlflowRunId(TRIAL), id);
    const largest = 1.7976931348623157e308;
    assert.deepEqual(
      rows(
        path,
        "SELECT step, value, is_nan, typeof(step) AS of, typeof(value) AS type FROM metrics ORDER BY step, value",
      ),
      [[1, 0.5, 0], [2, 0, 1], [3, -largest, 0], [3, largest, 0]]
        .map(([step, value, is_nan]) => ({ step, value, is_nan, of: "integer", type: "real" })),
    );
    assert.deepEqual(rows(path, "SELECT * FROM params"), [{ key: "lr", value: "0.1", run_uuid: id }]);
    const tags = Object.fromEntries(
      rows(path, "SELECT key, value FROM tags WHERE run_uuid = ?", id)
        .map(({ key, value }) => [key, value]),
    );
    assert.deepEqual(tags, {
      adapter: "b",
      "mlflow.parentRunId": STUDY.replaceAll("-", ""),
      "mlflow.runName": "a run",
      "winnow.run_id": TRIAL,
    });
    const [row] = rows(path, "SELECT * FROM runs WHERE run_uuid = ?", id);
    const artifacts = pathToFileURL(join(folder, "mlartifacts", id, "artifacts")).href;
    assert.deepEqual({ ...row }, {
      ...{ run_uuid: id, name: "a run", source_type: "UNKNOWN", source_name: "", entry_point_name: "", user_id: "" },
      ...{ status: "FINISHED", start_time: 1_700_000_000_000, end_time: 1_700_000_009_000, source_version: "" },
      ...{ lifecycle_stage: "active", artifact_uri: artifacts, experiment_id: 1, deleted_time: null },
    });
    assert.equal(await Deno.readTextFile(join(folder, "mlartifacts", id, "artifacts/reports/a.json")), "{}");
  });
});

Deno.test("mlflow_db: the latest metric is that of the greatest step, timestamp and value", async () => {
  await inFolder(async (path) => {
    await using tracker = openMlflowDatabase(path, "winnow");
    await tracker.openRun(run(TRIAL));
    const latest = () => rows(path, "SELECT step, timestamp, value, is_nan FROM latest_metrics").map(Object.values);
    const log = (...metrics: ReturnType<typeof event>[]) => tracker.logBatch({ run_id: TRIAL, metrics });
    await log(event("f1", 4, 0.5, 100), event("f1", 2, 0.9, 200));
    assert.deepEqual(latest(), [[4, 100, 0.5, 0]]);
    await log(event("f1", 4, 0.4, 101));
    assert.deepEqual(latest(), [[4, 101, 0.4, 0]]);
    await log(event("f1", 4, 0.3, 101));
    assert.deepEqual(latest(), [[4, 101, 0.4, 0]]);
    await log(event("f1", 5, NaN, 1));
    assert.deepEqual(latest(), [[5, 1, 0, 1]]);
  });
});

Deno.test("mlflow_db: a run that was deleted or ended is there again when it goes on", async () => {
  await inFolder(async (path) => {
    await using tracker = openMlflowDatabase(path, "winnow");
    await tracker.openRun(run(TRIAL));
    await tracker.endRun({ run_id: TRIAL, status: "KILLED", end_time: 5 });
    const db = new DatabaseSync(path);
    db.exec("UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = 7");
    db.close();
    await tracker.openRun(run(TRIAL));
    assert.deepEqual(
      rows(path, "SELECT status, end_time, lifecycle_stage, deleted_time FROM runs").map(Object.values),
      [["RUNNING", null, "active", null]],
    );
  });
});

Deno.test("mlflow_db: a busy file is away for now, and nothing of the batch is stored", async () => {
  await inFolder(async (path) => {
    await using tracker = openMlflowDatabase(path, "winnow");
    await tracker.openRun(run(TRIAL));
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    const started = performance.now();
    await assert.rejects(tracker.logBatch({ run_id: TRIAL, metrics: [event("loss", 1, 1)] }), TrackerAway);
    assert.ok(performance.now() - started < 1000, "it does not hold up training");
    other.exec("COMMIT");
    other.close();
    await tracker.logBatch({ run_id: TRIAL, metrics: [event("loss", 1, 1)] });
    assert.deepEqual(await tracker.loggedSteps(TRIAL), new Map([["loss", new Set([1])]]));
  });
});

Deno.test("mlflow_db: writes on while the tables are rebuilt with further columns", async () => {
  await inFolder(async (path) => {
    await using tracker = openMlflowDatabase(path, "winnow");
    await tracker.openRun(run(TRIAL));
    const mlflow = new DatabaseSync(path);
    mlflow.exec(`BEGIN; ALTER TABLE experiments ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
      CREATE TABLE _alembic_tmp_tags ("key" VARCHAR(250) NOT NULL, value VARCHAR(8000), run_uuid VARCHAR(32) NOT NULL,
        CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid));
      INSERT INTO _alembic_tmp_tags SELECT * FROM tags; DROP TABLE tags; ALTER TABLE _alembic_tmp_tags RENAME TO tags;
      UPDATE alembic_version SET version_num = 'of_the_future'; COMMIT`);
    mlflow.close();
    await tracker.logBatch({ run_id: TRIAL, metrics: [event("loss", 1, 1)], tags: { a: "b" } });
    assert.equal(rows(path, "SELECT * FROM tags WHERE key = 'a'").length, 1);
    await using again = openMlflowDatabase(path, "another");
    await again.openRun(run(STUDY));
    assert.deepEqual(all(path, "alembic_version"), [{ version_num: "of_the_future" }]);
  });
});

Deno.test("mlflow_db: a moved experiments folder takes its artifacts along", async () => {
  await inFolder(async (_, folder) => {
    const [before, after] = [join(folder, "before"), join(folder, "after")];
    const artifact = { run_id: TRIAL, path: "a.txt", content: { text: "1" } };
    {
      await using tracker = openMlflowDatabase(join(before, "mlflow.db"), "winnow");
      await tracker.openRun(run(TRIAL));
      await tracker.logArtifact(artifact);
    }
    await Deno.rename(before, after);
    await using tracker = openMlflowDatabase(join(after, "mlflow.db"), "winnow");
    await tracker.logArtifact({ ...artifact, path: "b.txt" });
    const names = [...Deno.readDirSync(join(after, "mlartifacts", mlflowRunId(TRIAL), "artifacts"))];
    assert.deepEqual(names.map(({ name }) => name).sort(), ["a.txt", "b.txt"]);
    assert.throws(() => Deno.statSync(before), Deno.errors.NotFound);
  });
});

Deno.test("mlflow_db: refuses what is not MLflow's, what is too old, and what was deleted, with a remedy", async () => {
  await inFolder(async (path, folder) => {
    const make = (name: string, ddl: string) => {
      const db = new DatabaseSync(join(folder, name));
      db.exec(ddl);
      db.close();
      return join(folder, name);
    };
    const refusal = (file: string, message: RegExp, remedy: RegExp) =>
      assert.throws(() => openMlflowDatabase(file, "winnow"), { name: "WinnowError", message, remedy });
    refusal(make("optuna.db", "CREATE TABLE studies (study_id INTEGER)"), /another program/, /tracking\.uri/);
    refusal(
      make("old.db", "CREATE TABLE experiments (experiment_id INTEGER, name TEXT)"),
      /has no artifact_location/,
      /mlflow db upgrade/,
    );
    await Deno.writeTextFile(join(folder, "text.db"), "not a database at all, but long enough to be looked at as one");
    refusal(join(folder, "text.db"), /file is not a database/, /tracking\.uri/);
    {
      await using _tracker = openMlflowDatabase(path, "winnow");
    }
    make("mlflow.db", "UPDATE experiments SET lifecycle_stage = 'deleted'");
    refusal(path, /has been deleted/, /tracking\.experiment/);
    assert.equal(databasePath("sqlite:////a/b.db"), "/a/b.db");
    assert.throws(() => databasePath("postgresql://user:secret@host/db"), (error: Error) => {
      assert.ok(!error.message.includes("secret"));
      return /is no SQLite file/.test(error.message);
    });
  });
});

Deno.test("mlflow_db: metrics of a run that was removed are refused for good", async () => {
  await inFolder(async (path) => {
    await using tracker = openMlflowDatabase(path, "winnow");
    await assert.rejects(tracker.logBatch({ run_id: TRIAL, metrics: [event("loss", 1, 1)] }), /it was removed there/);
  });
});
