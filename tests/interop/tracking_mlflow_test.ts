/** The real MLflow reads, upgrades and serves what Winnow tracks. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openMlflowDatabase } from "../../lib/tracking/mlflow_db.ts";
import { openTracker } from "../../lib/tracking/stores.ts";
import type { Tracker } from "../../lib/tracking/tracker.ts";
import { resultOf, runCommand, TINY, withFolder } from "../support/commands.ts";
import { readMlflow, type ReadRun, runMlflow, startRealServer } from "../support/mlflow_python.ts";
import { event, rows, run, STUDY, TRIAL } from "../support/tracking.ts";

const trialOf = (runs: ReadRun[], id = TRIAL) => {
  const found = runs.filter(({ tags }) => tags["winnow.run_id"] === id);
  assert.equal(found.length, 1);
  return found[0]!;
};

const METRICS = [
  event("validation/f1", 2, 0.25),
  event("validation/f1", 4, NaN),
  event("train/loss", 1, Infinity),
  event("train/loss", 2, -Infinity),
  event("stress @ work/ärger", 1, 0.1),
];

/** Everything a run can have. */
async function everything(tracker: Tracker): Promise<void> {
  await tracker.openRun(run(STUDY, { name: "study", tags: { "mlflow.note.content": "A **note**" } }));
  await tracker.openRun(run(TRIAL, { name: "trial 0", parent_id: STUDY, tags: { "winnow.adapter": "llvmpipe" } }));
  const params = { lr: "0.1", long: "x".repeat(13_000), empty: "", "data.criteria": `["A", "ü 😀"]` };
  await tracker.logBatch({ run_id: TRIAL, metrics: METRICS, params, tags: { long: "y".repeat(20_000) } });
  await tracker.logArtifact({ run_id: TRIAL, path: "config.yaml", content: { text: "a: 1\n" } });
  await tracker.logArtifact({ run_id: TRIAL, path: "reports/a b.json", content: { text: "{}" } });
  await tracker.endRun({ run_id: TRIAL, status: "FINISHED", end_time: 1_700_000_009_000 });
}

function assertEverything(runs: ReadRun[]): void {
  assert.equal(runs.length, 2);
  const trial = trialOf(runs), study = trialOf(runs, STUDY);
  assert.deepEqual(
    [trial.name, trial.status, trial.lifecycle, trial.start, trial.end],
    ["trial 0", "FINISHED", "active", 1_700_000_000_000, 1_700_000_009_000],
  );
  assert.equal(trial.tags["mlflow.parentRunId"], study.id);
  assert.equal(study.tags["mlflow.note.content"], "A **note**");
  assert.equal(trial.params["long"]! + trial.params["long.part2"]! + trial.params["long.part3"]!, "x".repeat(13_000));
  assert.deepEqual([trial.params["lr"], trial.params["empty"], trial.params["data.criteria"]], [
    "0.1",
    "",
    `["A", "ü 😀"]`,
  ]);
  const odd = Object.keys(trial.history).find((key) => key.startsWith("stress"))!;
  assert.match(odd, /^stress _ work\/ärger_[0-9a-f]{8}$/);
  // MLflow's SQL stores have no infinities: the largest floats stand for them, in its own client's runs too.
  const largest = 1.7976931348623157e308;
  const at = (step: number) => 1_700_000_001_000 + step;
  assert.deepEqual(trial.history, {
    "validation/f1": [[2, 0.25, at(2)], [4, "nan", at(4)]],
    "train/loss": [[1, largest, at(1)], [2, -largest, at(2)]],
    [odd]: [[1, 0.1, at(1)]],
  });
  assert.deepEqual(trial.latest, { "validation/f1": "nan", "train/loss": -largest, [odd]: 0.1 });
  assert.deepEqual(trial.artifacts, ["config.yaml", "reports"]);
}

Deno.test("MLflow reads our file, which it upgrades while Winnow goes on writing to it", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "mlflow.db");
    await using tracker = openMlflowDatabase(path, "winnow");
    await everything(tracker);

    // Writes every few milliseconds, in the same connection, until MLflow has upgraded the file and read it.
    let step = 100, isDone = false;
    const written: number[] = [];
    const longest = { ms: 0 };
    const writing = (async () => {
      while (!isDone || written.length < 50) {
        const started = performance.now();
        try {
          await tracker.logBatch({ run_id: STUDY, metrics: [{ ...event("during", step, step), run_id: STUDY }] });
          written.push(step++);
        } catch (error) {
          // Busy for a moment, as the outbox sees it; the same step comes again.
          assert.equal((error as Error).name, "TrackerAway", String(error));
        }
        longest.ms = Math.max(longest.ms, performance.now() - started);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    const first = await readMlflow(`sqlite:///${path}`).finally(() => isDone = true);
    await writing;
    assert.deepEqual([first.experiment, first.tags["mlflow.experimentKind"]], ["1", "custom_model_development"]);
    assert.notEqual(rows(path, "SELECT version_num FROM alembic_version")[0]!["version_num"], "acf3f17fdcc7");
    assert.ok(written.length >= 50);
    assert.ok(longest.ms < 2000, `a write took ${longest.ms} ms`);

    await everything(tracker); // and once more, after the upgrade
    const { runs } = await readMlflow(`sqlite:///${path}`);
    assertEverything(runs);
    const during = trialOf(runs, STUDY).history["during"]!.map(([at]) => at);
    assert.deepEqual(during, written);

    // A new process of ours, and a run by MLflow's own client beside it: the same rows for the same values.
    await using again = openMlflowDatabase(path, "winnow");
    await again.openRun(run(STUDY));
    const theirs = (await runMlflow("mlflow_write.py", `sqlite:///${path}`, "winnow")).trim();
    const values = [1, NaN, Infinity, -Infinity, 0.1].map((value, i) => event("validation/f1", i, value, 1000 + i));
    const other = "11111111-2222-4333-8444-555555555555";
    await again.openRun(run(other));
    await again.logBatch({ run_id: other, metrics: values.map((one) => ({ ...one, run_id: other })) });
    for (const table of ["metrics", "latest_metrics"]) {
      const of = (id: string) =>
        rows(path, `SELECT key, value, timestamp, step, is_nan FROM ${table} WHERE run_uuid = ? ORDER BY step`, id);
      assert.deepEqual(of(other.replaceAll("-", "")), of(theirs));
    }
  });
});

