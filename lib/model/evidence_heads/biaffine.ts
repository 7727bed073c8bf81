/** Biaffine span scoring (Dozat & Manning 2017; over all spans of a text as Yu, Bohnet & Poesio 2020). */
import { activation } from "../../graph/ops/activation.ts";
import { dropout } from "../../graph/ops/elementwise.ts";
import { bandScores, spanGridLoss, topSpans } from "../../graph/ops/spans.ts";
import { dense, linearParameters } from "../layers.ts";
import type { EvidenceHeadDefinition } from "./evidence_head.ts";
import { readTopSpans } from "./top_spans.ts";

/**
 * Every span of at most `maxSpanTokens` is scored by a bilinear form of its first and last token plus linear terms, and one
 * softmax goes over all spans of a text: logits [B, T, K·maxSpanTokens].
 */
export const biaffine: EvidenceHeadDefinition = {
  summary: "All short spans, scored by a bilinear form of first and last token",
  parameters: (name, { width, hidden, criteria }) => [
    ...linearParameters(`${name}.start`, hidden, width),
    ...linearParameters(`${name}.end`, hidden, width),
    ...linearParameters(`${name}.form`, criteria * hidden, hidden),
    ...linearParameters(`${name}.ends`, 2 * criteria, width),
  ],
  forward(g, x, _, parameter, name, options) {
    const dropped = dropout(g, x, options.dropout);
    const side = (which: "start" | "end") => {
      const inner = activation(g, dense(g, parameter, `${name}.${which}`, dropped), options.activation);
      return dropout(g, inner, options.dropout);
    };
    const q = dense(g, parameter, `${name}.form`, side("start")); //     [B, T, K·D]
    const ends = dense(g, parameter, `${name}.ends`, dropped); //        [B, T, 2K]
    return bandScores(g, { q, e: side("end"), ends }, options.maxSpanTokens);
  },
  loss: (g, logits, { tags, limits, spanWeight }) => spanGridLoss(g, logits, { tags, limits, weight: spanWeight }),
  decode: (g, logits, { begins, limits }, _parameter, _name, { criteria, maxSpanTokens, maxSpans }) => [
    topSpans(g, logits, { begins, limits, criteria, band: maxSpanTokens, count: maxSpans, grid: true }),
  ],
  read: (batch, options) => readTopSpans(batch, options, Math.log(4)),
};
