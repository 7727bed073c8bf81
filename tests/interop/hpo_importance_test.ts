/** Parameter importance against Optuna's own, on one study.db. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openStorage } from "../../lib/hpo/database.ts";
import { paramImportances } from "../../lib/hpo/importance/ped_anova.ts";
import { createStudy } from "../../lib/hpo/study.ts";
import { findStudy, listTrials, type StudyDatabase } from "../../lib/hpo/study_db.ts";
import { askPython } from "../support/python.ts";
import { withFolder } from "../unit/storage_scenario.ts";

interface Answer {
  name: string;
  objectives: number;
  importances: Record<string, number>;
}

/** The largest difference of two studies' importances, which have the same parameters. */
function difference(db: StudyDatabase, { name, importances }: Answer): number {
  const study = findStudy(db, name);
  const ours = paramImportances(listTrials(db, study), study.directions);
  assert.deepEqual(Object.keys(ours).sort(), Object.keys(importances).sort(), name);
  const values = Object.values(ours);
  assert.deepEqual(values, values.toSorted((a, b) => b - a), "the largest first");
  return Math.max(0, ...Object.entries(ours).map(([key, value]) => Math.abs(value - importances[key]!)));
}

Deno.test("importances of studies made by Optuna equal Optuna's within 1e-6", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "study.db");
    const make = Array.from({ length: 15 }, (_, seed) => seed);
    const answers = await askPython<Answer[]>("param_importances.py", [], { path, make });
    assert.equal(answers.length, make.length);
    assert.deepEqual([...new Set(answers.map(({ objectives }) => objectives))].sort(), [1, 2]);
    // What is compared is not all equal shares: some studies have something to tell.
    const telling = answers.filter(({ importances }) => new Set(Object.values(importances)).size > 2);
    assert.ok(telling.length > 5, `${telling.length} studies tell parameters apart`);
    using db = openStorage(path);
    for (const answer of answers) {
      assert.ok(difference(db, answer) <= 1e-6, `${answer.name}: ${difference(db, answer)}`);
    }
  });
});

Deno.test("importances of a study made by Winnow equal Optuna's within 1e-6", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "study.db");
    {
      using study = createStudy({ storage: path, studyName: "tpe", direction: "maximize" });
      await study.optimize((trial) => {
        const rate = trial.suggestFloat("training.learning_rate", 1e-5, 1e-2, { log: true });
        const head = trial.suggestCategorical("model.head", ["linear", "mlp"]);
        const width = head === "mlp" ? trial.suggestInt("model.width", 16, 256, { log: true }) : 16;
        trial.suggestInt("training.batch_size", 8, 64, { step: 8 });
        return 0.8 - Math.log10(rate / 1e-3) ** 2 / 9 + width / 4096;
      }, { nTrials: 60 });
    }
    const [answer] = await askPython<Answer[]>("param_importances.py", [], { path, studies: ["tpe"] });
    using db = openStorage(path);
    assert.ok(difference(db, answer!) <= 1e-6);
    assert.equal(Object.keys(answer!.importances).length, 4);
  });
});
