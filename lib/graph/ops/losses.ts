/** Fused losses: value and derivative with respect to the logits in one pass, so they seed autodiff. */
import type { GradientMaker, Graph } from "../graph.ts";
import { elementCount, type Tensor, width } from "../tensor.ts";
import { KERNELS } from "./kernels.ts";

/** A loss: one summand per item and the derivative of their sum. */
export interface Loss {
  readonly items: Tensor;
  readonly dlogits: Tensor;
}

/** A parameter that a loss itself has, and what makes its gradient. */
export interface ParameterGradient {
  readonly parameter: Tensor;
  /** The derivative that `gradient` reads: where the loss is scaled, scaled like `dlogits`. */
  readonly derivative: Tensor;
  readonly gradient: GradientMaker;
}

/** The form of the criteria loss: α·BCE + (1 - α)·focal; see `criteria_loss.wgsl`. */
export interface CriteriaLossForm {
  /** Share of plain cross-entropy, in [0, 1]: 1 is BCE, 0 is focal. */
  readonly alpha: number;
  /** Focusing factor of the focal part, at least 0. */
  readonly gamma: number;
  /** Label smoothing in [0, 1): targets are y·(1 - s) + s / 2. */
  readonly smoothing: number;
}

/** Plain binary cross-entropy. */
export const BCE: CriteriaLossForm = { alpha: 1, gamma: 0, smoothing: 0 };

/**
 * The criteria loss on logits, weighted per row and by `StepScalars.criteriaScale`: with {@link BCE} as
 * `torch.nn.functional.binary_cross_entropy_with_logits` (`pos_weight` being `positiveWeight`), with α = 0 as
 * `torchvision.ops.sigmoid_focal_loss` without its α. Where `confidence` is given, each class has its own focusing
 * factor. logits, labels [B, K], weight [B], positiveWeight [K], confidence [3K].
 */
export function criteriaLoss(
  g: Graph,
  { logits, labels, weight, positiveWeight, confidence }: {
    logits: Tensor;
    labels: Tensor;
    weight: Tensor;
    positiveWeight?: Tensor;
    confidence?: Tensor;
  },
  form: CriteriaLossForm,
): Loss {
  const items = g.tensor("criteria_items", logits.shape);
  const dlogits = g.tensor("criteria_dlogits", logits.shape);
  const count = elementCount(logits.shape);
  g.emit({
    kernel: KERNELS.criteriaLoss,
    constants: { CRITERIA: width(logits), POSITIVE_WEIGHT: positiveWeight ? 1 : 0, ADAPTIVE: confidence ? 1 : 0 },
    bindings: {
      logits,
      labels,
      weight,
      dlogits,
      items,
      ...(positiveWeight ? { positive_weight: positiveWeight } : {}),
      ...(confidence ? { confidence } : {}),
    },
    dims: { count, ...form },
    grid: [Math.ceil(count / 64), 1, 1],
  });
  return { items, dlogits };
}

/** Adds what a micro-batch says of each class's confidence [3K]; a step's sums are taken in by {@link foldConfidence}. */
export function addConfidence(
  g: Graph,
  confidence: Tensor,
  { logits, labels, weight }: { logits: Tensor; labels: Tensor; weight: Tensor },
): void {
  const criteria = width(logits);
  g.emit({
    kernel: KERNELS.confidenceUpdate,
    constants: { CRITERIA: criteria, FOLD: 0 },
    bindings: { confidence, logits, labels, weight },
    dims: { batch: logits.shape[0]! },
    grid: [Math.ceil(criteria / 64), 1, 1],
  });
}

/** Takes the sums of an optimizer step into the running confidence: c ← c + momentum · (mean - c). */
export function foldConfidence(g: Graph, confidence: Tensor, momentum: number): void {
  const criteria = width(confidence) / 3;
  g.emit({
    kernel: KERNELS.confidenceUpdate,
    constants: { CRITERIA: criteria, FOLD: 1 },
    bindings: { confidence },
    dims: { momentum },
    grid: [Math.ceil(criteria / 64), 1, 1],
  });
}

/** Sums the items of both losses into slot `StepScalars.slot` of the metrics ring. */
export function recordLoss(g: Graph, criteria: Loss, span: Loss, ring: Tensor): void {
  g.emit({
    kernel: KERNELS.lossRecord,
    constants: {},
    bindings: { criteria: criteria.items, span: span.items, ring },
    dims: { criteria_count: elementCount(criteria.items.shape), span_count: elementCount(span.items.shape) },
    grid: [1, 1, 1],
  });
}
