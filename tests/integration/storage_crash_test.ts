import assert from "node:assert/strict";
import { join } from "node:path";
import { cleanPartials, latestValid, verifyCheckpoint } from "../../lib/storage/checkpoint.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { namesIn } from "../unit/storage_scenario.ts";

const KILLS = 10;

/** How often a process is stopped to find it within a save: some hundred times more than needed. */
const MAX_STOPS = 2000;

/** Whether a checkpoint is being written in `parent` at this moment. */
const isSaving = (parent: string) => namesIn(parent).some((name) => name.startsWith(".") && name.includes(".partial"));

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/**
 * Starts the child, waits until it has saved once more, kills it `delay` ms later, or, with `inSave`, at the first
 * moment after that when it is stopped within a save, and returns the last saved epoch.
 */
async function killedAfter(parent: string, delay: number, inSave: boolean): Promise<number> {
  const script = new URL("storage_crash_child.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), { args: ["run", "-A", "--quiet", script, parent], stdout: "piped" })
    .spawn();
  const kill = async () => {
    await pause(delay);
    // How long a save takes depends on the disk: the moment is looked for, not guessed. A stopped process changes
    // nothing once the call that it is in has returned.
    for (let stops = 0; inSave && stops < MAX_STOPS; stops++) {
      child.kill("SIGSTOP");
      await pause(10);
      if (isSaving(parent)) break;
      child.kill("SIGCONT");
      await pause(1);
    }
    child.kill("SIGKILL");
  };
  let saved = 0;
  let killing: Promise<void> | undefined;
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const epochs = [...text.matchAll(/^saved (\d+)$/gm)].map((match) => Number(match[1]));
    if (epochs.length > 0) killing ??= kill();
    saved = Math.max(saved, ...epochs);
  }
  await killing;
  const { signal } = await child.status;
  assert.equal(signal, "SIGKILL", "the child ended before it was killed");
  return saved;
}

Deno.test("kill -9 at random moments: all visible checkpoints verify and the newest saved one is the resume point", async () => {
  // On the disk and not in memory, where syncing takes its time.
  const parent = await Deno.makeTempDir({ prefix: "winnow-crash-" });
  const delays = randomStream(Date.now() % 2 ** 32, "kill");
  const leftovers = new Set<string>();
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const saved = await killedAfter(parent, delays.uniform() * 80, kill % 2 === 1);
      for (const name of namesIn(parent)) {
        if (name.startsWith(".")) leftovers.add(name.replace(/^.*\.(partial|trash|replaced).*$/, "$1"));
        else await verifyCheckpoint(join(parent, name));
      }
      await cleanPartials(parent);
      const resume = await latestValid(parent, { resumable: true });
      assert.ok(resume !== null, `nothing to resume from after ${saved} saves`);
      // The save after the last one that was reported may have been published as well.
      assert.ok([saved, saved + 1].includes(resume.info.epoch), `resume at ${resume.info.epoch}, saved ${saved}`);
      assert.ok(namesIn(parent).length <= 4, `more than last 2 + best 1 + new 1 remain: ${namesIn(parent)}`);
    }
    assert.ok(leftovers.has("partial"), "no kill within a save left it behind");
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
});
