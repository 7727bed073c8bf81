/** A study as a user runs it: `train` and `evaluate` as processes, what they print and what they leave. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { basename, join, relative } from "node:path";
import { z } from "zod";
import { loadConfig } from "../../lib/config/compose.ts";
import { verifyCheckpoint } from "../../lib/storage/checkpoint.ts";
import { METRICS } from "../../lib/train/metrics.ts";
import {
  follow,
  loggedEvents,
  resultOf,
  ROOT,
  runCommand,
  storedTrials,
  type StudyOutput,
  testMetrics,
  TINY,
  trialFolders,
  withFolder,
} from "../support/commands.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Four trials. The second has a batch size that does not fit gpu.memory_limit_gb, and the last another width. */
const STUDY = `
defaults: [base, { model: random_small }, _self_]
seed: 27
model: { encoder: { hidden_size: 32, num_hidden_layers: 1, intermediate_size: 64 } }
data: { max_length: 48, synthetic: { posts: 60 } }
training: { epochs: 2, batch_size: 8, learning_rate: 3.0e-3 }
study:
  name: small
  n_trials: 4
  enqueue:
    - { training.batch_size: 8, model.encoder.hidden_size: 32, training.learning_rate: 3.0e-3 }
    - { training.batch_size: 256 }
    - { training.batch_size: 8, model.encoder.hidden_size: 32 }
    - { training.batch_size: 8, model.encoder.hidden_size: 64 }
search_space:
  training.batch_size: { type: categorical, choices: [8, 256] }
  model.encoder.hidden_size: { type: categorical, choices: [32, 64] }
  training.learning_rate: { type: float, low: 1.0e-3, high: 1.0e-2, log: true }
gpu: { memory_limit_gb: 0.02 }
`;

const readJson = (path: string) => JSON.parse(Deno.readTextFileSync(path));
const names = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

/** The file's content as its contract in contracts/ sees it; throws what is against it. */
function checkContract(contract: string, path: string) {
  return z.fromJSONSchema(readJson(join(ROOT, "contracts", `${contract}.schema.json`))).parse(readJson(path));
}

