/** What the page about a study shows: plain data, gathered by `study/study_report.ts`. */
import type { Category, Distribution, Params } from "../../hpo/space.ts";
import type { Direction, TrialState } from "../../hpo/trial.ts";
import type { EvidenceExample } from "./evidence_example.ts";
import type { TestResult } from "./test_result.ts";

/** What one epoch of a trial came to; null where it was not measured or not finite. */
export interface ReportEpoch {
  readonly epoch: number;
  /** The objective on the validation split. */
  readonly value: number | null;
  readonly trainLoss: number | null;
  readonly validationLoss: number | null;
}

/** A trial as the page shows it. */
export interface ReportTrial {
  readonly number: number;
  readonly id: string | null;
  readonly state: TrialState;
  /** The objective of a COMPLETE trial, the last report of another; null where there is none that is finite. */
  readonly value: number | null;
  readonly params: Params;
  /** Ascending. */
  readonly epochs: readonly ReportEpoch[];
  /** From its start to its end, pauses included; null where it has not ended. */
  readonly seconds: number | null;
  /** Why it failed. */
  readonly failure: string | null;
}

/** A parameter of the search, over all trials. */
export interface ReportParameter {
  readonly name: string;
  readonly type: Distribution["type"];
  readonly log: boolean;
  /** All choices, for a categorical one. */
  readonly choices: readonly Category[];
  /** Its share of importance, or null where no COMPLETE trial has it. */
  readonly importance: number | null;
}

/** Bytes of a study's checkpoints at a moment. */
export interface StoragePoint {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly bytes: number;
}

/** A pruning of checkpoints. */
export interface Pruning extends StoragePoint {
  readonly freedBytes: number;
  readonly checkpoints: number;
}

/** Storage over time; `points` are in order and empty where the logs are gone. */
export interface StorageHistory {
  readonly points: readonly StoragePoint[];
  /** `bytes` is what was left. */
  readonly prunings: readonly Pruning[];
  /** `retention.max_total_size`, or null where the configuration is unknown. */
  readonly capBytes: number | null;
}

/** All of a study's page. */
export interface StudyReport {
  /** ISO 8601. */
  readonly written: string;
  readonly version: string;
  readonly studyId: string;
  /** The user's name for it. */
  readonly name: string;
  /** The objective's name. */
  readonly metric: string;
  readonly direction: Direction;
  /** Adapter, data and the like, in the order of the page. */
  readonly facts: readonly { readonly name: string; readonly value: string }[];
  readonly trials: readonly ReportTrial[];
  /** The number of the best trial, or null while none is COMPLETE. */
  readonly best: number | null;
  /** The most important first. */
  readonly parameters: readonly ReportParameter[];
  readonly storage: StorageHistory;
  /** The best trial on the test split, or why it is not there. */
  readonly test: TestResult | { readonly missing: string };
  /** The study's configuration as YAML, or null where another program made the study. */
  readonly configuration: string | null;
  /** With text of posts, only where it was asked for; null otherwise. */
  readonly examples: readonly EvidenceExample[] | null;
}

/** A COMPLETE trial with a finite objective. */
export type CompleteTrial = ReportTrial & { readonly value: number };

/** The COMPLETE trials with a finite objective. */
export const completeTrials = ({ trials }: Pick<StudyReport, "trials">): CompleteTrial[] =>
  trials.filter((trial): trial is CompleteTrial => trial.state === "COMPLETE" && trial.value !== null);
