/** Every criteria head by the name that configurations have for it. A new one is one file and one line here. */
import { gated } from "./gated.ts";
import { linear } from "./linear.ts";
import { mlp } from "./mlp.ts";
import { mlpResidual } from "./mlp_residual.ts";
import { multiSampleDropout } from "./multi_sample_dropout.ts";

/** The criteria heads. */
export const CRITERIA_HEADS = {
  linear,
  mlp,
  mlp_residual: mlpResidual,
  gated,
  multi_sample_dropout: multiSampleDropout,
};

/** The name of a criteria head. */
export type CriteriaHeadName = keyof typeof CRITERIA_HEADS;
