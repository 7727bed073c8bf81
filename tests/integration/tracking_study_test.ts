/** A study in its tracking store: whatever interrupts it, and whatever befalls the server, each value is there once. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  loggedEvents,
  resultOf,
  runCommand,
  startCommand,
  storedTrials,
  TINY,
  withFolder,
} from "../support/commands.ts";
import { startMlflow } from "../support/mlflow_server.ts";
import { rows } from "../support/tracking.ts";

/** Two epochs of 21 steps. */
const RUN = [
  ...["--json", "--mode", "single", ...TINY, "training.batch_size=2", "training.learning_rate=3e-3", "seed=4"],
  ...["training.log_every=3", "training.early_stopping=null", "study.metric=criteria_macro_pr_auc"],
];
const TRAIN = ["train/criteria_loss", "train/gradient_norm", "train/learning_rate", "train/loss", "train/span_loss"];
/** Multiples of log_every, and the last step of each epoch. */
const TRAIN_STEPS = [3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42];

/** A value that a store has: metric, step and value, all as text. */
type Value = string;

const values = (path: string): Value[] =>
  rows(
    path,
    "SELECT m.key, step, m.value, is_nan FROM metrics m JOIN tags t USING (run_uuid) WHERE t.key = 'winnow.trial_id'",
  )
    .map(({ key, step, value, is_nan }) => `${key} ${step} ${is_nan ? NaN : value}`);

/** Without what depends on the clock, in order. */
const comparable = (found: readonly Value[]) => found.filter((one) => !one.startsWith("epoch_seconds")).sort();

const logged = (experiments: string, message: string) =>
  loggedEvents(experiments).filter((event) => event.message === message);

Deno.test("tracking: a study that is killed four times has each metric at each step once, with the same values", async () => {
  await withFolder(async (folder) => {
    const whole = join(folder, "whole"), killed = join(folder, "killed");
    const result = resultOf(await runCommand("train", [...RUN, `paths.experiments=${whole}`]));
    const expected = values(join(whole, "mlflow.db"));
    for (const metric of TRAIN) {
      const steps = expected.filter((one) => one.startsWith(`${metric} `)).map((one) => Number(one.split(" ")[1]));
      assert.deepEqual(steps.sort((a, b) => a - b), TRAIN_STEPS, metric);
    }
    const validation = Object.keys(logged(whole, "epoch")[0]!.context["validation"]).map((key) => `validation/${key}`);
    for (const metric of [...validation, "epoch", "epoch_seconds", "train/epoch_loss"]) {
      assert.equal(expected.filter((one) => one.startsWith(`${metric} `)).length, 2, metric);
    }

    const place = `paths.experiments=${killed}`;
    const step = (count: number) => () => logged(killed, "step").some((event) => event.step! >= count);
    const moments: [signal: Deno.Signal, what: string, when: () => boolean][] = [
      ["SIGKILL", "step 10", step(10)],
      [
        "SIGINT",
        "step 20 of the next run",
        () => logged(killed, "step").filter((event) => event.step === 18).length > 0,
      ],
      ["SIGKILL", "the first epoch", () => logged(killed, "epoch").length > 0],
      ["SIGKILL", "step 40", step(40)],
    ];
    let running = startCommand("train", [...RUN, place]);
    for (const [signal, what, when] of moments) {
      await running.until(what, when);
      running.child.kill(signal);
      await running.done;
      running = startCommand("resume", ["--json", place]);
    }
    assert.equal(resultOf(await running.done).best_value, result.best_value);
    const found = values(join(killed, "mlflow.db"));
    assert.deepEqual(comparable(found), comparable(expected));
    assert.equal(found.length, expected.length);

    const runs = rows(join(killed, "mlflow.db"), "SELECT name, status FROM runs ORDER BY start_time, name").map(
      Object.values,
    );
    assert.deepEqual(runs, [["quickstart", "FINISHED"], ["trial 0", "FINISHED"]]);
    const once = rows(
      join(killed, "mlflow.db"),
      "SELECT count(*) AS n FROM metrics WHERE key IN ('trial/value', 'best_so_far')",
    );
    assert.equal(once[0]!["n"], 2);
  });
});

