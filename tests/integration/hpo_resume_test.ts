import assert from "node:assert/strict";
import { findStudy, listTrials, openStudyDatabase } from "../../lib/hpo/study_db.ts";
import { verifyCheckpoint } from "../../lib/storage/checkpoint.ts";
import { checkpointsFolder, studyDatabasePath } from "../../lib/storage/layout.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { join } from "node:path";

/** Runs the search; kills it, if asked, some time after its first epoch. Returns whether it came to its end. */
async function search(experiments: string, killAfter?: number): Promise<boolean> {
  const script = new URL("hpo_resume_child.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), { args: ["run", "-A", "-q", script, experiments], stdout: "piped" })
    .spawn();
  let ended = false, timer: ReturnType<typeof setTimeout> | undefined;
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    if (killAfter !== undefined) timer ??= setTimeout(() => child.kill("SIGKILL"), killAfter);
    ended ||= text.includes("best ");
  }
  clearTimeout(timer);
  const { success, signal } = await child.status;
  assert.ok(success || signal === "SIGKILL", "the search failed");
  return ended;
}

/** All that the search has come to, without uuids and times. */
async function outcome(experiments: string) {
  using db = await openStudyDatabase(studyDatabasePath(experiments));
  const trials = listTrials(db, findStudy(db));
  for (const { id, userAttributes } of trials) {
    const checkpoint = userAttributes["winnow:checkpoint"];
    if (typeof checkpoint === "string") await verifyCheckpoint(join(checkpointsFolder(experiments, id!), checkpoint));
  }
  return trials.map(({ number, state, params, values, intermediate, userAttributes }) => ({
    ...{ number, state, params, values, intermediate },
    attributes: { ...userAttributes, "winnow:trial_id": null },
  }));
}

Deno.test("a search that is killed again and again ends with the very values of one that was not", async () => {
  const [whole, killed] = [await Deno.makeTempDir(), await Deno.makeTempDir()];
  try {
    assert.ok(await search(whole));
    const expected = await outcome(whole);
    assert.deepEqual(expected.map((trial) => trial.state), ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]);

    const delays = randomStream(Date.now() % 2 ** 32, "kill");
    let kills = 0;
    while (!await search(killed, kills < 12 ? delays.uniform() * 40 : undefined)) kills++;
    assert.ok(kills >= 2, `it was killed ${kills} times only`);
    assert.deepEqual(await outcome(killed), expected);
  } finally {
    await Deno.remove(whole, { recursive: true });
    await Deno.remove(killed, { recursive: true });
  }
});
