/**
 * `kill -9` at random moments of a study, one after the other, from its start to its end: whatever was going on, resume
 * works and the weights come out in the same bits. `WINNOW_KILLS=100` kills that often; `WINNOW_SEED` draws the moments.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { randomStream } from "../../lib/support/rng.ts";
import {
  resultOf,
  runCommand,
  startCommand,
  storedTrials,
  type StudyOutput,
  TINY,
  withFolder,
} from "../support/commands.ts";

const KILLS = Number(Deno.env.get("WINNOW_KILLS") ?? 3);
const SEED = Number(Deno.env.get("WINNOW_SEED") ?? Date.now() % 2 ** 31);

const weights = ({ trials }: StudyOutput) =>
  trials.map(({ value, checkpoint }) => [
    value,
    createHash("sha256").update(Deno.readFileSync(join(checkpoint!, "model.safetensors"))).digest("hex"),
  ]);

/** Whether there is something to resume: a run may be killed before it has begun a trial. */
function hasBegun(experiments: string): boolean {
  try {
    return storedTrials(experiments).length > 0;
  } catch {
    return false;
  }
}

Deno.test(`${KILLS} times kill -9 at random moments, seed ${SEED}: resumed each time, the same bits in the end`, async () => {
  await withFolder(async (folder) => {
    const settings = (name: string) => [
      ...["--json", "--mode", "single", ...TINY, "training.epochs=12", "training.early_stopping=null"],
      "retention.save_every_steps=2",
      `paths.experiments=${join(folder, name)}`,
    ];
    const began = performance.now();
    const expected = weights(resultOf(await runCommand("train", settings("whole"))));
    const wholeMs = performance.now() - began;

    const random = randomStream(SEED, "kills");
    let kills = 0, studies = 0;
    while (kills < KILLS) {
      const name = `killed${++studies}`, experiments = join(folder, name);
      for (;;) {
        const running = hasBegun(experiments)
          ? startCommand("resume", ["--json", `paths.experiments=${experiments}`])
          : startCommand("train", settings(name));
        let ended = false;
        running.done.then(() => ended = true);
        if (kills < KILLS) {
          const until = performance.now() + random.uniform() * wholeMs;
          while (!ended && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 5));
          if (!ended) {
            running.child.kill("SIGKILL");
            kills++;
          }
        }
        const finished = await running.done;
        if (finished.code === 137) continue;
        assert.deepEqual(weights(resultOf(finished)), expected, `study ${studies}, ${kills} kills so far`);
        break;
      }
    }
  });
});