Deno.test("tracking: a server that fails in every way while a study runs ends with each value once", async () => {
  await withFolder(async (folder) => {
    await using server = startMlflow();
    let asked = 0;
    // Every sixth request fails in one way or another.
    server.trouble = () => {
      const turn = ++asked;
      if (turn % 6 !== 0) return undefined;
      return (["lost", "half", { status: 500 }, { status: 429 }] as const)[(turn / 6) % 4];
    };
    const whole = join(folder, "whole"), tracked = join(folder, "tracked");
    const [first, second] = await Promise.all([
      runCommand("train", [...RUN, `paths.experiments=${whole}`]),
      runCommand("train", [
        ...RUN,
        `paths.experiments=${tracked}`,
        "tracking.store=mlflow_rest",
        `tracking.uri=${server.url}`,
      ], {
        MLFLOW_TRACKING_TOKEN: "s3cret-token",
      }),
    ]);
    resultOf(first);
    const result = resultOf(second);
    const trial = server.run(result.trials[0]!.trial_id);
    const found = trial.metrics.map(({ key, step, value }) => `${key} ${step} ${value}`);
    assert.deepEqual(comparable(found), comparable(values(join(whole, "mlflow.db"))));
    assert.deepEqual([trial.status, trial.tags.get("winnow.trial_state")], ["FINISHED", "COMPLETE"]);
    assert.deepEqual([...trial.artifacts.keys()], ["config.yaml", "evaluation_report.json"]);
    const study = server.run(result.study_id);
    assert.deepEqual([study.status, ...study.artifacts.keys()], ["FINISHED", "summary_report.json"]);
    assert.equal(trial.tags.get("mlflow.parentRunId"), study.run_id);
    assert.ok(server.asked.every(({ authorization }) => authorization === "Bearer s3cret-token"));
    assert.ok(!second.stderr.includes("s3cret"));
    assert.ok(!JSON.stringify([...trial.params, ...trial.tags, ...study.params, ...study.tags]).includes("s3cret"));
    await assert.rejects(Deno.stat(join(tracked, "mlflow.db")), Deno.errors.NotFound);
  });
});

Deno.test("tracking: a server that is away from the middle on holds up nothing: kill, resume to the end, and resume delivers", async () => {
  await withFolder(async (folder) => {
    await using server = startMlflow();
    const whole = join(folder, "whole"), experiments = join(folder, "experiments");
    const expected = resultOf(await runCommand("train", [...RUN, `paths.experiments=${whole}`]));
    const place = `paths.experiments=${experiments}`;
    const tracked = [...RUN, place, "tracking.store=mlflow_rest", `tracking.uri=${server.url}`];
    const running = startCommand("train", tracked);
    await running.until("step 10", () => logged(experiments, "step").some(({ step }) => step! >= 10));
    server.trouble = () => ({ status: 503 });
    await running.until("step 30", () => logged(experiments, "step").some(({ step }) => step! >= 30));
    running.child.kill("SIGKILL");
    await running.done;

    const finished = await runCommand("resume", ["--json", place]);
    const result = resultOf(finished);
    assert.equal(result.best_value, expected.best_value);
    assert.match(finished.stderr, /warning: http:\/\/127\.0\.0\.1:\d+ is away: .* answers 503/);
    assert.match(finished.stderr, /has not got everything yet: what is left waits in .*tracking_buffer\.jsonl/);
    assert.match(finished.stderr, new RegExp(`deno task resume --study-id ${result.study_id}. delivers it`));
    assert.deepEqual(storedTrials(experiments).map(({ state }) => state), ["COMPLETE"]);
    const buffer = join(experiments, `study_${result.study_id}`, "tracking_buffer.jsonl");
    assert.ok(Deno.statSync(buffer).size > 1000);

    server.trouble = () => undefined;
    const last = await runCommand("resume", ["--json", place, "--study-id", result.study_id]);
    assert.deepEqual(resultOf(last), result);
    assert.ok(!last.stderr.includes("is away"), last.stderr);
    const { test_evaluations } = JSON.parse(Deno.readTextFileSync(result.summary_report));
    assert.equal(test_evaluations.length, 1, "a study that is finished is not evaluated again by resume");
    await assert.rejects(Deno.stat(buffer), Deno.errors.NotFound);
    const trial = server.run(result.trials[0]!.trial_id), study = server.run(result.study_id);
    const found = trial.metrics.map(({ key, step, value }) => `${key} ${step} ${value}`);
    assert.deepEqual(comparable(found), comparable(values(join(whole, "mlflow.db"))));
    assert.deepEqual([trial.status, study.status], ["FINISHED", "FINISHED"]);
    assert.deepEqual([...trial.artifacts.keys()], ["config.yaml", "evaluation_report.json"]);
    assert.deepEqual(study.metrics.map(({ key }) => key).sort(), ["best_so_far", "trial/value"]);
  });
});

