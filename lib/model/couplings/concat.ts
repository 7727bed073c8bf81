/** Both beside each other, projected back to the width of one. */
import { concat as concatenate } from "../../graph/ops/columns.ts";
import { dense, linearParameters } from "../layers.ts";
import type { CouplingDefinition } from "./coupling.ts";

/** W·[a; b] + c. */
export const concat: CouplingDefinition = {
  summary: "Both beside each other, projected back to one width",
  parameters: (name, width) => linearParameters(`${name}.projection`, width, 2 * width),
  combine: (g, a, b, parameter, name) => dense(g, parameter, `${name}.projection`, concatenate(g, [a, b])),
};
