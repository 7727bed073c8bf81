/** The mean over a text's tokens. */
import { pool } from "../../graph/ops/pool.ts";
import type { PoolingDefinition } from "./pooling.ts";

/** The mean over a text's tokens. */
export const mean: PoolingDefinition = {
  summary: "The mean over a text's tokens",
  parameters: () => [],
  forward: (g, states, mask) => pool(g, states.at(-1)!, "mean", mask),
};
