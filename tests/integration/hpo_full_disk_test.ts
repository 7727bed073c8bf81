import assert from "node:assert/strict";
import { join } from "node:path";
import { createStudy, createTrial, listTrials, openStudyDatabase, updateTrial } from "../../lib/hpo/study_db.ts";
import { freeBytes } from "../../lib/storage/disk.ts";
import { exitCode, WinnowError } from "../../lib/support/errors.ts";
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
