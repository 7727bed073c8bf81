/** All augmentation methods by the name that the configuration gives them: a new one is a file and a line here. */
import { backTranslation } from "./back_translation.ts";
import { charPerturb } from "./char_perturb.ts";
import { deletion } from "./delete.ts";
import { eda } from "./eda.ts";
import { insert } from "./insert.ts";
import type { AugmentationMethod } from "./method.ts";
import { swap } from "./swap.ts";
import { synonym } from "./synonym.ts";

/** The methods. */
export const METHODS = {
  synonym,
  insert,
  swap,
  char_perturb: charPerturb,
  delete: deletion,
  eda,
  back_translation: backTranslation,
} satisfies Record<string, AugmentationMethod>;

/** One of them. */
export type AugmentationMethodName = keyof typeof METHODS;

/** Their names. */
export const AUGMENTATION_METHODS = Object.keys(METHODS) as readonly AugmentationMethodName[];
