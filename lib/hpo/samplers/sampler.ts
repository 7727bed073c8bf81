/**
 * What a search strategy is: Optuna's two steps. Parameters whose distributions are known before a trial begins are drawn
 * together; what a trial then asks for besides is drawn by itself. A strategy has no state but caches: what it draws depends
 * on its options, the history and the trial's number alone, so that a search that was killed goes on as it would have.
 */
import type { Category, Distribution, Params, SearchSpace } from "../space.ts";
import type { StudyHistory } from "../trial.ts";

/** Parameters that were drawn together, and from what. */
export interface RelativeSample {
  readonly space: SearchSpace;
  readonly params: Params;
}

/** A strategy to propose parameters. */
export interface Sampler {
  /** Draws what can be drawn jointly for trial `trialNumber` (from 0), before it begins; often nothing. */
  sampleRelative(history: StudyHistory, trialNumber: number): RelativeSample;
  /** Draws one parameter of trial `trialNumber` that was not drawn jointly. */
  sampleIndependent(history: StudyHistory, trialNumber: number, name: string, distribution: Distribution): Category;
  /** Whether the strategy has nothing left to propose (a grid that is finished). Absent: never. */
  exhausted?(history: StudyHistory): boolean;
}
