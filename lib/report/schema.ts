/**
 * What the reports hold: `evaluation_report.json` of a trial (validation split) and `summary_report.json` of a study
 * (test split). `contracts/*.schema.json` is generated from these schemas. Neither holds any text of a post.
 */
import { z } from "zod";
import { AUGMENTATION_METHODS } from "../data/augmentation/registry.ts";
import { dataFileSchema, sha256, time } from "./fields.ts";
import {
  calibrationSchema,
  criteriaThresholdsSchema,
  evidenceThresholdsSchema,
  metricsSchema as metrics,
  splitDetailsSchema,
} from "./split_schema.ts";

const uuid = z.uuid();
const seconds = z.number().min(0);
const direction = z.enum(["maximize", "minimize"]);
const json = z.json().meta({ id: "json" });

const params = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
  .describe("the values that the search chose, by configuration key");

const checkpoint = z.strictObject({
  folder: z.string().describe("relative to the experiments folder"),
  step: z.int().min(0),
  epoch: z.int().min(0),
  bytes: z.int().min(0),
  weights_sha256: sha256,
});

const passedOver = z.array(z.strictObject({
  trial_id: uuid,
  checkpoint: z.string().describe("relative to the experiments folder"),
  reason: z.string(),
})).optional().describe("better checkpoints that could not be used, and why; the next best took their place");

const data = z.strictObject({
  id: z.string().describe("hub id or local folder"),
  revision: z.string().nullable().describe(
    "commit of the hub repository or of the local clone; null where there is none",
  ),
  files: z.array(dataFileSchema),
  sha256: sha256.describe("of what was read: criteria, ids, texts, labels and evidence"),
  splits: z.enum(["declared", "made"]).describe("by the dataset, or here"),
  split_sha256: sha256.describe("of the assignment of posts to splits"),
  posts: z.record(z.string(), z.int().min(0)).describe("number of posts by split"),
});

const methodOutcome = z.strictObject({ made: z.int().min(0), unchanged: z.int().min(0) });

const augmentation = z.strictObject({
  candidates: z.int().min(0).describe("training posts with evidence"),
  made: z.int().min(0).describe("augmented copies that were trained on beside the originals"),
  unchanged: z.int().min(0).describe("posts that were drawn but in which the method found nothing to change"),
  by_method: z.partialRecord(z.enum(AUGMENTATION_METHODS), methodOutcome),
  suggestions: z.enum(["masked_lm", "embedding"]).nullable().describe("whose words the method insert took"),
  sha256: sha256.describe("of the copies' texts, labels and evidence"),
});

const adapter = z.object({ name: z.string() }).catchall(z.string())
  .describe("the GPU adapter: its name, and what else it says of itself");

/** The thresholds of a checkpoint, calibrated on the validation split and on nothing else. */
const thresholds = {
  threshold_calibration: calibrationSchema,
  thresholds: criteriaThresholdsSchema,
  evidence_thresholds: evidenceThresholdsSchema,
};

/** A reference to the resolved configuration: the file, and its hash so that a later change shows. */
const configReference = z.strictObject({
  path: z.string().describe("relative to the experiments folder"),
  sha256,
});

