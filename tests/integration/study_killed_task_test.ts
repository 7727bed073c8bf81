/** What stands between a person and the command may die first: `deno task` itself, or the reader of its output. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  follow,
  loggedEvents,
  resultOf,
  ROOT,
  runCommand,
  storedTrials,
  TINY,
  withFolder,
} from "../support/commands.ts";

const weights = (checkpoint: string | null) =>
  createHash("sha256").update(Deno.readFileSync(join(checkpoint!, "model.safetensors"))).digest("hex");

Deno.test("kill -9 of `deno task` ends the run below it, and resume continues it at once to the same bits", async () => {
  await withFolder(async (folder) => {
    const settings = (name: string) => [
      ...["--mode", "single", ...TINY, "training.epochs=30", "training.early_stopping=null"],
      `paths.experiments=${join(folder, name)}`,
    ];
    const whole = resultOf(await runCommand("train", ["--json", ...settings("whole")]));

    const experiments = join(folder, "killed");
    const epochs = () => loggedEvents(experiments).filter(({ message }) => message === "epoch").length;
    const task = follow(
      new Deno.Command(Deno.execPath(), {
        args: ["task", "train", ...settings("killed")],
        cwd: ROOT,
        env: { NO_COLOR: "1", HF_HUB_OFFLINE: "1" },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn(),
    );
    await task.until("its first epochs", () => epochs() >= 3);
    task.child.kill("SIGKILL");
    // A run that went on below would hold the folder, and resume would be refused.
    const resumed = resultOf(await runCommand("resume", ["--json", `paths.experiments=${experiments}`]));
    assert.deepEqual(resumed.trials.map(({ state, value }) => [state, value]), [["COMPLETE", whole.best_value]]);
    assert.equal(weights(resumed.trials[0]!.checkpoint), weights(whole.trials[0]!.checkpoint));
    assert.equal(loggedEvents(experiments).filter(({ message }) => message === "trial started").length, 2);
    await task.done;
  });
});

Deno.test("a reader that goes away does not end the run", async () => {
  await withFolder(async (folder) => {
    const experiments = join(folder, "experiments");
    const command = [Deno.execPath(), "task", "train", "--mode", "single", ...TINY, `paths.experiments=${experiments}`];
    const { success } = await new Deno.Command("sh", {
      args: ["-c", `${command.map((word) => `'${word}'`).join(" ")} 2>&1 | head -n 1`],
      cwd: ROOT,
      stdout: "null",
    }).output();
    assert.ok(success);
    assert.deepEqual(storedTrials(experiments).map(({ state }) => state), ["COMPLETE"]);
  });
});
