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
  { name: "criteria_accuracy", direction: "maximize", description: "share of right decisions" },
  { name: "criteria_macro_pr_auc", direction: "maximize", description: "mean average precision of the criteria" },
  { name: "evidence_token_f1", direction: "maximize", description: "word overlap with the gold evidence" },
  { name: "evidence_exact_match", direction: "maximize", description: "share of gold evidence met word for word" },
  { name: "evidence_char_f1", direction: "maximize", description: "character overlap with the gold evidence" },
  { name: "evidence_null_accuracy", direction: "maximize", description: "share of absent evidence left out" },
  { name: "validation_loss", direction: "minimize", description: "loss on the validation split" },
] as const satisfies readonly MetricInfo[];

/** Name of a study metric. */
export type MetricName = (typeof METRICS)[number]["name"];

/** The study metrics of one evaluation under their flat names; the loss is the trainer's to add. */
export function flatMetrics(
  criteria: CriteriaMetrics,
  evidence: EvidenceMetrics,
): Record<Exclude<MetricName, "validation_loss">, number> {
  return {
    criteria_macro_f1: criteria.macro_f1,
    criteria_micro_f1: criteria.micro_f1,
    criteria_accuracy: criteria.accuracy,
    criteria_macro_pr_auc: criteria.macro_pr_auc,
    evidence_token_f1: evidence.token_f1,
    evidence_exact_match: evidence.exact_match,
    evidence_char_f1: evidence.char_f1,
    evidence_null_accuracy: evidence.null_accuracy,
  };
}
