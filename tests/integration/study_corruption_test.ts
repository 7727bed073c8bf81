/**
 * Checkpoints of a killed study that a disk has damaged: resume uses the one before with a warning, ends in the same bits,
 * and where none is left says so. Real commands on real folders; every file with every kind of damage is in
 * `tests/unit/storage_checkpoint_test.ts`.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  loggedEvents,
  resultOf,
  runCommand,
  startAll,
  startCommand,
  storedTrials,
  type StudyOutput,
  TINY,
  trialFolders,
  withFolder,
} from "../support/commands.ts";
import { assertRefused } from "../support/refusals.ts";

const EPOCHS = 4;
const settings = (experiments: string) => [
  ...["--json", "--mode", "single", ...TINY, `training.epochs=${EPOCHS}`, "training.early_stopping=null"],
  // A metric without ties that falls with each epoch, and a stop behind the third: the newest is the best one too.
  ...["study.metric=validation_loss", "study.direction=minimize", "retention.keep_last_n=3", "training.log_every=1"],
  `paths.experiments=${experiments}`,
];
const resume = (experiments: string) => runCommand("resume", ["--json", `paths.experiments=${experiments}`]);
const outcome = ({ best_value, trials }: StudyOutput) => [
  best_value,
  createHash("sha256").update(Deno.readFileSync(join(trials[0]!.checkpoint!, "model.safetensors"))).digest("hex"),
];
const checkpointsIn = (experiments: string) => {
  const folder = join(trialFolders(experiments)[0]!, "checkpoints");
  return [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name.startsWith("step_")).sort()
    .map((name) => join(folder, name));
};

/** What a disk does to a file. */
const DAMAGES: Record<string, (path: string) => void> = {
  flipped(path) {
    const bytes = Deno.readFileSync(path);
    bytes[bytes.length >> 1]! ^= 1;
    Deno.writeFileSync(path, bytes);
  },
  truncated: (path) => Deno.truncateSync(path, Deno.statSync(path).size - 1),
  emptied: (path) => Deno.truncateSync(path, 0),
  missing: (path) => Deno.removeSync(path),
};

Deno.test("a killed study whose checkpoints are damaged", async (t) => {
  await withFolder(async (folder) => {
    const killed = join(folder, "killed");
    const copy = (name: string) => {
      const { success } = new Deno.Command("cp", { args: ["-r", killed, join(folder, name)] }).outputSync();
      assert.ok(success);
      return join(folder, name);
    };
    const whole = runCommand("train", settings(join(folder, "whole"))).then(resultOf<StudyOutput>);
    const run = startCommand("train", settings(killed));
    const saved = () => loggedEvents(killed).filter(({ message }) => message === "checkpoint saved").length;
    await run.until("its third checkpoint", () => saved() >= 3);
    run.child.kill("SIGKILL");
    await run.done;
    const expected = outcome(await whole);
    const names = checkpointsIn(killed).map((path) => path.split("/").at(-1)!);
    assert.ok(names.length >= 3, names.join());
    const newest = names.at(-1)!;

    const files = [...Deno.readDirSync(checkpointsIn(killed).at(-1)!)].map(({ name }) => name).sort();
    assert.ok(files.includes("manifest.json") && files.includes("optimizer.safetensors"), files.join());
    const kinds = Object.keys(DAMAGES);
    // Each file with one kind of damage, the two large ones with each.
    const cases = files.flatMap((file, i) =>
      file.endsWith(".safetensors") ? kinds.map((kind) => [file, kind]) : [[file, kinds[i % kinds.length]!]]
    ) as [string, string][];
    const runs = startAll(
      Object.fromEntries(cases.map(([file, kind]) => [`${file} ${kind}`, () => {
        const experiments = copy(`${file}-${kind}`);
        DAMAGES[kind]!(join(checkpointsIn(experiments).at(-1)!, file));
        return resume(experiments);
      }])),
      2,
    );
    for (const [file, kind] of cases) {
      await t.step(`${file} of the newest ${kind}: the one before, with a warning, and the same bits`, async () => {
        const finished = await runs[`${file} ${kind}`]!;
        assert.deepEqual(outcome(resultOf(finished)), expected);
        assert.match(finished.stderr, new RegExp(`^warning: .*${newest}.*${file.replaceAll(".", "\\.")}`, "m"));
        const experiments = join(folder, `${file}-${kind}`);
        const events = loggedEvents(experiments);
        const again = events.slice(events.findLastIndex(({ message }) => message === "trial started"));
        const warnings = again.filter(({ level }) => level === "WARNING").map(({ message }) => message);
        assert.ok(warnings.some((one) => one.includes(newest) && one.includes(file)), warnings.join("\n"));
        // It went on behind the second: the third epoch's steps are there again, the second's are not.
        const [second, third] = names.slice(-2).map((name) => Number(name.slice(5)));
        const steps = again.filter(({ message }) => message === "step").map(({ step }) => step!);
        assert.ok(steps[0]! === second! + 1 && steps[0]! <= third!, `went on at step ${steps[0]}`);
        const [trial] = storedTrials(experiments);
        assert.deepEqual(trial!.reports.map(({ step }) => step), Array.from({ length: EPOCHS }, (_, i) => i + 1));
      });
    }

    await t.step("all of them damaged: the error says so, and without them the trial begins anew", async () => {
      const experiments = copy("all");
      for (const checkpoint of checkpointsIn(experiments)) {
        DAMAGES["flipped"]!(join(checkpoint, "optimizer.safetensors"));
      }
      const parent = join(checkpointsIn(experiments)[0]!, "..");
      assertRefused(await resume(experiments), {
        code: 3,
        error:
          /^error: no checkpoint is left to resume from in \S+checkpoints: damaged checkpoint \S+step_\d+: optimizer\.safetensors has SHA-256/m,
        remedy: /Restore one from a copy, or delete that folder to train the trial from its beginning/,
      });
      assert.deepEqual(storedTrials(experiments).map(({ state }) => state), ["RUNNING"]);
      assert.equal(checkpointsIn(experiments).length, names.length, "damaged ones are left for a person to look at");
      Deno.removeSync(parent, { recursive: true });
      assert.deepEqual(outcome(resultOf(await resume(experiments))), expected);
    });
  });
});

Deno.test("the best checkpoint damaged: what is reported is the best that is left, with a warning", async () => {
  await withFolder(async (experiments) => {
    // The other way round the first epoch is the best.
    const run = startCommand("train", [...settings(experiments), "study.direction=maximize"]);
    const saved = () => loggedEvents(experiments).filter(({ message }) => message === "checkpoint saved").length;
    await run.until("its second checkpoint", () => saved() >= 2);
    run.child.kill("SIGKILL");
    await run.done;
    DAMAGES["flipped"]!(join(checkpointsIn(experiments)[0]!, "model.safetensors"));

    const finished = await resume(experiments);
    const result = resultOf(finished);
    assert.match(finished.stderr, /the checkpoint of epoch 1, the best one, is lost: the best that is left is epoch 2/);
    const [trial] = storedTrials(experiments);
    const [first, second] = trial!.reports.map(({ value }) => value);
    assert.ok(first! > second!);
    assert.deepEqual([trial!.value, result.best_value], [second, second]);
    const manifest = JSON.parse(Deno.readTextFileSync(join(result.trials[0]!.checkpoint!, "manifest.json")));
    assert.deepEqual([manifest.info.epoch, manifest.info.metrics.validation_loss], [2, second]);
    resultOf(
      await runCommand("evaluate", ["--json", "--study-id", result.study_id, `paths.experiments=${experiments}`]),
    );
  });
});
