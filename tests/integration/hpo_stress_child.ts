/** A thousand short trials, of which some fail and some are pruned: started anew, the study goes on where it was. */
import { conditionalSpace } from "../../lib/hpo/conditional_space.ts";
import { type RunningTrial, runStudy, TrialPruned } from "../../lib/hpo/executor.ts";
import { medianPruner } from "../../lib/hpo/pruners/percentile.ts";
import { randomSampler } from "../../lib/hpo/samplers/random.ts";
import { createStudy } from "../../lib/hpo/study.ts";
import { openStudyDatabase } from "../../lib/hpo/study_db.ts";
import { studyDatabasePath } from "../../lib/storage/layout.ts";
import { lockFolder } from "../../lib/storage/lock.ts";
import { openStudyLog } from "../../lib/study/study_log.ts";
import { randomStream } from "../../lib/support/rng.ts";

const EPOCHS = 3;
const [experiments, nTrials] = [Deno.args[0]!, Number(Deno.args[1])];
using _lock = await lockFolder(experiments, 5000);
using db = await openStudyDatabase(studyDatabasePath(experiments));
using study = createStudy({
  storage: db,
  studyName: "stress",
  direction: "minimize",
  loadIfExists: true,
  sampler: randomSampler({ seed: 5 }),
  pruner: medianPruner({ nStartupTrials: 10, nWarmupSteps: 1 }),
});
using log = openStudyLog(experiments, study.studyName, "loss", () => {});

/** The distance from the best point, and what is missing of the last epoch. */
async function train({ number, params, report, shouldPrune, enter }: RunningTrial) {
  enter("running");
  if (randomStream(9, "fails", number).uniform() < 0.1) throw new Error(`trial ${number} is to fail`);
  let loss = NaN;
  for (let epoch = 1; epoch <= EPOCHS; epoch++) {
    await Promise.resolve();
    loss = (params["x"] as number - 0.3) ** 2 + (params["depth"] as number ?? 5) / 10 + (EPOCHS - epoch) / 100;
    report(loss, epoch);
    if (epoch < EPOCHS && shouldPrune()) throw new TrialPruned({ loss });
  }
  enter("finishing");
  return { value: loss, checkpoint: null, metrics: { loss } };
}

const { best } = await runStudy({
  study,
  space: conditionalSpace({
    x: { type: "float", low: -1, high: 1 },
    kind: { type: "categorical", choices: ["flat", "deep"] },
    depth: { type: "int", low: 1, high: 4, when: { kind: "deep" } },
  }),
  nTrials,
  budgetOf: () => EPOCHS,
  heartbeatSeconds: 60,
  onEvent: (event) => {
    log.event(event);
    if (event.type === "trial_started") console.log(event.trial.number);
  },
  runTrial: train,
});
console.log(`best ${best.number} ${best.value}`);
