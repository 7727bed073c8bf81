/** The sum of both. */
import { add as sum } from "../../graph/ops/combine.ts";
import type { CouplingDefinition } from "./coupling.ts";

/** a + b. */
export const add: CouplingDefinition = {
  summary: "The sum of both",
  parameters: () => [],
  combine: (g, a, b) => sum(g, a, b),
};
