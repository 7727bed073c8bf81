/** Every criteria loss by the name that configurations have for it. A new one is one entry here, or one file and one line. */
import type { CriteriaLossDefinition } from "./criteria_loss.ts";

/** The criteria losses; see `criteria_loss.wgsl`. */
export const CRITERIA_LOSSES = {
  bce: {
    summary: "Binary cross-entropy",
    balanced: false,
    adaptive: false,
    form: ({ smoothing }) => ({ alpha: 1, gamma: 0, smoothing }),
  },
  weighted_bce: {
    summary: "Binary cross-entropy, positives weighted by how rare they are in the training split",
    balanced: true,
    adaptive: false,
    form: ({ smoothing }) => ({ alpha: 1, gamma: 0, smoothing }),
  },
  focal: {
    summary: "Focal loss: what is already right weighs less (Lin et al. 2017)",
    balanced: false,
    adaptive: false,
    form: ({ gamma, smoothing }) => ({ alpha: 0, gamma, smoothing }),
  },
  adaptive_focal: {
    summary: "Focal loss with a focusing factor per criterion, larger where confidence is low (Li et al. 2022)",
    balanced: false,
    adaptive: true,
    form: ({ gamma, smoothing }) => ({ alpha: 0, gamma, smoothing }),
  },
  hybrid: {
    summary: "A mixture of binary cross-entropy and focal loss",
    balanced: false,
    adaptive: false,
    form: ({ alpha, gamma, smoothing }) => ({ alpha, gamma, smoothing }),
  },
} satisfies Record<string, CriteriaLossDefinition>;

/** Whether positive labels weigh more than negative ones. */
export const CLASS_WEIGHTS = {
  none: "All labels weigh the same, but in losses that are balanced themselves",
  balanced: "Positive labels weigh as much as the negative ones of their criterion, by the training split",
} as const;

/** The name of a criteria loss. */
export type CriteriaLossName = keyof typeof CRITERIA_LOSSES;
