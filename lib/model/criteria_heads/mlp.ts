/** The perceptron with one hidden layer. */
import { activation } from "../../graph/ops/activation.ts";
import { dropout } from "../../graph/ops/elementwise.ts";
import { dense, linearParameters } from "../layers.ts";
import type { CriteriaHeadDefinition } from "./criteria_head.ts";

/** A hidden layer with activation, dropout before each of the two linear layers. */
export const mlp: CriteriaHeadDefinition = {
  summary: "One hidden layer with activation and dropout",
  parameters: (name, { width, hidden, criteria }) => [
    ...linearParameters(`${name}.hidden`, hidden, width),
    ...linearParameters(`${name}.output`, criteria, hidden),
  ],
  forward(g, x, parameter, name, options) {
    const inner = dense(g, parameter, `${name}.hidden`, dropout(g, x, options.dropout));
    const h = dropout(g, activation(g, inner, options.activation), options.dropout);
    return dense(g, parameter, `${name}.output`, h);
  },
};
