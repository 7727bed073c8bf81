/** The gated linear unit (Dauphin et al. 2017) with an activation, as Shazeer's GLU variants (arXiv:2002.05202). */
import { activation } from "../../graph/ops/activation.ts";
import { multiply } from "../../graph/ops/combine.ts";
import { dropout } from "../../graph/ops/elementwise.ts";
import { dense, linearParameters } from "../layers.ts";
import type { CriteriaHeadDefinition } from "./criteria_head.ts";

/** act(W·x) ∘ σ(V·x), then one linear layer. */
export const gated: CriteriaHeadDefinition = {
  summary: "A hidden layer whose units are gated by the input, one linear layer",
  parameters: (name, { width, hidden, criteria }) => [
    ...linearParameters(`${name}.hidden`, hidden, width),
    ...linearParameters(`${name}.gate`, hidden, width),
    ...linearParameters(`${name}.output`, criteria, hidden),
  ],
  forward(g, x, parameter, name, options) {
    const dropped = dropout(g, x, options.dropout);
    const value = activation(g, dense(g, parameter, `${name}.hidden`, dropped), options.activation);
    const open = activation(g, dense(g, parameter, `${name}.gate`, dropped), "sigmoid");
    return dense(g, parameter, `${name}.output`, dropout(g, multiply(g, value, open), options.dropout));
  },
};
