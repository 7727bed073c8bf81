import assert from "node:assert/strict";
import { join } from "node:path";
import { loadConfig } from "../../lib/config/compose.ts";
import { conditionalSpace } from "../../lib/hpo/conditional_space.ts";
import { runStudy, TrialPruned, type TrialResult } from "../../lib/hpo/executor.ts";
import { createStudy as startStudy } from "../../lib/hpo/study.ts";
import { createStudy, createTrial, listTrials, openStudyDatabase, updateTrial } from "../../lib/hpo/study_db.ts";
import { freeBytes } from "../../lib/storage/disk.ts";
import { openStudyStorage } from "../../lib/study/study_storage.ts";
import { exitCode, WinnowError } from "../../lib/support/errors.ts";
import { createLogger } from "../../lib/support/logging.ts";
import { smallSpace } from "../unit/hpo_scenario.ts";
import { mountRefusal, withTmpfs } from "./storage_tmpfs.ts";

const refusal = mountRefusal();
const params = { "training.learning_rate": 1e-4, "model.dropout": 0, "model.layers": 1, "model.pooling": "cls" };

Deno.test({
  name: "a full disk: the database says so, loses nothing and goes on when there is room" + refusal,
  ignore: refusal !== "",
}, async () => {
  await withTmpfs("size=1m", async (folder) => {
    using db = await openStudyDatabase(join(folder, "study.db"));
    const study = createStudy(db, { directions: ["maximize"] });
    const trial = createTrial(db, study, smallSpace, params);
    const before = listTrials(db, study);
    const ballast = join(folder, "ballast");
    await Deno.writeFile(ballast, new Uint8Array(await freeBytes(folder)));
    const large = "x".repeat(100_000);
    assert.throws(() => updateTrial(db, study, trial, { userAttributes: { large } }), (error: WinnowError) => {
      return exitCode(error) === 3 && error.message.includes("full") && error.message.includes(db.path);
    });
    await Deno.remove(ballast);
    assert.deepEqual(listTrials(db, study), before);
    updateTrial(db, study, trial, { userAttributes: { large } });
    assert.equal(listTrials(db, study)[0]!.userAttributes["large"], large);
  });
});

/** Takes every byte that is free. */
async function fill(folder: string): Promise<void> {
  using ballast = await Deno.open(join(folder, "ballast"), { write: true, create: true });
  const block = new Uint8Array(4096);
  for (let free = await freeBytes(folder); free > 0; free = await freeBytes(folder)) await ballast.write(block);
}

/** Ways in which a trial ends, each with more to store than the database's own spare pages hold. */
const long = Array.from({ length: 1000 }, (_, i) => [`metric_${i}`, i + 0.123456] as const);
const endings: Record<string, () => TrialResult> = {
  COMPLETE: () => ({ value: 0.5, checkpoint: null, metrics: Object.fromEntries(long) }),
  PRUNED: () => {
    throw new TrialPruned(Object.fromEntries(long));
  },
  FAIL: () => {
    throw new Error("x".repeat(20_000));
  },
};

Deno.test({
  name: "a disk that is full when a trial ends: what it came to is stored with the reserve" + refusal,
  ignore: refusal !== "",
}, async (t) => {
  for (const [state, end] of Object.entries(endings)) {
    for (const reserved of [true, false]) {
      await t.step(`${state}, ${reserved ? "with" : "without"} the reserve`, async () => {
        await withTmpfs("size=2m", async (folder) => {
          using db = await openStudyDatabase(join(folder, "study.db"));
          const study = startStudy({ storage: db, direction: "maximize" });
          const said: string[] = [], events: string[] = [];
          const config = loadConfig({ file: "configs/quickstart.yaml", overrides: [`paths.experiments=${folder}`] });
          const outputs = { log: createLogger([({ message }) => said.push(message)]), say: () => {} };
          using storage = await openStudyStorage(db, study.stored, config, outputs);
          const run = runStudy({
            study,
            space: conditionalSpace(smallSpace),
            nTrials: 1,
            ...(reserved ? { persist: (write) => storage.withReserve(write) } : {}),
            onEvent: ({ type }) => events.push(type),
            runTrial: async () => {
              await fill(folder);
              return end();
            },
          });
          const stored = () => listTrials(db, study.stored).map((trial) => trial.state);
          if (!reserved) {
            await assert.rejects(run, (error: WinnowError) => exitCode(error) === 3);
            assert.deepEqual(stored(), ["RUNNING"]);
            return;
          }
          if (state === "COMPLETE") assert.equal((await run).trials[0]!.value, 0.5);
          else await assert.rejects(run, /no trial completed|all 1 trials/);
          assert.deepEqual(stored(), [state]);
          assert.ok(said.includes("the disk is full: the reserve is given up"));
          assert.equal(events.filter((type) => /completed|pruned|failed/.test(type)).length, 1, "told once");
        });
      });
    }
  }
});
