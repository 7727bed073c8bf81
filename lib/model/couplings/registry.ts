/** Every coupling method by the name that configurations have for it. A new one is one file and one line here. */
import { add } from "./add.ts";
import { concat } from "./concat.ts";
import type { CouplingDefinition, TokenCouplingDefinition } from "./coupling.ts";
import { crossAttention } from "./cross_attention.ts";
import { gate } from "./gate.ts";
import { mean } from "./mean.ts";
import { weightedMean } from "./weighted_mean.ts";
import { weightedSum } from "./weighted_sum.ts";

/** The coupling methods. */
export const COUPLINGS = {
  concat,
  add,
  mean,
  weighted_sum: weightedSum,
  weighted_mean: weightedMean,
  gate,
  cross_attention: crossAttention,
} satisfies Record<string, CouplingDefinition | TokenCouplingDefinition>;

/** Whether there is a coupling at all. */
export const TASK_COUPLINGS = {
  independent: "Two heads on one encoder; their losses are summed",
  coupled: "Each agent sees the other, as the coupling keys say",
} as const;

/** The name of a coupling method. */
export type CouplingName = keyof typeof COUPLINGS;
