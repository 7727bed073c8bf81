/** The first token's hidden state. */
import { pool } from "../../graph/ops/pool.ts";
import type { PoolingDefinition } from "./pooling.ts";

/** The first token's hidden state. */
export const cls: PoolingDefinition = {
  summary: "The first token's hidden state",
  parameters: () => [],
  forward: (g, states, mask) => pool(g, states.at(-1)!, "cls", mask),
};
