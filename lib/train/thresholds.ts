/**
 * Decision thresholds and their calibration on the validation split: per criterion the one with the best F1, for evidence
 * when there is any and when there is more than one span. What is not better than the default is left at the default.
 */
import { PREDICT_ABOVE_NONE } from "./aggregation.ts";
import { type EvidenceCandidates, evidenceThresholds } from "./thresholds_evidence.ts";
import { globalThreshold, perClassThresholds } from "./thresholds_criteria.ts";
import type { CriteriaPredictions } from "./metrics_criteria.ts";
import type { EvidenceThresholds } from "./aggregation.ts";

/** How decision thresholds may be chosen. */
export const CALIBRATIONS = {
  per_class: "A threshold per criterion with the best F1 on the validation split",
  global: "One threshold for all criteria with the best macro F1 on the validation split",
  fixed: "One half for every criterion, and the spans that lead over none",
} as const;

/** Name of a way to choose thresholds. */
export type Calibration = keyof typeof CALIBRATIONS;

/** The names of CALIBRATIONS. */
export const CALIBRATION_NAMES = Object.keys(CALIBRATIONS) as [Calibration, ...Calibration[]];

/** The thresholds of a checkpoint. */
export interface Thresholds {
  /** How they were chosen: `fixed` are one half, and spans that lead over none. */
  readonly calibration: Calibration;
  /** By criterion: it is predicted where probability ≥ threshold. */
  readonly criteria: Readonly<Record<string, number>>;
  /** When evidence is given; see `givenSpans`. */
  readonly evidence: EvidenceThresholds;
}

/** One half for every criterion, and the spans that lead over none. */
export function defaultThresholds(criteria: readonly string[]): Thresholds {
  return {
    calibration: "fixed",
    criteria: Object.fromEntries(criteria.map((name) => [name, 0.5])),
    evidence: PREDICT_ABOVE_NONE,
  };
}

/** The criteria's thresholds [K] in the order of the outputs. @throws RangeError when one has none */
export function thresholdList({ criteria }: Thresholds, names: readonly string[]): number[] {
  return names.map((name) => {
    const threshold = Object.hasOwn(criteria, name) ? criteria[name] : undefined;
    if (threshold === undefined) throw new RangeError(`Expected a threshold for ${name} but found none`);
    return threshold;
  });
}

/**
 * Chooses thresholds by predictions for the validation split: those of the criteria maximise macro F1, those of evidence
 * the macro F1 of spans with credit for parts (`evidenceMetrics`).
 *
 * @param predictions of the validation split; no other split may be looked at here
 * @param candidates every span that was found, whatever its score
 */
export function calibrate(
  calibration: Calibration,
  predictions: CriteriaPredictions,
  candidates: readonly EvidenceCandidates[],
): Thresholds {
  const names = predictions.criteria;
  if (calibration === "fixed") return defaultThresholds(names);
  const thresholds = calibration === "global"
    ? new Array<number>(names.length).fill(globalThreshold(predictions))
    : perClassThresholds(predictions);
  return {
    calibration,
    criteria: Object.fromEntries(names.map((name, k) => [name, thresholds[k]!])),
    evidence: evidenceThresholds(candidates),
  };
}
