/**
 * Evidence examples for a study's page, where text is asked for: posts of the validation split as the best trial reads them.
 * Not of the test split, which is for one number at the end, and not for looking at mistakes.
 */
import { join } from "node:path";
import { bestOf, summarizeTrial } from "../hpo/trial_summary.ts";
import { listTrials, type StoredStudy, type StudyDatabase } from "../hpo/study_db.ts";
import { type EvidenceExample, outcomeOf, OUTCOMES } from "../report/study_report/evidence_example.ts";
import { verifyCheckpoint } from "../storage/checkpoint.ts";
import { inputError } from "../support/errors.ts";
import { randomStream } from "../support/rng.ts";
import { openEngine } from "../train/engine.ts";
import { planEngine } from "../train/engine_plan.ts";
import { givenSpans } from "../train/aggregation.ts";
import { evaluateSplit } from "../train/evaluator.ts";
import { loadArrays, readState } from "../train/state.ts";
import { loadThresholds } from "../train/thresholds_file.ts";
import { initialiseParameters } from "./model_source.ts";
import { reopen } from "./stored.ts";
import type { ExampleMaker } from "./study_report.ts";
import { withStoredCheckpoint } from "./study_storage.ts";
import { encodedSplits, engineOptions, evaluateOptions, trialContext } from "./trial.ts";

/** Examples of each outcome. */
const PER_OUTCOME = 4;

/** What makes the examples of studies in an experiments folder. */
export function evidenceExampleMaker(experiments: string, signal: AbortSignal): ExampleMaker {
  return async (db, study) => await evidenceExamples(db, study, experiments, signal);
}

/**
 * A few posts of each outcome, chosen by the study's seed.
 *
 * @throws an input error when there is no complete trial with a checkpoint, or the data have changed
 */
async function evidenceExamples(
  db: StudyDatabase,
  study: StoredStudy,
  experiments: string,
  signal: AbortSignal,
): Promise<EvidenceExample[]> {
  const best = bestOf(study, listTrials(db, study));
  if (!best) {
    throw inputError(`study ${study.id} has no completed trial`, "Leave --with-text out, or continue it first");
  }
  const trial = await withStoredCheckpoint(experiments, summarizeTrial(best));
  if (trial.checkpoint === null) {
    throw inputError(`trial ${trial.trial_id} has no checkpoint any more`, "Leave --with-text out");
  }
  const context = await trialContext(await reopen(study, experiments, signal), trial.params);
  const { config, data } = context;
  const checkpoint = await verifyCheckpoint(join(experiments, trial.checkpoint));
  const engine = await openEngine(context.gpu, planEngine(context.gpu, engineOptions(context)));
  try {
    if (config.tuning.mode !== "full") initialiseParameters(engine, context.model, config.seed);
    const state = await readState(checkpoint);
    loadArrays(checkpoint.folder, engine, { moments: false });
    if (state.confidence) engine.loadConfidence(Float32Array.from(state.confidence));
    const options = evaluateOptions(context);
    const { posts } = await evaluateSplit(engine, encodedSplits(context).splits.validation, options);
    const { criteria } = data.dataset;
    const { evidence } = await loadThresholds(checkpoint.folder, criteria);
    const found = posts.examples.flatMap((example, row) =>
      criteria.flatMap((criterion, k): EvidenceExample[] => {
        const gold = example.allEvidence[k]!,
          given = givenSpans(posts.spans[row * criteria.length + k]!, evidence);
        const outcome = outcomeOf(gold, given);
        if (outcome === null) return [];
        const probability = posts.probabilities[row * criteria.length + k]!;
        return [{ postId: example.postId, criterion, text: example.text, gold, given, probability, outcome }];
      })
    );
    const shuffled = randomStream(config.seed, "evidence examples").shuffle(found);
    return OUTCOMES.flatMap((outcome) => shuffled.filter((one) => one.outcome === outcome).slice(0, PER_OUTCOME));
  } finally {
    engine.close();
  }
}