Deno.test("a study ends with its result, its files and its reports, whatever one of its trials does", async (t) => {
  await withFolder(async (folder) => {
    const config = join(folder, "study.yaml"), experiments = join(folder, "experiments");
    await Deno.writeTextFile(config, STUDY);
    const finished = await runCommand("train", ["--config", config, "--json", `paths.experiments=${experiments}`]);
    const result = resultOf(finished);
    const { study_id, trials } = result;
    const best = trials.find(({ trial_id }) => trial_id === result.best_trial_id)!;
    const tested = testMetrics(result);

    await t.step("the last line of stdout is the result, and all else goes to stderr", () => {
      assert.deepEqual(
        Object.keys(result),
        ["study_id", "metric", "best_trial_id", "best_value", "summary_report", "trials"],
      );
      assert.match(study_id, UUID);
      assert.equal(result.metric, "criteria_macro_f1");
      assert.deepEqual(trials.map(({ number }) => number), [0, 1, 2, 3]);
      for (const trial of trials) {
        assert.deepEqual(Object.keys(trial), ["trial_id", "number", "state", "value", "checkpoint"]);
        assert.match(trial.trial_id, UUID);
      }
      assert.equal(best.value, result.best_value);
      const values = trials.flatMap(({ value }) => value === null ? [] : [value]);
      assert.equal(result.best_value, Math.max(...values));
      assert.equal(result.summary_report, join(experiments, `study_${study_id}`, "summary_report.json"));
      for (const text of ["adapter", "GPU memory", "checkpoints", "trial 4/4", "majority baseline", "report: "]) {
        assert.ok(finished.stderr.includes(text), `stderr shows ${text}:\n${finished.stderr}`);
      }
    });

    await t.step("the trial that was refused is stored as failed, with the reason, and the study goes on", () => {
      assert.deepEqual(trials.map(({ state }) => state), ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]);
      assert.deepEqual([trials[1]!.value, trials[1]!.checkpoint], [null, null]);
      const stored = storedTrials(experiments);
      assert.deepEqual(stored.map(({ state }) => state), trials.map(({ state }) => state));
      assert.deepEqual(stored.map(({ value }) => value), trials.map(({ value }) => value));
      assert.deepEqual(stored.map(({ reports }) => reports.map(({ step }) => step)), [[1, 2], [], [1, 2], [1, 2]]);
      const row = readJson(result.summary_report).trials[1];
      assert.match(row.failure, /needs [\d.]+ MB of GPU memory but gpu\.memory_limit_gb allows 20\.0 MB/);
      assert.match(finished.stderr, /trial 1 failed: .*gpu\.memory_limit_gb/);
    });

    await t.step("checkpoints are where the result says, and whole", async () => {
      for (const { trial_id, state, checkpoint } of trials) {
        if (state !== "COMPLETE") continue;
        const trial = join(experiments, `trial_${trial_id}`);
        assert.equal(join(checkpoint!, "../.."), trial);
        const { files } = await verifyCheckpoint(checkpoint!);
        const digest = (name: string) =>
          createHash("sha256").update(Deno.readFileSync(join(checkpoint!, name))).digest("hex");
        for (const [name, { sha256 }] of Object.entries(files)) assert.equal(sha256, digest(name), name);
        const report = readJson(join(trial, "evaluation_report.json"));
        assert.equal(report.checkpoint.folder, relative(experiments, checkpoint!));
        assert.equal(report.checkpoint.weights_sha256, files["model.safetensors"]!.sha256);
      }
    });

    await t.step("the folder is laid out as documented", () => {
      const expected = [
        ".lock",
        "data",
        "mlartifacts",
        "mlflow.db",
        "study.db",
        `study_${study_id}`,
        ...trials.map((one) => `trial_${one.trial_id}`),
      ];
      assert.deepEqual(names(experiments), expected.sort());
      for (const { trial_id, state } of trials) {
        const trial = join(experiments, `trial_${trial_id}`);
        assert.deepEqual(names(join(trial, "logs")), ["stdout.log", "training.jsonl"]);
        if (state !== "COMPLETE") continue;
        assert.deepEqual(names(trial), ["checkpoints", "config.yaml", "evaluation_report.json", "logs"]);
        const kept = names(join(trial, "checkpoints"));
        assert.ok(kept.length <= 2 && kept.every((name) => /^step_\d{8}$/.test(name)), String(kept));
      }
    });

    await t.step("reports follow their contracts and say what was run", () => {
      const summary = checkContract("summary_report", result.summary_report) as Record<string, unknown>;
      assert.deepEqual(
        [summary.study_id, summary.best_trial_id, summary.best_value],
        [study_id, result.best_trial_id, result.best_value],
      );
      for (const { name } of METRICS) if (name !== "validation_loss") assert.ok(name in tested.test, name);
      for (const { trial_id, state, value } of trials) {
        if (state !== "COMPLETE") continue;
        const trial = join(experiments, `trial_${trial_id}`);
        const report = checkContract("evaluation_report", join(trial, "evaluation_report.json")) as {
          value: number;
          config: { sha256: string };
          epochs: { epoch: number }[];
        };
        assert.equal(report.value, value);
        assert.deepEqual(report.epochs.map(({ epoch }) => epoch), [1, 2]);
        const yaml = Deno.readFileSync(join(trial, "config.yaml"));
        assert.equal(report.config.sha256, createHash("sha256").update(yaml).digest("hex"));
      }
    });

    await t.step("what a trial draws is what it trains", () => {
      const drawn = trials.map(({ trial_id, state, checkpoint }) => {
        if (state !== "COMPLETE") return undefined;
        const yaml = loadConfig({ file: join(experiments, `trial_${trial_id}`, "config.yaml") });
        assert.equal(readJson(join(checkpoint!, "config.json")).hidden_size, yaml.model.encoder!.hidden_size);
        return yaml.model.encoder!.hidden_size;
      });
      assert.deepEqual(drawn, [32, undefined, 32, 64]);
    });

    await t.step("evaluate repeats the test metrics of the study, also where the folder has moved", async () => {
      const moved = join(folder, "moved");
      await Deno.rename(experiments, moved);
      const args = ["--study-id", study_id, "--json", `paths.experiments=${moved}`];
      const again = resultOf(await runCommand("evaluate", args));
      const place = (path: string | null) => path && join(moved, relative(experiments, path));
      assert.deepEqual(again, {
        ...result,
        summary_report: place(result.summary_report),
        trials: trials.map((trial) => ({ ...trial, checkpoint: place(trial.checkpoint) })),
      });
      assert.deepEqual(testMetrics(again), tested);
      await Deno.rename(moved, experiments);
    });

    await t.step("evaluate of one trial gives its test metrics and adds them to its report", async () => {
      const evaluate = (id: string) =>
        runCommand("evaluate", ["--trial-id", id, "--json", `paths.experiments=${experiments}`]);
      const one = resultOf<{ test: unknown; evaluation_report: string }>(await evaluate(best.trial_id));
      assert.deepEqual(one, {
        study_id,
        metric: result.metric,
        ...best,
        evaluation_report: join(experiments, `trial_${best.trial_id}`, "evaluation_report.json"),
        ...tested,
      });
      assert.deepEqual((checkContract("evaluation_report", one.evaluation_report) as typeof one).test, one.test);

      const failed = await evaluate(trials[1]!.trial_id);
      assert.deepEqual([failed.code, failed.stdout], [2, ""]);
      assert.match(failed.stderr, /^error: trial \S+ has no checkpoint: it is FAIL$/m);
    });

    await t.step("ids that do not exist are named, with those that do", async () => {
      const id = "00000000-0000-4000-8000-000000000000";
      const place = `paths.experiments=${experiments}`;
      for (
        const [task, option] of [["evaluate", "--study-id"], ["evaluate", "--trial-id"], [
          "resume",
          "--study-id",
        ]] as const
      ) {
        const { code, stdout, stderr } = await runCommand(task, [option, id, "--json", place]);
        assert.deepEqual([code, stdout], [2, ""], stderr);
        assert.match(stderr, new RegExp(`^error: no (study|trial) ${id} in `, "m"));
        if (option === "--study-id") assert.ok(stderr.includes(study_id));
      }
    });

    await t.step("every trial of one shape takes the same GPU memory: nothing leaks from one to the next", () => {
      const bytes = loggedEvents(experiments).filter(({ message, trial }) =>
        message === "epoch" && [trials[0]!.trial_id, trials[2]!.trial_id].includes(trial)
      ).map(({ context }) => context.gpu_bytes);
      assert.equal(bytes.length, 4);
      // But for the sizes that stand in a program's uniforms: one is recorded when a batch of its length first comes up.
      const [least, most] = [Math.min(...bytes), Math.max(...bytes)];
      assert.ok(most - least < 0.01 * least, String(bytes));
      const [predicted] = loggedEvents(experiments).filter(({ message }) => message === "trial started")
        .map(({ context }) => context.predicted_gpu_bytes);
      assert.ok(most <= predicted, `${most} of ${predicted}`);
    });
  });
});

