/** One report of each kind, as complete as a study makes it. */
import type { EvaluationReport, SummaryReport } from "../../lib/report/schema.ts";
import { splitDetails } from "../../lib/train/split_details.ts";
import { CRITERIA, randomPosts } from "../support/predictions.ts";

const hash = "0".repeat(64);
const studyId = "3f2b8c1e-5a47-4d0e-9b6f-0c1d2e3f4a5b";
const trialId = "9e107d9d-372b-4b26-8f00-1a2b3c4d5e6f";
const checkpoint = {
  folder: `trial_${trialId}/checkpoints/epoch_2`,
  step: 20,
  epoch: 2,
  bytes: 1000,
  weights_sha256: hash,
};
const thresholds = {
  threshold_calibration: "per_class" as const,
  thresholds: { A: 0.5, B: 0.25, C: 0.5, D: 0.8125 },
  evidence_thresholds: { null_threshold: -0.5, min_span_score: 1.5 },
};

/** Details of random predictions: one criterion is without positives, so that there are nulls. */
const details = splitDetails(
  randomPosts(1, 20),
  CRITERIA,
  {
    calibration: "per_class",
    criteria: thresholds.thresholds,
    evidence: thresholds.evidence_thresholds,
  },
  { samples: 10, seed: 1 },
);

const common = {
  version: "0.1.0",
  study_id: studyId,
  metric: "criteria/macro_f1",
  direction: "maximize",
  ...thresholds,
  adapter: { name: "llvmpipe", backend: "vulkan" },
  data: {
    id: "data/sample",
    revision: null,
    files: [{ path: "posts.csv", bytes: 1000, sha256: hash }, { path: "annotations.csv", bytes: 500, sha256: hash }],
    sha256: hash,
    splits: "made",
    split_sha256: hash,
    posts: { train: 80, validation: 10, test: 10 },
  },
} satisfies Partial<EvaluationReport>;
const params = { "training.learning_rate": 0.0000231, "model.dropout": 0.1, "model.pooling": "mean" };

/** A trial's report. */
export const evaluationReport: Omit<EvaluationReport, "format" | "written"> = {
  ...common,
  trial_id: trialId,
  trial_number: 1,
  value: 0.75,
  best_epoch: 2,
  params,
  epochs: [
    { epoch: 1, step: 10, train_loss: 0.9, validation: { "criteria/macro_f1": 0.5 }, seconds: 3.5 },
    { epoch: 2, step: 20, train_loss: NaN, validation: { "criteria/macro_f1": 0.75 }, seconds: 3.4 },
  ],
  validation: { "criteria/macro_f1": 0.75, "evidence/token_f1": NaN },
  validation_details: details,
  config: { path: `trial_${trialId}/config.yaml`, sha256: hash },
  checkpoint,
  seeds: { seed: 42 },
  timings: { training: 6.9, evaluation: 0.4 },
};

const trial = { params, failure: null, checkpoint: null, metrics: null };

/** A study's report. */
export const summaryReport: Omit<SummaryReport, "format" | "written"> = {
  ...common,
  best_trial_id: trialId,
  best_value: 0.75,
  trials: [
    { ...trial, trial_id: studyId, number: 0, state: "FAIL", value: null, failure: "the objective is NaN" },
    { ...trial, trial_id: trialId, number: 1, state: "COMPLETE", value: 0.75, checkpoint: checkpoint.folder },
  ],
  test: { "criteria/macro_f1": 0.7, "evidence/token_f1": 0.41239 },
  test_details: details,
  co_best: [{ checkpoint, test: { "criteria/macro_f1": 0.7 }, ...thresholds }],
  test_evaluations: [
    { time: "2026-05-04T03:02:01.000Z", trial_id: trialId, checkpoints: [hash], repeat: false },
    { time: "2026-05-05T03:02:01.000Z", trial_id: trialId, checkpoints: [hash, hash], repeat: true },
  ],
  baseline: { "criteria/macro_f1": 0.1, "evidence/token_f1": null },
  config: { seed: 42, model: { id: "tiny", layers: [1, 2] } },
};
