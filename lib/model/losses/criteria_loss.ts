/** What a criteria loss is: a form of the one kernel, `criteria_loss.wgsl`, and what it takes from the training split. */
import type { CriteriaLossForm } from "../../graph/ops/losses.ts";

/** What shapes a criteria loss beside its name. */
export interface CriteriaLossOptions {
  /** Focusing factor of the focal losses. */
  readonly gamma: number;
  /** Share of cross-entropy in `hybrid`. */
  readonly alpha: number;
  readonly smoothing: number;
}

/** One entry of the registry of criteria losses. */
export interface CriteriaLossDefinition {
  /** One line for people. */
  readonly summary: string;
  /** Whether positive labels weigh as much as the negative ones of their criterion, by the training split. */
  readonly balanced: boolean;
  /** Whether each criterion has its own focusing factor, by the running confidence. */
  readonly adaptive: boolean;
  form(options: CriteriaLossOptions): CriteriaLossForm;
}
