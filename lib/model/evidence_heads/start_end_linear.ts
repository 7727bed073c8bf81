/** Start and end logits of each criterion by one linear layer, as BERT's reader for SQuAD (Devlin et al. 2019). */
import { dropout } from "../../graph/ops/elementwise.ts";
import { boundaryLoss, topSpans } from "../../graph/ops/spans.ts";
import { dense, linearParameters } from "../layers.ts";
import type { EvidenceHeadDefinition } from "./evidence_head.ts";
import { readTopSpans } from "./top_spans.ts";

/** Dropout and one linear layer: start and end logit of each criterion in turn, [B, T, 2K]. */
export const startEndLinear: EvidenceHeadDefinition = {
  summary: "Start and end of a span, each by one linear layer",
  parameters: (name, { width, criteria }) => linearParameters(name, 2 * criteria, width),
  forward: (g, x, _, parameter, name, options) => dense(g, parameter, name, dropout(g, x, options.dropout)),
  loss: (g, logits, { tags, limits, spanWeight }) => boundaryLoss(g, logits, { tags, limits, weight: spanWeight }),
  decode: (g, logits, { begins, limits }, _parameter, _name, { criteria, maxSpanTokens, maxSpans }) => [
    topSpans(g, logits, { begins, limits, criteria, band: maxSpanTokens, count: maxSpans, grid: false }),
  ],
  read: (batch, options) => readTopSpans(batch, options, 2 * Math.log(4)),
};
