import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { studyDatabasePath, studyFolder } from "../../lib/storage/layout.ts";
import { readJsonLines } from "../../lib/support/json_lines.ts";
import { type LoggedEvent, trialFolders, withFolder } from "../support/commands.ts";

const TRIALS = 1000;

/** Runs the study; killed, if asked, in the middle of its trial `killAt`. Returns the last line that it printed. */
async function run(experiments: string, killAt?: number): Promise<{ last: string; signal: string | null }> {
  const script = new URL("hpo_stress_child.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "-q", "--no-check", script, experiments, String(TRIALS)],
    stdout: "piped",
  }).spawn();
  let last = "", rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    last = lines.at(-1) ?? last;
    if (killAt !== undefined && Number(last) >= killAt) child.kill("SIGKILL");
  }
  return { last, signal: (await child.status).signal };
}

Deno.test("1,000 short trials with failures, prunings and three kills: every number once, and the best of the JSON log", async () => {
  await withFolder(async (experiments) => {
    for (const at of [137, 480, 811]) assert.equal((await run(experiments, at)).signal, "SIGKILL");
    const { last, signal } = await run(experiments);
    assert.equal(signal, null);

    using db = new DatabaseSync(studyDatabasePath(experiments), { readOnly: true });
    const trials = db.prepare(
      "SELECT t.number, t.state, v.value, (SELECT count(*) FROM trial_intermediate_values i WHERE i.trial_id = t.trial_id) " +
        "AS reports, (SELECT json_extract(value_json, '$') FROM trial_user_attributes a WHERE a.trial_id = t.trial_id AND " +
        "key = 'winnow:trial_id') AS id FROM trials t LEFT JOIN trial_values v USING (trial_id) ORDER BY t.trial_id",
    ).all() as { number: number; state: string; value: number | null; reports: number; id: string }[];
    assert.deepEqual(trials.map(({ number }) => number), Array.from({ length: TRIALS }, (_, number) => number));
    assert.equal(new Set(trials.map(({ id }) => id)).size, TRIALS);
    const counts = Object.fromEntries(
      ["COMPLETE", "PRUNED", "FAIL"].map((state) => [state, trials.filter((one) => one.state === state).length]),
    );
    assert.equal(counts["COMPLETE"]! + counts["PRUNED"]! + counts["FAIL"]!, TRIALS, JSON.stringify(counts));
    assert.ok(Object.values(counts).every((count) => count > 50), JSON.stringify(counts));
    for (const { state, reports } of trials) {
      if (state === "COMPLETE") assert.equal(reports, 3);
      if (state === "PRUNED") assert.ok(reports === 1 || reports === 2);
    }

    const events = readJsonLines(join(studyFolder(experiments, "stress"), "logs", "training.jsonl")) as LoggedEvent[];
    const of = (type: string) => events.filter(({ message }) => message === type);
    const started3 = of("trial_started").filter(({ context }) => context["resume"]).length;
    assert.ok(started3 <= 3, `${started3} trials resumed after three kills`);
    // A kill between the database and the log may leave one event a time out of the log, and never one in it twice.
    const ends = [...of("trial_completed"), ...of("trial_pruned"), ...of("trial_failed")];
    assert.equal(new Set(ends.map(({ trial }) => trial)).size, ends.length);
    assert.ok(ends.length >= TRIALS - 3 && ends.length <= TRIALS, `${ends.length} ends`);

    const best = trials.filter(({ state }) => state === "COMPLETE")
      .reduce((a, b) => b.value! < a.value! ? b : a);
    const final = ends.toSorted((a, b) => a.time < b.time ? -1 : 1).at(-1)!.context;
    assert.equal(final["best_so_far"], best.value);
    assert.deepEqual([final["trial_index"], final["n_trials"], final["completion_rate"], final["eta_seconds"]], [
      TRIALS,
      TRIALS,
      1,
      0,
    ]);
    const logged = of("trial_completed").reduce((a, b) => b.context["value"] < a.context["value"] ? b : a);
    assert.deepEqual([logged.trial, logged.context["value"]], [best.id, best.value]);
    assert.equal(last, `best ${best.number} ${best.value}`);
    assert.equal(trialFolders(experiments).length, TRIALS);
  });
});