Deno.test("tracking: a token that expires while a study runs loses nothing; with the new one in its file all arrives", async () => {
  await withFolder(async (folder) => {
    await using server = startMlflow();
    server.authorization = "Bearer first";
    const experiments = join(folder, "experiments"), token = join(folder, "token");
    await Deno.writeTextFile(token, "first\n");
    const place = `paths.experiments=${experiments}`;
    const tracked = ["tracking.store=mlflow_rest", `tracking.uri=${server.url}`, `tracking.token_file=${token}`];
    const running = startCommand("train", [...RUN, place, ...tracked]);
    await running.until("step 10", () => logged(experiments, "step").some(({ step }) => step! >= 10));
    server.authorization = "Bearer second";
    const finished = await running.done;
    const result = resultOf(finished);
    assert.match(finished.stderr, /is away: the tracking server .* does not know who asks: .*a token may have expired/);
    await Deno.writeTextFile(token, "second\n");
    resultOf(await runCommand("resume", ["--json", place, "--study-id", result.study_id]));
    const found = server.run(result.trials[0]!.trial_id).metrics.map(({ key, step }) => `${key} ${step}`);
    assert.equal(new Set(found).size, found.length);
    for (const metric of TRAIN) {
      assert.deepEqual(TRAIN_STEPS.filter((step) => !found.includes(`${metric} ${step}`)), [], metric);
    }
  });
});

Deno.test("tracking: a server that is not there at the start is an input error with the remedy; none needs none", async () => {
  await withFolder(async (folder) => {
    const server = startMlflow();
    await server[Symbol.asyncDispose]();
    const place = `paths.experiments=${folder}`;
    const refused = await runCommand("train", [
      ...RUN,
      place,
      "tracking.store=mlflow_rest",
      `tracking.uri=${server.url}`,
    ]);
    assert.equal(refused.code, 2, refused.stderr);
    assert.match(refused.stderr, /the tracking store http:\/\/127\.0\.0\.1:\d+ is not there: no answer/);
    assert.match(refused.stderr, /Start it or check tracking\.uri, or set tracking\.store=mlflow_db/);
    assert.match(refused.stderr, /trying again in 8 s/);
    assert.deepEqual(rows(join(folder, "study.db"), "SELECT * FROM studies"), []);
    resultOf(await runCommand("train", [...RUN, place, "tracking.store=none", "training.epochs=1"]));
    await assert.rejects(Deno.stat(join(folder, "mlflow.db")), Deno.errors.NotFound);
  });
});

Deno.test("tracking: no text of a post, no place and no setting of the tracking in params, tags and metrics", async () => {
  await withFolder(async (folder) => {
    resultOf(await runCommand("train", [...RUN, `paths.experiments=${folder}`, "training.epochs=1"]));
    const path = join(folder, "mlflow.db");
    const all = ["params", "tags", "metrics", "runs"].flatMap((table) => rows(path, `SELECT * FROM ${table}`));
    const text = JSON.stringify(all.filter((row) => !("artifact_uri" in row)));
    const posts = [...Deno.readDirSync(join(folder, "data"))]
      .map(({ name }) => Deno.readTextFileSync(join(folder, "data", name, "redsm5_posts.csv")).split("\n"))
      .flatMap((lines) => lines.flatMap((line) => /^syn_\d+,"?(.{20})/.exec(line)?.[1] ?? []));
    assert.ok(posts.length >= 30);
    for (const post of posts) assert.ok(!text.includes(post), post);
    assert.ok(!text.includes(folder) && !text.includes("tracking."));
    const keys = rows(path, "SELECT DISTINCT key FROM params").map(({ key }) => key);
    for (const key of ["training.learning_rate", "model.criteria_head_type", "seed", "data.criteria"]) {
      assert.ok(keys.includes(key), key);
    }
  });
});
