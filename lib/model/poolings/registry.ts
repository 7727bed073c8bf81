/** Every pooling by the name that configurations have for it. A new one is one file and one line here. */
import { attention } from "./attention.ts";
import { cls } from "./cls.ts";
import { last2LayerMix } from "./last_2_layer_mix.ts";
import { max } from "./max.ts";
import { mean } from "./mean.ts";

/** The poolings. */
export const POOLINGS = {
  cls,
  mean,
  max,
  attention,
  last_2_layer_mix: last2LayerMix,
};

/** The name of a pooling. */
export type PoolingName = keyof typeof POOLINGS;
