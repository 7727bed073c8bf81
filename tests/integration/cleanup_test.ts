/** `deno task cleanup` on real studies: what it lists, that it changes nothing unless told, and what it never breaks. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { folderBytes } from "../../lib/storage/disk.ts";
import type { CleanupReport } from "../../lib/study/cleanup.ts";
import { loggedEvents, resultOf, runCommand, startCommand, TINY, withFolder } from "../support/commands.ts";
import { assertRefused } from "../support/refusals.ts";

const namesBelow = (folder: string): string[] =>
  [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
    isDirectory ? namesBelow(join(folder, name)).map((one) => join(name, one)) : [name]
  ).sort();

const cleanup = async (experiments: string, ...args: string[]) =>
  resultOf<CleanupReport>(await runCommand("cleanup", ["--json", `paths.experiments=${experiments}`, ...args]));

const SEARCH = ["search_space={training.learning_rate: {type: float, low: 1e-4, high: 1e-3}}", "study.n_trials=3"];

Deno.test("cleanup lists, deletes with --execute only, and leaves a study that resumes to the same result", async (t) => {
  await withFolder(async (folder) => {
    const experiments = join(folder, "killed");
    const settings = (
      place: string,
    ) => ["--json", ...TINY, ...SEARCH, "training.epochs=4", `paths.experiments=${place}`];
    const run = startCommand("train", settings(experiments));
    const saved = () => loggedEvents(experiments).filter(({ message }) => message === "checkpoint saved").length;
    await run.until("the second trial's first checkpoints", () => saved() >= 6);
    run.child.kill("SIGSTOP");

    await t.step("while a run goes on it lists, and deletes nothing", async () => {
      const { notes } = await cleanup(experiments);
      assert.ok(notes.some((note) => /a run is using the folder/.test(note)), notes.join());
      assertRefused(await runCommand("cleanup", ["--json", "--execute", `paths.experiments=${experiments}`]), {
        code: 3,
        error: /another run is using the experiments folder/,
        remedy: /Wait for it to end/,
      });
    });
    run.child.kill("SIGKILL");
    await run.done;

    // What crashes, an older version and another program leave.
    const [first, second] = loggedEvents(experiments).filter(({ message }) => message === "trial started")
      .map(({ trial }) => join(experiments, `trial_${trial}`, "checkpoints"));
    const spare = [...Deno.readDirSync(first!)].map(({ name }) => name).sort().at(-1)!;
    for (const [name, from] of [[".step_00000099.partial-1", first], [".step_00000098.trash-1", second]] as const) {
      await Deno.mkdir(join(from!, name));
      await Deno.writeFile(join(from!, name, "model.safetensors"), new Uint8Array(1000));
    }
    await Deno.writeFile(join(experiments, ".report.json.7.tmp"), new Uint8Array(500));
    const unknown = join(experiments, `trial_${crypto.randomUUID()}`, "checkpoints", "step_1");
    await Deno.mkdir(unknown, { recursive: true });
    await Deno.writeFile(join(unknown, "model.safetensors"), new Uint8Array(3000));

    let listed: CleanupReport;
    await t.step("it lists what would go with bytes and reasons, and changes nothing", async () => {
      const before = namesBelow(experiments);
      listed = await cleanup(experiments);
      assert.deepEqual(namesBelow(experiments), before);
      assert.equal(listed.executed, false);
      const orphans = listed.items.filter(({ kind }) => kind === "orphan");
      assert.deepEqual(
        orphans.filter(({ path }) => !path.endsWith(".reserve")).map(({ bytes, reason }) => [bytes, reason]).sort(),
        [[1000, "a deletion that was interrupted"], [1000, "a save that was interrupted"], [
          500,
          "a write that was interrupted",
        ]],
      );
      assert.deepEqual(
        listed.items.filter(({ kind }) => kind === "unknown").map(({ bytes, reason }) => [bytes, reason]),
        [
          [3000, "no study in study.db has this trial"],
        ],
      );
      assert.equal(listed.bytes, listed.items.reduce((sum, { bytes }) => sum + bytes, 0));
      assert.ok(!listed.items.some(({ kind }) => kind === "data"), "post text is asked for");
      const text = await runCommand("cleanup", [`paths.experiments=${experiments}`]);
      assert.match(text.stdout, /^size +path +why$/m);
      assert.match(text.stdout, /^ *[\d.]+ kB can go from .*; `deno task cleanup --execute` deletes it$/m);
    });

    await t.step("--execute deletes exactly that, and what resumes is untouched", async () => {
      const before = await folderBytes(experiments);
      const done = await cleanup(experiments, "--execute");
      assert.deepEqual([done.executed, done.items], [true, listed.items]);
      assert.ok(Math.abs(before - await folderBytes(experiments) - done.bytes) < 5000);
      assert.deepEqual((await cleanup(experiments)).items, []);
      assert.ok([...Deno.readDirSync(second!)].length >= 1, "the running trial's checkpoint");
      assert.ok(await Deno.stat(join(first!, spare)));
    });

    await t.step("the study resumes to what it would have been", async () => {
      const resumed = resultOf(await runCommand("resume", ["--json", `paths.experiments=${experiments}`]));
      const whole = resultOf(await runCommand("train", settings(join(folder, "whole"))));
      assert.deepEqual(resumed.trials.map(({ value }) => value), whole.trials.map(({ value }) => value));
      const events = loggedEvents(experiments);
      assert.equal(events.filter(({ message }) => message === "trial started").length, 4, "one trial was continued");
    });

    await t.step("a failed trial's checkpoints go, the best ones stay and are evaluated", async () => {
      const db = new DatabaseSync(join(experiments, "study.db"));
      const best = db.prepare(
        "SELECT value_json FROM trial_user_attributes JOIN trial_values USING (trial_id) WHERE key = 'winnow:trial_id' " +
          "ORDER BY value DESC, trial_id LIMIT 1",
      ).get()!["value_json"] as string;
      const other = [first!, second!].map(dirname).find((one) => !one.includes(JSON.parse(best)))!;
      db.prepare(
        "UPDATE trials SET state = 'FAIL' WHERE trial_id IN (SELECT trial_id FROM trial_user_attributes WHERE value_json = ?)",
      ).run(JSON.stringify(other.split("trial_")[1]));
      db.close();
      // "/." and no join: the contents are copied into the folder that is there.
      const { success } = new Deno.Command("cp", {
        args: ["-r", `${join(experiments, `trial_${JSON.parse(best)}`, "checkpoints")}/.`, join(other, "checkpoints")],
      }).outputSync();
      assert.ok(success);
      const { items } = await cleanup(experiments, "--execute");
      assert.ok(
        items.length >= 1 &&
          items.every(({ path, kind }) => kind === "retention" && other.includes(path.split("/")[0]!)),
      );
      assert.match(items[0]!.reason, /^trial \d is FAIL$/);
      const study = /study_(.*)/.exec(
        [...Deno.readDirSync(experiments)].find(({ name }) => name.startsWith("study_"))!.name,
      )![1]!;
      resultOf(await runCommand("evaluate", ["--json", "--study-id", study, `paths.experiments=${experiments}`]));
      assertRefused(
        await runCommand("cleanup", ["--json", "--study-id", "other", `paths.experiments=${experiments}`]),
        {
          error: /no study other in /,
          remedy: /names of the folders study_/,
        },
      );
    });

    await t.step("--data takes the texts of posts, and only with --execute", async () => {
      const data = join(experiments, "data", "back_translation");
      await Deno.mkdir(data, { recursive: true });
      await Deno.writeTextFile(join(data, "cache.jsonl"), "text");
      const { items } = await cleanup(experiments, "--data");
      assert.deepEqual(items.map(({ kind, path }) => [kind, path]), [
        ["data", "data/back_translation"],
        ["data", "data/synthetic_60_7"],
      ]);
      await Deno.stat(data);
      await cleanup(experiments, "--data", "--execute");
      assert.deepEqual(namesBelow(join(experiments, "data")), []);
    });
  });
});

Deno.test("where there is nothing to clean up", async () => {
  await withFolder(async (folder) => {
    assertRefused(await runCommand("cleanup", ["--json", `paths.experiments=${join(folder, "none")}`]), {
      error: /there is no experiments folder .*none$/,
      remedy: /Set paths\.experiments/,
    });
    // Trials without a database cannot be told from others: they stay.
    const trial = join(folder, "trial_x", "checkpoints", "step_1");
    await Deno.mkdir(trial, { recursive: true });
    await Deno.writeTextFile(join(trial, "model.safetensors"), "weights");
    const found = await cleanup(folder);
    assert.deepEqual(found.items, []);
    assert.match(found.notes.join(), /there is no study\.db: trials are left alone/);
    assert.deepEqual(namesBelow(folder), ["trial_x/checkpoints/step_1/model.safetensors"]);
  });
});