Deno.test("a real MLflow server has everything once, sent once or twice, and again by another process", async () => {
  await withFolder(async (folder) => {
    await using server = await startRealServer(folder);
    const open = () =>
      openTracker(
        { store: "mlflow_rest", uri: server.url, experiment: "winnow", token_file: null, token_command: null },
        { defaultFile: "unused", env: () => undefined },
      )!;
    const tracker = open();
    await everything(tracker);
    await everything(tracker);
    await everything(open());
    const { runs, tags } = await readMlflow(server.url);
    assertEverything(runs);
    assert.equal(tags["mlflow.experimentKind"], "custom_model_development");
    const odd = Object.keys(trialOf(runs).history).find((key) => key.startsWith("stress"))!;
    assert.deepEqual(
      await open().loggedSteps(TRIAL),
      new Map([[odd, new Set([1])], ["train/loss", new Set([1, 2])], ["validation/f1", new Set([2, 4])]]),
    );
    assert.equal(
      await Deno.readTextFile(join(folder, "artifacts/1", trialOf(runs).id, "artifacts/reports/a b.json")),
      "{}",
    );
    // More than one request of each kind takes, against the server's own checks.
    const metrics = Array.from(
      { length: 2500 },
      (_, step) => ({ ...event("train/many", step, step / 3), run_id: STUDY }),
    );
    const params = Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`p${i}`, "ü".repeat(5000)]));
    await tracker.logBatch({ run_id: STUDY, metrics, params });
    await assert.rejects(tracker.logBatch({ run_id: STUDY, params: { p1: "other" } }), /refuses a request/);
    await tracker.endRun({ run_id: STUDY, status: "FAILED", end_time: 1_700_000_009_000 });
    const study = trialOf((await readMlflow(server.url)).runs, STUDY);
    assert.deepEqual([study.history["train/many"]!.length, Object.keys(study.params).length], [2500, 250]);
    assert.deepEqual([study.status, study.params["p1"]], ["FAILED", "ü".repeat(5000)]);
  });
});

Deno.test("a whole study: its file served by MLflow's page, and the same study on a server", async () => {
  await withFolder(async (folder) => {
    const args = (name: string) => [
      ...["--json", ...TINY, "study.n_trials=2", "training.log_every=2", `paths.experiments=${join(folder, name)}`],
    ];
    const local = resultOf(await runCommand("train", args("local")));
    await using server = await startRealServer(folder, join(folder, "local/mlflow.db"));
    const remote = resultOf(
      await runCommand("train", [...args("remote"), "tracking.store=mlflow_rest", "tracking.experiment=remote"], {
        MLFLOW_TRACKING_URI: server.url,
      }),
    );

    const page = await (await fetch(server.url)).text();
    assert.match(page, /<title>MLflow<\/title>/);
    const api = await fetch(`${server.url}/ajax-api/2.0/mlflow/runs/search`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ experiment_ids: ["1"], filter: "tags.`winnow.trial_state` = 'COMPLETE'" }),
    });
    assert.equal((await api.json()).runs.length, 2);

    const [ours, theirs] = [await readMlflow(server.url), await readMlflow(server.url, "remote")];
    for (const [{ runs }, result] of [[ours, local], [theirs, remote]] as const) {
      assert.equal(runs.length, 3);
      const study = trialOf(runs, result.study_id);
      assert.deepEqual([study.status, ...study.artifacts], ["FINISHED", "summary_report.json"]);
      assert.equal(study.tags["winnow.completion_rate"], "1");
      for (const { trial_id, number, value } of result.trials) {
        const trial = trialOf(runs, trial_id);
        assert.deepEqual([trial.name, trial.status, trial.tags["mlflow.parentRunId"]], [
          `trial ${number}`,
          "FINISHED",
          study.id,
        ]);
        assert.deepEqual(trial.artifacts, ["config.yaml", "evaluation_report.json"]);
        assert.equal(Math.max(...trial.history[`validation/${result.metric}`]!.map(([, one]) => Number(one))), value);
        assert.deepEqual([trial.tags["winnow.trial_index"], trial.tags["winnow.n_trials"]], [String(number + 1), "2"]);
      }
    }
    // The same seed: the same values at the same steps in both stores.
    const curves = (runs: ReadRun[]) =>
      runs.filter(({ name }) => name.startsWith("trial")).sort((a, b) => a.name < b.name ? -1 : 1).map(({ history }) =>
        Object.entries(history).filter(([key]) => key !== "epoch_seconds").sort()
          .map(([key, points]) => [key, points.map(([step, value]) => [step, value])])
      );
    assert.deepEqual(curves(theirs.runs), curves(ours.runs));
  });
});
