/**
 * Time from the start of `deno task resume` to its first training step, of a small study that was killed in its only trial
 * and of one that was killed in its 1,001st: `deno task bench:resume [--rounds 5] [--trials 1000] [--json]`. The 1,000
 * trials are rows of study.db and folders with logs and reports, copied from a trial that was run; the best has its
 * checkpoints.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import { runCommand, startCommand, type Task, TINY, trialFolders, withFolder } from "../tests/support/commands.ts";
import { median } from "../lib/support/median.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    trials: { type: "string", default: "1000" },
    json: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds), count = Number(values.trials);

const COMMON = [
  ...["--json", ...TINY, "training.epochs=50", "training.early_stopping=null", "training.log_every=1"],
  "retention.save_every_steps=2",
];
const SEARCH = [
  "search_space={training.learning_rate: {type: float, low: 1e-5, high: 1e-3, log: true}, " +
  "training.weight_decay: {type: float, low: 0, high: 0.1}, model.hidden_dropout: {type: float, low: 0, high: 0.3}}",
  "study.pruner=none",
  `study.n_trials=${count + 2}`,
];

const textOf = async (path: string) => await Deno.readTextFile(path).catch(() => "");
/** Lines of a kind in the logs of these trial folders. */
async function countOf(message: string, folders: readonly string[]): Promise<number> {
  const texts = await Promise.all(folders.map((folder) => textOf(join(folder, "logs", "training.jsonl"))));
  return texts.reduce((sum, text) => sum + text.split(`"message":"${message}"`).length - 1, 0);
}

/** Milliseconds from the start of a command to its first step, at which it is killed. */
async function toFirstStep(task: Task, args: string[], folders: () => string[]): Promise<number> {
  const before = await countOf("step", folders());
  const started = performance.now();
  const { child, done } = startCommand(task, args);
  let ended = false;
  done.then(() => ended = true);
  while (await countOf("step", folders()) === before) {
    if (ended) throw new Error(`${task} ended before its first step:\n${(await done).stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const milliseconds = performance.now() - started;
  child.kill("SIGKILL");
  await done;
  return milliseconds;
}

/** Trains until so many checkpoints are saved in the running trial, the last of those there are, and kills it. */
async function killedStudy(experiments: string, more: string[], trials: number): Promise<void> {
  const { child, done } = startCommand("train", [...COMMON, ...more, `paths.experiments=${experiments}`]);
  for (let isThere = false; !isThere; await new Promise((resolve) => setTimeout(resolve, 5))) {
    const saved = await Promise.all(trialFolders(experiments).map((folder) => countOf("checkpoint saved", [folder])));
    isThere = saved.length === trials && saved.every((one) => one >= 2);
  }
  child.kill("SIGKILL");
  await done;
}

/** Makes of a study with one ended trial and one that runs a study with `count` ended ones. */
async function multiply(experiments: string): Promise<void> {
  const db = new DatabaseSync(join(experiments, "study.db"));
  db.exec("PRAGMA foreign_keys=OFF; BEGIN");
  const [first, running] = db.prepare("SELECT trial_id FROM trials ORDER BY number").all().map((row) =>
    Number(row["trial_id"])
  ) as [number, number];
  const idOf = (trial: number) =>
    JSON.parse(
      String(
        db.prepare("SELECT value_json FROM trial_user_attributes WHERE trial_id=? AND key='winnow:trial_id'")
          .get(trial)!["value_json"],
      ),
    );
  const firstId: string = idOf(first);
  const tables = ["trial_params", "trial_values", "trial_intermediate_values", "trial_user_attributes"];
  const last = 1_000_000;
  for (const table of ["trials", ...tables, "trial_heartbeats"]) {
    db.prepare(`UPDATE ${table} SET trial_id = ? WHERE trial_id = ?`).run(last, running);
  }
  db.prepare("UPDATE trials SET number = ? WHERE trial_id = ?").run(count, last);
  for (let number = 1; number < count; number++) {
    const trial = running + number, id = randomUUID();
    db.prepare(
      "INSERT INTO trials SELECT ?, ?, study_id, state, datetime_start, datetime_complete FROM trials WHERE trial_id = ?",
    ).run(trial, number, first);
    for (const table of tables) {
      const columns = db.prepare(`PRAGMA table_info(${table})`).all().map(({ name }) => String(name))
        .filter((name, i) => i > 0 && name !== "trial_id").map((name) => `"${name}"`).join(", ");
      db.prepare(`INSERT INTO ${table} (trial_id, ${columns}) SELECT ?, ${columns} FROM ${table} WHERE trial_id = ?`)
        .run(trial, first);
    }
    // Worse than the first, each a little differently, at other parameters.
    const share = ((number * 2654435761) >>> 0) / 2 ** 32;
    db.prepare("UPDATE trial_values SET value = value * ? WHERE trial_id = ?").run(0.999 * share, trial);
    db.prepare("UPDATE trial_params SET param_value = param_value * ? WHERE trial_id = ?").run(0.5 + share / 2, trial);
    db.prepare(
      "UPDATE trial_user_attributes SET value_json = replace(value_json, ?, ?) WHERE trial_id = ?",
    ).run(firstId, id, trial);
    const from = join(experiments, `trial_${firstId}`), to = join(experiments, `trial_${id}`);
    await Deno.mkdir(join(to, "logs"), { recursive: true });
    for (const name of ["config.yaml", "evaluation_report.json", join("logs", "training.jsonl")]) {
      await Deno.copyFile(join(from, name), join(to, name));
    }
  }
  db.exec("COMMIT");
  db.close();
}

await withFolder(async (folder) => {
  const small = join(folder, "small"), large = join(folder, "large");
  const fresh: number[] = [], resumed: number[] = [], resumedLarge: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const place = join(folder, `fresh${round}`);
    fresh.push(
      await toFirstStep(
        "train",
        [...COMMON, "--mode", "single", `paths.experiments=${place}`],
        () => trialFolders(place),
      ),
    );
    const started = performance.now();
    await runCommand("train", ["--help"]);
    bare.push(performance.now() - started);
  }
  await killedStudy(small, ["--mode", "single"], 1);
  const smallFolders = trialFolders(small);
  for (let round = 0; round < rounds; round++) {
    resumed.push(await toFirstStep("resume", ["--json", `paths.experiments=${small}`], () => smallFolders));
  }
  await killedStudy(large, [...SEARCH, "training.epochs=8"], 2);
  const running = await Promise.all(
    trialFolders(large).map(async (one) => ({ one, ended: await countOf("trial_completed", [one]) })),
  ).then((all) => all.find(({ ended }) => ended === 0)!.one);
  await multiply(large);
  for (let round = 0; round < rounds; round++) {
    resumedLarge.push(await toFirstStep("resume", ["--json", `paths.experiments=${large}`], () => [running]));
  }
  const result = {
    bench: "resume",
    rounds,
    trials: count,
    /** `train --help`: the runtime and all modules. */
    help_ms: Math.round(median(bare)),
    train_to_first_step_ms: Math.round(median(fresh)),
    resume_to_first_step_ms: Math.round(median(resumed)),
    resume_of_many_trials_to_first_step_ms: Math.round(median(resumedLarge)),
  };
  console.log(values.json ? JSON.stringify(result) : result);
});
