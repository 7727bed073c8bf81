/** Attention pooling (Yang et al. 2016, "Hierarchical Attention Networks for Document Classification"). */
import { tanh } from "../../graph/ops/elementwise.ts";
import { attentionPool } from "../../graph/ops/tokens.ts";
import { dense, linearParameters } from "../layers.ts";
import type { PoolingDefinition } from "./pooling.ts";

/** The mean over a text's tokens, weighted by a learned score: softmax(uᵀ·tanh(W·h + b)). */
export const attention: PoolingDefinition = {
  summary: "The mean over a text's tokens, weighted by a learned score",
  parameters: (name, width) => [
    ...linearParameters(`${name}.hidden`, width, width),
    ...linearParameters(`${name}.score`, 1, width),
  ],
  forward(g, states, mask, parameter, name) {
    const x = states.at(-1)!;
    const scores = dense(g, parameter, `${name}.score`, tanh(g, dense(g, parameter, `${name}.hidden`, x)));
    return attentionPool(g, x, scores, mask);
  },
};
