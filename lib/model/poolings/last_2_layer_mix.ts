/** A learned mix of the last two layers, after the scalar mix of ELMo (Peters et al. 2018). */
import { pool } from "../../graph/ops/pool.ts";
import { weightedSum } from "../../graph/ops/weighted_sum.ts";
import type { PoolingDefinition } from "./pooling.ts";

/** The mean over a text's tokens of softmax(w) times the hidden states of the last two layers. */
export const last2LayerMix: PoolingDefinition = {
  summary: "The mean over a text's tokens of a learned mix of the last two layers",
  parameters: (name) => [{ name: `${name}.mix`, shape: [2], initialisation: "zeros", decay: false }],
  forward(g, states, mask, parameter, name) {
    const last = states.slice(-2);
    // An evidence stream has one layer only; there is nothing to mix then, but the parameter stands.
    if (last.length < 2) last.unshift(last[0]!);
    return pool(g, weightedSum(g, last, parameter(`${name}.mix`), { softmax: true }), "mean", mask);
  },
};