Deno.test("a trial that diverges is stored as failed; the model itself may be what is searched", async () => {
  await withFolder(async (folder) => {
    const place = (name: string) => `paths.experiments=${join(folder, name)}`;
    const short = [...TINY, "training.max_steps=2"];
    const first = resultOf(await runCommand("train", ["--mode", "single", "--json", place("first"), ...short]));
    const sound = first.trials[0]!.checkpoint!, broken = join(folder, "broken");
    await Deno.mkdir(broken);
    for (const name of names(sound)) await Deno.copyFile(join(sound, name), join(broken, name));
    const weights = Deno.readFileSync(join(broken, "model.safetensors"));
    const view = new DataView(weights.buffer);
    const start = 8 + Number(view.getBigUint64(0, true));
    for (let at = start; at < weights.length; at += 4) view.setFloat32(at, NaN, true);
    Deno.writeFileSync(join(broken, "model.safetensors"), weights);

    const config = join(folder, "models.yaml");
    await Deno.writeTextFile(
      config,
      `
defaults: [base, _self_]
seed: 6
model: { id: ${sound} }
study: { n_trials: 3, enqueue: [{ model.id: ${sound} }, { model.id: ${broken} }, { model.id: ${sound} }] }
search_space:
  model.id: { type: categorical, choices: [${sound}, ${broken}] }
`,
    );
    const args = ["--config", config, "--json", place("models"), ...short.filter((one) => !one.startsWith("model."))];
    const finished = await runCommand("train", args);
    const { trials } = resultOf(finished);
    const { trials: rows } = readJson(resultOf(finished).summary_report);
    for (const [i, { state }] of trials.entries()) {
      assert.equal(state, rows[i].params["model.id"] === sound ? "COMPLETE" : "FAIL");
    }
    assert.deepEqual(trials.map(({ state }) => state), ["COMPLETE", "FAIL", "COMPLETE"]);
    assert.match(rows[1].failure, /^the training diverged: loss NaN, gradient norm .* at step 1$/);
    const { winnow } = readJson(join(trials[2]!.checkpoint!, "config.json"));
    assert.deepEqual(winnow.base, { id: sound, revision: "local" });
  });
});

