/** The criteria agent looks at the evidence tokens by scaled dot-product attention (Vaswani et al. 2017), one head. */
import { layerNorm } from "../../graph/ops/layer_norm.ts";
import { tokenAttention } from "../../graph/ops/tokens.ts";
import { dense, linearParameters, normParameters } from "../layers.ts";
import type { TokenCouplingDefinition } from "./coupling.ts";

const EPSILON = 1e-5;

/** z = LayerNorm(c + W_o·attention(W_q·c, W_k·E, W_v·E)). */
export const crossAttention: TokenCouplingDefinition = {
  summary: "The pooled text attends to the evidence tokens",
  parameters: (name, width) => [
    ...["query", "key", "value", "output"].flatMap((part) => linearParameters(`${name}.${part}`, width, width)),
    ...normParameters(`${name}.norm`, width),
  ],
  attend(g, c, tokens, mask, parameter, name) {
    const project = (part: string, x: typeof c) => dense(g, parameter, `${name}.${part}`, x);
    const attended = tokenAttention(g, project("query", c), project("key", tokens), project("value", tokens), mask);
    return layerNorm(g, {
      x: project("output", attended),
      residual: c,
      gamma: parameter(`${name}.norm.weight`),
      beta: parameter(`${name}.norm.bias`),
    }, { epsilon: EPSILON });
  },
};
