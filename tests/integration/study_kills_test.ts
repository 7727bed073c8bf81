/**
 * `kill -9` at random moments of a study, one after the other, from its start to its end: whatever was going on, resume
 * works and the weights come out in the same bits. `WINNOW_KILLS=100` kills that often; `WINNOW_SEED` draws the moments.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { randomStream } from "../../lib/support/rng.ts";
import {
  loggedEvents,
  resultOf,
  runCommand,
  startCommand,
  storedTrials,
  type StudyOutput,
  TINY,
  trialFolders,
  withFolder,
} from "../support/commands.ts";

const KILLS = Number(Deno.env.get("WINNOW_KILLS") ?? 3);
const TRIALS = 2;
const SEED = Number(Deno.env.get("WINNOW_SEED") ?? Date.now() % 2 ** 31);

const EPOCHS = 6;

/** Of each trial its parameters' outcome: value, and SHA-256 of the best weights; the policy keeps both trials'. */
const weights = ({ trials }: StudyOutput) =>
  trials.map(({ value, checkpoint }) => [
    value,
    createHash("sha256").update(Deno.readFileSync(join(checkpoint!, "model.safetensors"))).digest("hex"),
  ]);

/** What a process was at when it was killed, by what it left. */
type Moment = "start" | "steps" | "save" | "deletion" | "log line" | "end of the first trial" | "end of the study";

function momentOf(experiments: string, pid: number, logged: number): Moment {
  const hidden = trialFolders(experiments).flatMap((trial) => {
    try {
      return [...Deno.readDirSync(join(trial, "checkpoints"))].map(({ name }) => name);
    } catch {
      return [];
    }
  }).filter((name) => name.startsWith(".") && name.endsWith(`-${pid}`));
  if (hidden.some((name) => name.includes(".partial-"))) return "save";
  if (hidden.length > 0) return "deletion";
  const torn = trialFolders(experiments).some((trial) => {
    try {
      const text = Deno.readTextFileSync(join(trial, "logs", "training.jsonl"));
      return text !== "" && !text.endsWith("\n");
    } catch {
      return false;
    }
  });
  if (torn) return "log line";
  const events = loggedEvents(experiments);
  if (events.length === logged) return "start";
  const last = events.findLast(({ message }) => message === "epoch" || message === "trial started");
  const isOver = last?.message === "epoch" && last.context["epoch"] === EPOCHS;
  const started = new Set(events.filter(({ message }) => message === "trial started").map(({ trial }) => trial)).size;
  return isOver && started === TRIALS
    ? "end of the study"
    : isOver
    ? "end of the first trial"
    : events.slice(logged).some(({ message }) => message === "step")
    ? "steps"
    : "start";
}

/**
 * Whether a study is stored, which is what there is to resume. It looks at copies of the database's files: to read what a
 * killed process left SQLite may have to mend it, which is for resume to do.
 */
function hasBegun(experiments: string): boolean {
  const folder = Deno.makeTempDirSync();
  try {
    for (const name of ["study.db", "study.db-wal"]) {
      if (existsSync(join(experiments, name))) Deno.copyFileSync(join(experiments, name), join(folder, name));
    }
    if (!existsSync(join(folder, "study.db"))) return false;
    const db = new DatabaseSync(join(folder, "study.db"));
    try {
      const hasTable = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'studies'").get() !== undefined;
      return hasTable && db.prepare("SELECT 1 FROM studies").get() !== undefined;
    } finally {
      db.close();
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Each epoch is reported once, and each step and epoch stands in the log; those that were run again stand there again. */
function assertNothingDoubled(experiments: string) {
  const epochs = Array.from({ length: EPOCHS }, (_, i) => i + 1);
  const events = loggedEvents(experiments);
  const trials = storedTrials(experiments);
  assert.equal(trials.length, TRIALS);
  for (const { state, values, reports } of trials) {
    assert.deepEqual([state, values, reports.map(({ step }) => step)], ["COMPLETE", 1, epochs]);
  }
  for (const [trial, own] of Map.groupBy(events, (event) => event.trial)) {
    const steps = new Set(own.filter(({ message }) => message === "step").map(({ step }) => step!));
    if (steps.size === 0) continue;
    assert.deepEqual([...steps].sort((a, b) => a - b), Array.from({ length: steps.size }, (_, i) => i + 1), trial);
    const logged = new Set(own.filter(({ message }) => message === "epoch").map(({ context }) => context["epoch"]));
    assert.deepEqual([...logged].sort((a, b) => a - b), epochs, trial);
  }
}

Deno.test(`${KILLS} times kill -9 at random moments, seed ${SEED}: resumed each time, the same bits in the end`, async () => {
  await withFolder(async (folder) => {
    const settings = (name: string) => [
      ...["--json", ...TINY, `training.epochs=${EPOCHS}`, "training.early_stopping=null"],
      ...["retention.save_every_steps=2", `retention.keep_best_k=${TRIALS}`, "training.log_every=1"],
      "search_space={training.learning_rate: {type: float, low: 1e-4, high: 1e-3}}",
      `study.n_trials=${TRIALS}`,
      `paths.experiments=${join(folder, name)}`,
    ];
    const began = performance.now();
    const expected = weights(resultOf(await runCommand("train", settings("whole"))));
    const wholeMs = performance.now() - began;
    const times = loggedEvents(join(folder, "whole")).map(({ time }) => Date.parse(time));
    const trainingMs = times.at(-1)! - times[0]!;

    const random = randomStream(SEED, "kills");
    const moments: Partial<Record<Moment, number>> = {};
    let kills = 0, studies = 0;
    while (kills < KILLS) {
      const name = `killed${++studies}`, experiments = join(folder, name);
      for (;;) {
        const running = hasBegun(experiments)
          ? startCommand("resume", ["--json", `paths.experiments=${experiments}`])
          : startCommand("train", settings(name));
        const logged = loggedEvents(experiments).length;
        let ended = false;
        running.done.then(() => ended = true);
        if (kills < KILLS) {
          // Half of them from the process's start on, half from where its trial goes on: most of a run is its start.
          const isFromTrial = random.uniform() < 0.5;
          const pause = () => new Promise((resolve) => setTimeout(resolve, 5));
          while (isFromTrial && !ended && loggedEvents(experiments).length === logged) await pause();
          const until = performance.now() + random.uniform() * (isFromTrial ? trainingMs : wholeMs);
          while (!ended && performance.now() < until) await pause();
          if (!ended) {
            running.child.kill("SIGKILL");
          }
        }
        const finished = await running.done;
        if (finished.code === 137) {
          kills++;
          const moment = momentOf(experiments, running.child.pid, logged);
          moments[moment] = (moments[moment] ?? 0) + 1;
          continue;
        }
        assert.deepEqual(weights(resultOf(finished)), expected, `study ${studies}, ${kills} kills so far`);
        assertNothingDoubled(experiments);
        break;
      }
    }
    if (KILLS > 3) {
      console.log(JSON.stringify({ kills, studies, moments, whole_ms: Math.round(wholeMs), training_ms: trainingMs }));
    }
  });
});
