/** Studies on disks that run full at bad moments: the log, the study database and checkpoints all meet it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { freeBytes } from "../../lib/storage/disk.ts";
import {
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
        const ballast = await Deno.open(join(small, "ballast"), { write: true, create: true });
        const block = new Uint8Array(4096);
        for (let free = await freeBytes(small); free > 0; free = await freeBytes(small)) await ballast.write(block);
        ballast.close();
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
