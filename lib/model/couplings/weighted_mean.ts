/** Both by learned weights that sum to one. */
import { weightedSum } from "../../graph/ops/weighted_sum.ts";
import type { CouplingDefinition } from "./coupling.ts";

/** softmax(w)₁·a + softmax(w)₂·b, starting at the mean. */
export const weightedMean: CouplingDefinition = {
  summary: "The mean of both by learned weights",
  parameters: (name) => [{ name: `${name}.weights`, shape: [2], initialisation: "zeros", decay: false }],
  combine: (g, a, b, parameter, name) => weightedSum(g, [a, b], parameter(`${name}.weights`), { softmax: true }),
};