Deno.test("deno task train --mode single runs the configuration as it is, in a folder relative to the project", async () => {
  await withFolder(async (folder) => {
    const experiments = relative(ROOT, join(folder, "deep", "experiments"));
    const child = new Deno.Command(Deno.execPath(), {
      args: ["task", "train", "--mode", "single", `paths.experiments=${experiments}`, ...TINY, "training.max_steps=3"],
      cwd: ROOT,
      env: { NO_COLOR: "1" },
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const { code, stdout, stderr } = await follow(child).done;
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^adapter {6}\S/m, "without --json people read stdout");
    assert.match(stdout, /^test split .*majority baseline$/m);
    const [report] = /^report: (.*)$/m.exec(stdout)!.slice(1);
    const summary = readJson(join(ROOT, report!));
    assert.deepEqual(
      summary.trials.map(({ state, params }: StudyOutput["trials"][0] & { params: unknown }) => [state, params]),
      [
        ["COMPLETE", {}],
      ],
    );
    assert.equal(summary.co_best[0].checkpoint.step, 3);
    assert.equal(trialFolders(join(ROOT, experiments)).length, 1);
    assert.equal(
      summary.co_best[0].checkpoint.folder.split("/")[0],
      basename(trialFolders(join(ROOT, experiments))[0]!),
    );
  });
});

Deno.test("--mode dry-run checks everything, tells memory and disk, and trains nothing", async () => {
  await withFolder(async (experiments) => {
    const args = ["--mode", "dry-run", "--json", `paths.experiments=${experiments}`, ...TINY];
    const finished = await runCommand("train", args);
    const found = resultOf<Record<string, Record<string, unknown>>>(finished);
    assert.equal(found.mode as unknown, "dry-run");
    assert.deepEqual(found.data!.posts, { train: 42, validation: 9, test: 9 });
    const { total, ...parts } = found.memory as Record<string, number>;
    assert.equal(total, Object.values(parts).reduce((sum, bytes) => sum + bytes, 0));
    assert.equal(found.storage!.fits, true);
    for (const line of ["adapter", "data", "model", "GPU memory", "checkpoints"]) {
      assert.match(finished.stderr, new RegExp(`^${line} +\\S`, "m"));
    }
    assert.deepEqual(names(experiments), ["data"]);
  });
});

Deno.test("--mode dry-run counts the search space, conditions regarded, and draws from it; --cfg shows what would run", async () => {
  await withFolder(async (experiments) => {
    const settings = [`paths.experiments=${experiments}`, "search_space=tuning", ...TINY];
    const dry = runCommand("train", ["--mode", "dry-run", "--samples", "6", "--json", ...settings]);
    const [yaml, json] = await Promise.all([
      runCommand("train", ["--cfg", ...settings]),
      runCommand("train", ["--cfg", "--json", ...settings]),
    ]);
    // full: 1; bitfit and freeze: 2 each; lora: 2 · 29 ranks · 3 dropouts · 3 targets
    const finished = await dry, { search_space: space } = resultOf<Record<string, Record<string, unknown>>>(finished);
    assert.equal(space!.combinations, String(1 + 2 + 2 + 2 * 29 * 3 * 3));
    assert.deepEqual(space!.continuous, ["tuning.lora_alpha", "training.learning_rate"]);
    const samples = space!.samples as Record<string, unknown>[];
    assert.equal(samples.length, 6);
    for (const sample of samples) assert.equal("tuning.lora_rank" in sample, sample["tuning.mode"] === "lora");
    assert.match(finished.stderr, /^search space 527 combinations of 5 parameters, beside 2 continuous ones: /m);
    assert.match(finished.stderr, /^parameter +sample 5 +sample 6$/m);

    const file = join(experiments, "..", `${basename(experiments)}.yaml`);
    await Deno.writeTextFile(file, yaml.stdout);
    try {
      assert.deepEqual(loadConfig({ file }), resultOf(json));
    } finally {
      await Deno.remove(file);
    }
    assert.equal(
      loadConfig({ file: join(ROOT, "configs/quickstart.yaml"), overrides: settings }).search_space["tuning.mode"]!
        .type,
      "categorical",
    );
  });
});
