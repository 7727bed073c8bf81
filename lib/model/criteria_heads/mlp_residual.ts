/** The perceptron with a residual connection, as a transformer's feed-forward block has it (post-LayerNorm). */
import { activation } from "../../graph/ops/activation.ts";
import { dropout } from "../../graph/ops/elementwise.ts";
import { layerNorm } from "../../graph/ops/layer_norm.ts";
import { dense, linearParameters, normParameters } from "../layers.ts";
import type { CriteriaHeadDefinition } from "./criteria_head.ts";

const EPSILON = 1e-5;

/** LayerNorm(x + W₂·act(W₁·x)), then one linear layer. */
export const mlpResidual: CriteriaHeadDefinition = {
  summary: "A hidden layer added to its input, LayerNorm, one linear layer",
  parameters: (name, { width, hidden, criteria }) => [
    ...linearParameters(`${name}.hidden`, hidden, width),
    ...linearParameters(`${name}.back`, width, hidden),
    ...normParameters(`${name}.norm`, width),
    ...linearParameters(`${name}.output`, criteria, width),
  ],
  forward(g, x, parameter, name, options) {
    const inner = activation(g, dense(g, parameter, `${name}.hidden`, x), options.activation);
    const y = layerNorm(g, {
      x: dense(g, parameter, `${name}.back`, inner),
      residual: x,
      gamma: parameter(`${name}.norm.weight`),
      beta: parameter(`${name}.norm.bias`),
    }, { epsilon: EPSILON, dropout: options.dropout });
    return dense(g, parameter, `${name}.output`, dropout(g, y, options.dropout));
  },
};
