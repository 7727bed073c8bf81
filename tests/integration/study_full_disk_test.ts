/** Studies on disks that run full at bad moments: the log, the study database and checkpoints all meet it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { freeBytes } from "../../lib/storage/disk.ts";
import {
  type LoggedEvent,
  loggedEvents,
  resultOf,
  runCommand,
  startCommand,
  storedTrials,
  type StudyOutput,
  TINY,
  trialFolders,
} from "../support/commands.ts";
import { mountRefusal, withTmpfs } from "./storage_tmpfs.ts";

const refusal = mountRefusal();
const EPOCHS = 6;
const settings = (experiments: string, ...more: string[]) => [
  "--json",
  ...TINY,
  `training.epochs=${EPOCHS}`,
  "training.early_stopping=null",
  "training.log_every=1",
  `paths.experiments=${experiments}`,
  ...more,
];
const grow = (folder: string, size: string) => {
  const { success } = new Deno.Command("mount", { args: ["-o", `remount,size=${size}`, folder] }).outputSync();
  assert.ok(success, "the file system did not grow");
};
const weights = (result: StudyOutput) =>
  createHash("sha256").update(Deno.readFileSync(join(result.trials[0]!.checkpoint!, "model.safetensors"))).digest(
    "hex",
  );

Deno.test({
  name:
    `a disk without a free byte: log and database go on with the reserve, the save stops, resume ends the same${refusal}`,
  ignore: refusal !== "",
}, async () => {
  // A metric without ties: of checkpoints that tie with the best a full disk may take all but one.
  const single = ["--mode", "single", "study.metric=validation_loss", "study.direction=minimize"];
  await withTmpfs("size=40m", async (folder) => {
    const whole = resultOf(await runCommand("train", [...single, ...settings(join(folder, "whole"))]));
    const expected = [whole.best_value, weights(whole)];
    // Each moment is one at which all of the room is taken: between two steps, and right after a save.
    for (const moment of ["step", "checkpoint saved"]) {
      await withTmpfs("size=8m", async (small) => {
        const run = startCommand("train", [...single, ...settings(small)]);
        const count = (message: string) => loggedEvents(small).filter((one) => one.message === message).length;
        await run.until(moment, () => count(moment) >= 2);
        run.child.kill("SIGSTOP");
        await fill(small, "free");
        run.child.kill("SIGCONT");
        const { code, stderr } = await run.done;
        assert.equal(code, 3, stderr);
        assert.match(stderr, /^error: disk full while saving a checkpoint: /m);
        assert.match(stderr, /^error: {3}[\d. ]+ MB {2}.*ballast$/m);
        assert.deepEqual(storedTrials(small).map(({ state }) => state), ["RUNNING"]);
        assert.ok(
          loggedEvents(small).some(({ level, message }) => level === "ERROR" && message.startsWith("disk full while")),
          "the log had room for the reason",
        );
        grow(small, "40m");
        const resumed = resultOf(await runCommand("resume", ["--json", `paths.experiments=${small}`]));
        assert.deepEqual([resumed.best_value, weights(resumed)], expected);
        const [trial] = storedTrials(small);
        assert.deepEqual(trial!.reports.map(({ step }) => step), Array.from({ length: EPOCHS }, (_, i) => i + 1));
        const epochs = loggedEvents(small).filter(({ message }) => message === "epoch").map(({ context }) =>
          context.epoch
        );
        assert.deepEqual([...new Set(epochs)], trial!.reports.map(({ step }) => step), "each epoch is in the log");
        assert.equal([...Deno.readDirSync(small)].filter(({ name }) => name === ".reserve").length, 0);
      });
    }
  });
});

/** All of the room that is left, to the last byte, the reserve's too where it is `taken` first. */
async function fill(folder: string, taken: "reserve" | "free"): Promise<void> {
  if (taken === "reserve") await Deno.remove(join(folder, ".reserve"));
  using ballast = await Deno.open(join(folder, "ballast"), { append: true, create: true });
  const block = new Uint8Array(4096);
  for (let free = await freeBytes(folder); free > 0; free = await freeBytes(folder)) await ballast.write(block);
}

/**
 * Stops a run at a moment at which it holds no lock of the study database, and writes to that as Optuna does: this deletes
 * the journal that Winnow would use again.
 */
