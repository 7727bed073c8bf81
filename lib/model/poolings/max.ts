/** The largest value of each column over a text's tokens. */
import { pool } from "../../graph/ops/pool.ts";
import type { PoolingDefinition } from "./pooling.ts";

/** The largest value of each column over a text's tokens. */
export const max: PoolingDefinition = {
  summary: "The largest value of each column over a text's tokens",
  parameters: () => [],
  forward: (g, states, mask) => pool(g, states.at(-1)!, "max", mask),
};
