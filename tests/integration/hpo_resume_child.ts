/** A whole search on a toy objective with real checkpoints and a real database: started anew, it goes on where it was. */
import { join } from "node:path";
import { runStudy } from "../../lib/hpo/executor.ts";
import { conditionalSpace } from "../../lib/hpo/conditional_space.ts";
import { quasiRandomSampler } from "../../lib/hpo/samplers/quasi_random.ts";
import { createStudy } from "../../lib/hpo/study.ts";
import { openStudyDatabase } from "../../lib/hpo/study_db.ts";
import { cleanPartials, latestValid, publishCheckpoint } from "../../lib/storage/checkpoint.ts";
import { checkpointsFolder, studyDatabasePath } from "../../lib/storage/layout.ts";
import { lockFolder } from "../../lib/storage/lock.ts";
import { applyRetention } from "../support/apply_retention.ts";

const EPOCHS = 6;
const experiments = Deno.args[0]!;
using _lock = await lockFolder(experiments);
using db = await openStudyDatabase(studyDatabasePath(experiments));
const study = createStudy({
  storage: db,
  studyName: "toy",
  direction: "minimize",
  loadIfExists: true,
  sampler: quasiRandomSampler({ seed: 3 }),
});

const result = await runStudy({
  study,
  space: conditionalSpace({ x: { type: "float", low: -2, high: 2 }, rate: { type: "float", low: 0.1, high: 0.9 } }),
  nTrials: 5,
  runTrial: async ({ id, number, params, resume, report }) => {
    const parent = checkpointsFolder(experiments, id);
    if (number === 2) throw new Error("this one always fails");
    if (resume) await cleanPartials(parent);
    const found = resume ? await latestValid(parent, { resumable: true }) : null;
    let { x, epoch } = found === null
      ? { x: params["x"] as number, epoch: 0 }
      : JSON.parse(await Deno.readTextFile(join(found.folder, "optimizer.safetensors")));
    while (epoch < EPOCHS) {
      epoch++;
      await new Promise((resolve) => setTimeout(resolve, 5)); // so that a fast disk leaves something to kill
      x -= (params["rate"] as number) * 2 * (x - 1); // a step of gradient descent on (x - 1)²
      const loss = (x - 1) ** 2;
      report(loss, epoch); // before the checkpoint: see RunningTrial.report
      await publishCheckpoint(parent, `epoch_${epoch}`, async (folder) => {
        await Deno.writeTextFile(join(folder, "model.safetensors"), String(x));
        await Deno.writeTextFile(join(folder, "optimizer.safetensors"), JSON.stringify({ x, epoch }));
      }, { step: epoch, epoch, kind: "epoch", metrics: { loss } });
      console.log("epoch");
      await applyRetention(parent, {
        policy: { keep_last_n: 1, keep_best_k: 1 },
        metric: "loss",
        direction: "minimize",
      });
    }
    const { kept } = await applyRetention(parent, {
      policy: { keep_last_n: 0, keep_best_k: 1 },
      metric: "loss",
      direction: "minimize",
      finished: true,
    });
    return { value: kept[0]!.info.metrics["loss"]!, checkpoint: kept[0]!.name, metrics: kept[0]!.info.metrics };
  },
});
console.log("best " + result.best.number);