async function stopBetweenCommits(child: Deno.ChildProcess, path: string): Promise<void> {
  using db = new DatabaseSync(path);
  for (;;) {
    child.kill("SIGSTOP");
    try {
      return db.exec("UPDATE studies SET study_name = study_name");
    } catch (error) {
      if (!(error as Error).message.includes("locked")) throw error;
      child.kill("SIGCONT");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

Deno.test({
  name: `without even the reserve the log waits, the database's commit fails, and resume ends the same${refusal}`,
  ignore: refusal !== "",
}, async () => {
  const single = ["--mode", "single", "study.metric=validation_loss", "study.direction=minimize"];
  await withTmpfs("size=40m", async (folder) => {
    const whole = resultOf(await runCommand("train", [...single, ...settings(join(folder, "whole"))]));
    const ends = new Set<string>();
    // Within the first epoch, whose report is the next commit, and within a later one.
    for (const epochs of [0, 2]) {
      await withTmpfs("size=10m", async (small) => {
        const run = startCommand("train", [...single, ...settings(small)]);
        const count = (message: string) => loggedEvents(small).filter((one) => one.message === message).length;
        await run.until(`epoch ${epochs}`, () => count("epoch") >= epochs && count("step") >= 1 + 3 * epochs);
        await stopBetweenCommits(run.child, join(small, "study.db"));
        assert.equal([...Deno.readDirSync(small)].filter(({ name }) => name === "study.db-journal").length, 0);
        const before = storedTrials(small)[0]!.reports;
        await fill(small, "reserve");
        run.child.kill("SIGCONT");
        const { code, stdout, stderr } = await run.done;
        assert.deepEqual([code, stdout], [3, ""], stderr);
        // On a slow machine the storage monitor has its say as well.
        const message = /^error: (disk full while .*|.*database or disk is full)$/m.exec(stderr)?.[1];
        assert.ok(message, `the error names the disk:\n${stderr}`);
        assert.match(stderr, /^ {2}remedy: .*(space|room)/mi);
        ends.add(/study\.db|database/.test(message) ? "commit" : "save");
        assert.deepEqual(storedTrials(small)[0]!.reports.slice(0, before.length), before, "what was stored is");
        grow(small, "40m");
        const resumed = resultOf(await runCommand("resume", ["--json", `paths.experiments=${small}`]));
        assert.deepEqual([resumed.best_value, weights(resumed)], [whole.best_value, weights(whole)]);
        const [trial] = storedTrials(small);
        assert.deepEqual([trial!.state, trial!.values], ["COMPLETE", 1]);
        const all = Array.from({ length: EPOCHS }, (_, i) => i + 1);
        assert.deepEqual(trial!.reports.map(({ step }) => step), all);
        const logged = (message: string, of: (event: LoggedEvent) => unknown) =>
          new Set(loggedEvents(small).filter((one) => one.message === message).map(of));
        assert.deepEqual([...logged("epoch", ({ context }) => context["epoch"])], all);
        const steps = [...logged("step", ({ step }) => step)] as number[];
        assert.deepEqual(steps.sort((a, b) => a - b), Array.from({ length: Math.max(...steps) }, (_, i) => i + 1));
      });
    }
    assert.ok(ends.has("commit"), `runs ended with ${[...ends]}`);
  });
});

Deno.test({
  name: `a study on a disk far smaller than its checkpoints together ends with all its trials${refusal}`,
  ignore: refusal !== "",
}, async () => {
  // A checkpoint is 0.5 MB; 8 trials of 6 epochs write 48 of them, 25 MB. SQLite's write-ahead logs take up to 4 MB.
  await withTmpfs("size=12m", async (folder) => {
    const search = [
      "search_space={training.learning_rate: {type: float, low: 1e-5, high: 1e-3, log: true}}",
      "study.n_trials=8",
      "retention.monitor_interval_seconds=0.1",
      "retention.disk_space_threshold_percent=95",
    ];
    const result = resultOf(await runCommand("train", settings(folder, ...search)));
    assert.deepEqual(result.trials.map(({ state }) => state), Array(8).fill("COMPLETE"));
    const best = result.trials.filter(({ value }) => value === result.best_value);
    for (const { checkpoint } of best) assert.ok(checkpoint, "the best have their checkpoints");
    const events = loggedEvents(folder);
    // Below 95% free it warns, and the tight policy holds from the second trial on.
    assert.ok(events.some(({ level, message }) => level === "WARNING" && /% free|below 95%/.test(message)));
    assert.ok(events.some(({ message }) => /keep_best_k=1, keep_last_n=0/.test(message)));
    assert.ok(events.some(({ message, context }) => message === "checkpoints pruned" && context.removed.length > 0));
    for (const trial of trialFolders(folder)) {
      assert.equal(
        loggedEvents(folder).filter((one) => trial.endsWith(one.trial) && one.message === "epoch").length,
        EPOCHS,
      );
    }
  });
});

Deno.test({
  name: `a study that was short of storage is held to the least by a resume too, with room again${refusal}`,
  ignore: refusal !== "",
}, async () => {
  await withTmpfs("size=200m", async (folder) => {
    const ballast = join(folder, "ballast");
    await Deno.writeFile(ballast, new Uint8Array(50_000_000));
    const search = [
      "search_space={training.learning_rate: {type: float, low: 1e-5, high: 1e-3, log: true}}",
      ...["study.n_trials=2", "retention.monitor_interval_seconds=0.1", "retention.disk_space_threshold_percent=90"],
    ];
    const run = await runCommand("train", settings(folder, ...search));
    const { study_id } = resultOf(run);
    assert.match(run.stderr, /warning: storage is short: .* from trial 1 on/);
    await Deno.remove(ballast);
    const resumed = await runCommand("resume", ["--json", "study.n_trials=3", `paths.experiments=${folder}`]);
    assert.equal(resultOf(resumed).trials.length, 3);
    assert.doesNotMatch(resumed.stderr, /storage is short|% free|below/, "nothing is short now");
    const log = await Deno.readTextFile(join(folder, `study_${study_id}`, "logs", "training.jsonl"));
    const told = log.split("\n").filter((line) => line.includes("storage was short in an earlier run"));
    assert.deepEqual(told.map((line) => JSON.parse(line).context), [{ tight_from: 1 }]);
  });
});
