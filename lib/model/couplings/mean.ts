/** The mean of both. */
import { add, scale } from "../../graph/ops/combine.ts";
import type { CouplingDefinition } from "./coupling.ts";

/** (a + b) / 2. */
export const mean: CouplingDefinition = {
  summary: "The mean of both",
  parameters: () => [],
  combine: (g, a, b) => scale(g, add(g, a, b), 0.5),
};
