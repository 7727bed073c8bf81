/**
 * Evidence examples for a study's page, where text is asked for: posts of the validation split as the best trial reads them.
 * Not of the test split, which is for one number at the end, and not for looking at mistakes.
 */
import { listTrials, type StoredStudy, type StudyDatabase } from "../hpo/study_db.ts";
import { type EvidenceExample, outcomeOf, OUTCOMES } from "../report/study_report/evidence_example.ts";
import { randomStream } from "../support/rng.ts";
import { givenSpans } from "../train/aggregation.ts";
import { loadThresholds } from "../train/thresholds_file.ts";
import { chooseCheckpoints, describePassedOver } from "./choose_checkpoints.ts";
import { predictSplit } from "./evaluation.ts";
import { rankable, requireCompleted } from "./find_model.ts";
import { reopen } from "./stored.ts";
import type { ExampleMaker } from "./study_report.ts";
import { trialContext } from "./trial_context.ts";

/** Examples of each outcome. */
const PER_OUTCOME = 4;

/**
 * What makes the examples of studies in an experiments folder.
 *
 * @param say gets a line for each checkpoint that should have been used and could not be
 */
export function evidenceExampleMaker(
  experiments: string,
  signal: AbortSignal,
  say: (text: string) => void,
): ExampleMaker {
  return async (db, study) => await evidenceExamples(db, study, experiments, signal, say);
}

/**
 * A few posts of each outcome, chosen by the study's seed.
 *
 * @throws an input error when no trial is complete or the data have changed, a storage error when no checkpoint is sound
 */
async function evidenceExamples(
  db: StudyDatabase,
  study: StoredStudy,
  experiments: string,
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<EvidenceExample[]> {
  const trials = listTrials(db, study);
  requireCompleted(study, trials);
  const opened = await reopen(study, experiments, signal);
  const { metric, direction } = opened.config.study;
  const chosen = await chooseCheckpoints(rankable(trials), { experiments, metric, direction });
  describePassedOver(chosen).forEach(say);
  const { trial, checkpoints: [checkpoint] } = chosen;
  const context = await trialContext(opened, trial.params);
  const { criteria } = context.data.dataset;
  const { evidence } = await loadThresholds(checkpoint.folder, criteria);
  const found: EvidenceExample[] = [];
  for await (const { posts } of predictSplit(context, [checkpoint], "validation")) {
    posts.examples.forEach((example, row) =>
      criteria.forEach((criterion, k) => {
        const gold = example.allEvidence[k]!,
          given = givenSpans(posts.spans[row * criteria.length + k]!, evidence);
        const outcome = outcomeOf(gold, given);
        if (outcome === null) return;
        const probability = posts.probabilities[row * criteria.length + k]!;
        found.push({ postId: example.postId, criterion, text: example.text, gold, given, probability, outcome });
      })
    );
  }
  const shuffled = randomStream(context.config.seed, "evidence examples").shuffle(found);
  return OUTCOMES.flatMap((outcome) => shuffled.filter((one) => one.outcome === outcome).slice(0, PER_OUTCOME));
}
