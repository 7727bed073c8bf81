/** Start and end logits behind a hidden layer. */
import { activation } from "../../graph/ops/activation.ts";
import { dropout } from "../../graph/ops/elementwise.ts";
import { dense, linearParameters } from "../layers.ts";
import type { EvidenceHeadDefinition } from "./evidence_head.ts";
import { startEndLinear } from "./start_end_linear.ts";

/** As `start_end_linear`, with one hidden layer before it. */
export const startEndMlp: EvidenceHeadDefinition = {
  ...startEndLinear,
  summary: "Start and end of a span, each behind one hidden layer",
  parameters: (name, { width, hidden, criteria }) => [
    ...linearParameters(`${name}.hidden`, hidden, width),
    ...linearParameters(`${name}.output`, 2 * criteria, hidden),
  ],
  forward(g, x, _, parameter, name, options) {
    const inner = dense(g, parameter, `${name}.hidden`, dropout(g, x, options.dropout));
    const h = dropout(g, activation(g, inner, options.activation), options.dropout);
    return dense(g, parameter, `${name}.output`, h);
  },
};
