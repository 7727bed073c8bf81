/** Augmentation in a study: it reaches training and report, survives an interruption, and costs nothing where it is off. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import {
  loggedEvents,
  resultOf,
  ROOT,
  runCommand,
  startCommand,
  type StudyOutput,
  TINY,
  trialFolders,
  withFolder,
} from "../support/commands.ts";
import { oneStep } from "../support/refusals.ts";

const report = (experiments: string, result: StudyOutput) =>
  JSON.parse(
    Deno.readTextFileSync(join(experiments, `trial_${result.best_trial_id}`, "evaluation_report.json")),
  );
const weights = (result: StudyOutput) =>
  createHash("sha256").update(Deno.readFileSync(join(result.trials[0]!.checkpoint!, "model.safetensors"))).digest(
    "hex",
  );

const AUGMENTED = ["augmentation=words", "augmentation.prob=0.5"];
const RUN = ["--mode", "single", "--json", ...TINY, "training.batch_size=2", "training.log_every=1", ...AUGMENTED];

Deno.test("an augmented trial trains on more posts, reports them, and ends in the same bits after an interruption", async () => {
  await withFolder(async (folder) => {
    const place = (name: string) => join(folder, name);
    const finished = await runCommand("train", [...RUN, `paths.experiments=${place("whole")}`]);
    const whole = resultOf(finished);
    const { augmentation, data, epochs } = report(place("whole"), whole);
    assert.ok(augmentation.made > 5);
    assert.ok(augmentation.made + augmentation.unchanged <= augmentation.candidates);
    assert.equal(epochs[0].step, Math.ceil((data.posts.train + augmentation.made) / 2), "steps of an epoch");
    assert.match(finished.stderr, /augmentation synonym, swap, char_perturb, delete: a copy of \d+ training posts/);

    const running = startCommand("train", [...RUN, `paths.experiments=${place("broken")}`]);
    const ended = () => loggedEvents(place("broken")).some(({ message }) => message === "checkpoint saved");
    await running.until("a checkpoint", ended);
    running.child.kill("SIGKILL");
    await running.done;
    const resumed = resultOf(await runCommand("resume", ["--json", `paths.experiments=${place("broken")}`]));
    assert.equal(weights(resumed), weights(whole));
    assert.deepEqual(report(place("broken"), resumed).augmentation, augmentation);

    const other = resultOf(await runCommand("train", [...RUN, "seed=43", `paths.experiments=${place("other")}`]));
    assert.notEqual(report(place("other"), other).augmentation.sha256, augmentation.sha256);
  });
});

Deno.test("a checkpoint of another augmentation is not continued, and is evaluated all the same", async () => {
  await withFolder(async (folder) => {
    const running = startCommand("train", [...RUN, `paths.experiments=${folder}`]);
    await running.until(
      "a checkpoint",
      () => loggedEvents(folder).some(({ message }) => message === "checkpoint saved"),
    );
    running.child.kill("SIGKILL");
    await running.done;
    // What a person must not do by hand, and what another version's methods would come to.
    const db = new DatabaseSync(join(folder, "study.db"));
    const where = "study_user_attributes WHERE key = 'winnow:config'";
    const [row] = db.prepare(`SELECT value_json AS value FROM ${where}`).all();
    const changed = String(row!["value"]).replace('"prob":0.5', '"prob":0.4');
    assert.notEqual(changed, row!["value"]);
    db.prepare("UPDATE study_user_attributes SET value_json = ? WHERE key = 'winnow:config'").run(changed);
    db.close();
    const { stderr } = await runCommand("resume", ["--json", `paths.experiments=${folder}`]);
    assert.match(
      stderr,
      /was made by another model or on other data: augmentation is "[0-9a-f]{64}", not "[0-9a-f]{64}"/,
    );
  });
  await withFolder(async (folder) => {
    const study = resultOf(await runCommand("train", oneStep(folder, ...AUGMENTED)));
    const again = await runCommand("evaluate", ["--json", "--study-id", study.study_id, `paths.experiments=${folder}`]);
    assert.equal(resultOf(again).best_value, study.best_value);
  });
});

Deno.test("a search chooses among subsets of methods; insert takes words from the model's own embeddings", async () => {
  await withFolder(async (folder) => {
    const first = resultOf(await runCommand("train", oneStep(join(folder, "first"))));
    const file = join(folder, "search.yaml");
    await Deno.writeTextFile(
      file,
      `defaults: [base, _self_]
study: { enqueue: [{ augmentation.methods: none }, { augmentation.methods: insert }, { augmentation.methods: "swap,delete" }] }
search_space:
  augmentation.methods: { type: categorical, choices: [none, "insert", "swap,delete"] }
  augmentation.prob: { type: float, low: 0.3, high: 0.5 }
`,
    );
    const experiments = join(folder, "search");
    const settings = oneStep(experiments, `model.id=${first.trials[0]!.checkpoint}`, "study.n_trials=6")
      .filter((argument, i, all) =>
        argument !== "--mode" && all[i - 1] !== "--mode" && !argument.startsWith("model.encoder")
      );
    const search = resultOf(await runCommand("train", ["--config", file, ...settings]));
    assert.ok(search.trials.every(({ state }) => state === "COMPLETE"));
    const reports = trialFolders(experiments)
      .map((trial) => JSON.parse(Deno.readTextFileSync(join(trial, "evaluation_report.json"))));
    for (const { params, augmentation } of reports) {
      const methods = params["augmentation.methods"];
      if (methods === "none") assert.equal(augmentation, undefined);
      else {
        assert.ok(Object.keys(augmentation.by_method).every((method) => methods.split(",").includes(method)));
        assert.equal(augmentation.suggestions, methods === "insert" ? "embedding" : null);
      }
    }
    assert.equal(new Set(reports.map(({ params }) => params["augmentation.methods"])).size, 3);
    assert.ok(reports.some(({ augmentation }) => augmentation?.by_method.insert?.made > 0));
  });
});

Deno.test("no task fetches WordNet or the translation library before somebody asks for them", async () => {
  for (const script of ["train", "resume", "evaluate", "translate"]) {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--no-lock", `scripts/${script}.ts`],
      cwd: ROOT,
    }).output();
    const { npmPackages, modules } = JSON.parse(new TextDecoder().decode(stdout));
    const packages = Object.keys(npmPackages);
    assert.ok(packages.some((name) => name.startsWith("zod@")), "the graph was read");
    assert.ok(
      modules.some(({ specifier }: { specifier: string }) => specifier.endsWith("/augmentation/translator.ts")),
    );
    assert.deepEqual(packages.filter((name) => /wordnet|transformers|onnxruntime|sharp/.test(name)), []);
  }
});