/** The schema of `trial_<uuid>/evaluation_report.json`. */
export const evaluationReportSchema = z.strictObject({
  format: z.literal("winnow-evaluation-report/1"),
  written: time,
  version: z.string().describe("Winnow's version"),
  study_id: uuid,
  trial_id: uuid,
  trial_number: z.int().min(0),
  metric: z.string().describe("the objective's name"),
  direction,
  value: z.number().describe("the objective at the best epoch"),
  best_epoch: z.int().min(0),
  params,
  epochs: z.array(z.strictObject({
    epoch: z.int().min(1),
    step: z.int().min(0).describe("optimizer steps done"),
    train_loss: z.number().nullable(),
    validation: metrics,
    seconds,
  })),
  validation: metrics.describe(
    "validation metrics of the best checkpoint, as it was chosen: at thresholds of one half",
  ),
  test_checkpoint: checkpoint.optional().describe("what the test metrics are of"),
  passed_over: passedOver,
  validation_details: splitDetailsSchema,
  test: metrics.optional().describe(
    "test metrics of the best checkpoint at its thresholds, if this trial was evaluated on the test split",
  ),
  test_details: splitDetailsSchema.optional(),
  ...thresholds,
  config: configReference,
  checkpoint: checkpoint.nullable().describe("the best one"),
  adapter,
  seeds: z.record(z.string(), z.int()),
  data,
  augmentation: augmentation.optional().describe("what was added to the training split, where something was"),
  timings: z.record(z.string(), seconds).describe(
    "seconds by phase; gap_before: from the trial before it to its first step, 0 where there was none",
  ),
}).meta({
  title: "Winnow evaluation report",
  description: "One trial: its metrics on the validation split and all that is needed to repeat it.",
});

/** `trial_<uuid>/evaluation_report.json`. */
export type EvaluationReport = z.infer<typeof evaluationReportSchema>;

const trialRow = z.strictObject({
  trial_id: uuid,
  number: z.int().min(0),
  state: z.enum(["RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING"]),
  value: z.number().nullable(),
  params,
  checkpoint: z.string().nullable().describe("the best checkpoint's folder, relative to the experiments folder"),
  metrics: metrics.nullable(),
  failure: z.string().nullable().describe("why it failed"),
});

/** The schema of one look at the test split. */
export const testEvaluationSchema = z.strictObject({
  time,
  trial_id: uuid,
  checkpoints: z.array(sha256).min(1).describe("weights_sha256 of what was evaluated, the best first"),
  repeat: z.boolean().describe("whether the test split had been looked at before"),
});

/** One look at the test split. */
export type TestEvaluation = z.infer<typeof testEvaluationSchema>;

/** The schema of `study_<uuid>/summary_report.json`. */
export const summaryReportSchema = z.strictObject({
  format: z.literal("winnow-summary-report/1"),
  written: time,
  version: z.string().describe("Winnow's version"),
  study_id: uuid,
  metric: z.string().describe("the objective's name"),
  direction,
  progress: z.strictObject({
    ended: z.int().min(0).describe("trials that have ended"),
    n_trials: z.int().min(1),
    finished: z.boolean().describe("whether the study was through with its trials when this was written"),
  }).optional(),
  trial_gaps: z.strictObject({
    count: z.int().min(1),
    median_seconds: seconds,
    longest_seconds: seconds,
    phases: z.record(z.string(), seconds).describe("medians by what the time went into"),
  }).optional().describe(
    "from the last evaluation of a trial to the first step of the next, in the process that wrote this, where it ran several",
  ),
  best_trial_id: uuid,
  best_value: z.number().describe("the best trial's objective, on the validation split"),
  trials: z.array(trialRow),
  tested_trial_id: uuid.optional().describe(
    "the trial that the test metrics are of: the best one, or where passed_over says so the next best",
  ),
  passed_over: passedOver,
  test: metrics.describe("test metrics of the best trial's best checkpoint, at its thresholds"),
  test_details: splitDetailsSchema,
  co_best: z.array(z.strictObject({ checkpoint, test: metrics, ...thresholds }))
    .describe("the best trial's checkpoints that tie on validation, each with its test metrics and its thresholds"),
  test_evaluations: z.array(testEvaluationSchema).min(1)
    .describe("every time that the study's test split was looked at, in order: the first is the honest one"),
  baseline: metrics.describe("test metrics of always predicting the majority"),
  ...thresholds,
  config: z.record(z.string(), json).describe("the resolved configuration of the study"),
  adapter,
  data,
}).meta({
  title: "Winnow summary report",
  description: "One study: its trials, and the best one on the test split beside the majority baseline.",
});

/** `study_<uuid>/summary_report.json`. */
export type SummaryReport = z.infer<typeof summaryReportSchema>;
