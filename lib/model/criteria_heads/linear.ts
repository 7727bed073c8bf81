/** The linear head. */
import { dropout } from "../../graph/ops/elementwise.ts";
import { dense, linearParameters } from "../layers.ts";
import type { CriteriaHeadDefinition } from "./criteria_head.ts";

/** Dropout and one linear layer. */
export const linear: CriteriaHeadDefinition = {
  summary: "Dropout and one linear layer",
  parameters: (name, { width, criteria }) => linearParameters(name, criteria, width),
  forward: (g, x, parameter, name, options) => dense(g, parameter, name, dropout(g, x, options.dropout)),
};
