/** Each column by a gate that sees both, as in a highway network (Srivastava et al. 2015). */
import { concat } from "../../graph/ops/columns.ts";
import { gate as open } from "../../graph/ops/combine.ts";
import { dense, linearParameters } from "../layers.ts";
import type { CouplingDefinition } from "./coupling.ts";

/** σ(z) ∘ a + (1 - σ(z)) ∘ b with z = W·[a; b] + c. */
export const gate: CouplingDefinition = {
  summary: "Column by column from one or the other, by a gate that sees both",
  parameters: (name, width) => linearParameters(`${name}.gate`, width, 2 * width),
  combine: (g, a, b, parameter, name) => open(g, a, b, dense(g, parameter, `${name}.gate`, concat(g, [a, b]))),
};
