/** The metrics a study may optimise, by the flat names used in configuration, tracker and reports. */
import type { CriteriaMetrics } from "./metrics_criteria.ts";
import type { EvidenceMetrics } from "./metrics_evidence.ts";

export * from "./metrics_criteria.ts";
export * from "./metrics_evidence.ts";

/** A metric that a study can name as its objective. */
export interface MetricInfo {
  name: string;
  direction: "maximize" | "minimize";
  description: string;
}

/** All metrics of a validation, in the order of tables; `validation_loss` is measured by the trainer. */
export const METRICS = [
  { name: "criteria_macro_f1", direction: "maximize", description: "mean F1 of the criteria" },
  { name: "criteria_micro_f1", direction: "maximize", description: "F1 over all decisions" },
  { name: "criteria_weighted_f1", direction: "maximize", description: "mean F1 of the criteria weighted by support" },
  { name: "criteria_accuracy", direction: "maximize", description: "share of right decisions" },
  { name: "criteria_exact_match", direction: "maximize", description: "share of posts with every decision right" },
  { name: "criteria_macro_pr_auc", direction: "maximize", description: "mean average precision of the criteria" },
  { name: "evidence_token_f1", direction: "maximize", description: "word overlap with the gold evidence" },
  { name: "evidence_exact_match", direction: "maximize", description: "share of gold evidence met word for word" },
  { name: "evidence_char_f1", direction: "maximize", description: "character overlap with the gold evidence" },
  { name: "evidence_char_iou", direction: "maximize", description: "intersection over union of the characters" },
  { name: "evidence_partial_f1", direction: "maximize", description: "F1 of the spans with credit for parts" },
  { name: "evidence_null_accuracy", direction: "maximize", description: "share of absent evidence left out" },
  { name: "validation_loss", direction: "minimize", description: "loss on the validation split" },
] as const satisfies readonly MetricInfo[];

/** Name of a study metric. */
export type MetricName = (typeof METRICS)[number]["name"];

/**
 * The study metrics of one evaluation under their flat names; the loss is the trainer's to add. An objective must be a
 * number: what is undefined on the whole split is 0 here, and null in a report's details.
 */
export function flatMetrics(
  criteria: CriteriaMetrics,
  evidence: EvidenceMetrics,
): Record<Exclude<MetricName, "validation_loss">, number> {
  return {
    criteria_macro_f1: criteria.macro_f1 ?? 0,
    criteria_micro_f1: criteria.micro_f1 ?? 0,
    criteria_weighted_f1: criteria.weighted_f1 ?? 0,
    criteria_accuracy: criteria.accuracy ?? 0,
    criteria_exact_match: criteria.subset_accuracy ?? 0,
    criteria_macro_pr_auc: criteria.macro_pr_auc ?? 0,
    evidence_token_f1: evidence.token_f1 ?? 0,
    evidence_exact_match: evidence.exact_match ?? 0,
    evidence_char_f1: evidence.char_f1 ?? 0,
    evidence_char_iou: evidence.char_iou ?? 0,
    evidence_partial_f1: evidence.partial_f1 ?? 0,
    evidence_null_accuracy: evidence.null_accuracy ?? 0,
  };
}
