/** Multi-sample dropout (Inoue 2019, arXiv:1905.09788). */
import { add, scale } from "../../graph/ops/combine.ts";
import { dropout } from "../../graph/ops/elementwise.ts";
import { dense, linearParameters } from "../layers.ts";
import type { CriteriaHeadDefinition } from "./criteria_head.ts";

/** Dropout masks per step. */
const SAMPLES = 5;

/** The mean of the logits of one linear layer under several dropout masks; without dropout one linear layer. */
export const multiSampleDropout: CriteriaHeadDefinition = {
  summary: `One linear layer, its logits the mean over ${SAMPLES} dropout masks`,
  parameters: (name, { width, criteria }) => linearParameters(name, criteria, width),
  forward(g, x, parameter, name, options) {
    // By linearity the mean of the logits is the logits of the mean: one product instead of five.
    const samples = Array.from({ length: SAMPLES }, () => dropout(g, x, options.dropout));
    if (samples.every((sample) => sample === x)) return dense(g, parameter, name, x);
    return dense(g, parameter, name, scale(g, samples.reduce((sum, sample) => add(g, sum, sample)), 1 / SAMPLES));
  },
};
