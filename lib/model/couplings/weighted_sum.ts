/** Both by learned weights. */
import { weightedSum as sum } from "../../graph/ops/weighted_sum.ts";
import type { CouplingDefinition } from "./coupling.ts";

/** w₁·a + w₂·b, both weights starting at 1. */
export const weightedSum: CouplingDefinition = {
  summary: "The sum of both by learned weights",
  parameters: (name) => [{ name: `${name}.weights`, shape: [2], initialisation: "ones", decay: false }],
  combine: (g, a, b, parameter, name) => sum(g, [a, b], parameter(`${name}.weights`), { softmax: false }),
};
