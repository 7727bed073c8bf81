/** Fused losses: value and derivative with respect to the logits in one pass, so they seed autodiff. */
import { type Graph, rowKernel } from "../graph.ts";
import { elementCount, type Tensor, width } from "../tensor.ts";
import { KERNELS } from "./kernels.ts";

/** A loss: one summand per item and the derivative of their sum. */
export interface Loss {
  readonly items: Tensor;
  readonly dlogits: Tensor;
}

/**
 * Binary cross-entropy with logits, as `torch.nn.functional.binary_cross_entropy_with_logits`, weighted per row and by
 * `StepScalars.criteriaScale`. logits, labels [B, K], weight [B].
 */
export function bceLoss(g: Graph, logits: Tensor, labels: Tensor, weight: Tensor): Loss {
  const items = g.tensor("bce_items", logits.shape);
  const dlogits = g.tensor("bce_dlogits", logits.shape);
  const count = elementCount(logits.shape);
  g.emit({
    kernel: KERNELS.bceLoss,
    constants: { CRITERIA: width(logits) },
    bindings: { logits, labels, weight, dlogits, items },
    dims: { count },
    grid: [Math.ceil(count / 64), 1, 1],
  });
  return { items, dlogits };
}

/**
 * Cross-entropy of span starts and ends over a text's tokens, the mean of both, as `torch.nn.functional.cross_entropy`
 * with masked logits at -inf, weighted per (text, criterion) and by `StepScalars.spanScale`.
 * logits [B, T, 2K], mask [B, T], start, end, weight [B, K].
 */
export function spanLoss(
  g: Graph,
  logits: Tensor,
  { mask, start, end, weight }: { mask: Tensor; start: Tensor; end: Tensor; weight: Tensor },
): Loss {
  const [batch, length] = logits.shape as [number, number, number];
  const rows = batch * width(logits);
  const items = g.tensor("span_items", [rows]);
  const dlogits = g.tensor("span_dlogits", logits.shape);
  const { constants, grid } = rowKernel(g.target, rows);
  g.emit({
    kernel: KERNELS.spanLoss,
    constants: { ...constants, CRITERIA: width(logits) / 2 },
    bindings: { logits, mask, start, end, weight, dlogits, items },
    dims: { batch, length },
    grid,
  });
  return { items, dlogits };
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
