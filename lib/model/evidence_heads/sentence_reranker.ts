/** Whole sentences as evidence: each is scored for each criterion, the best are given. */
import { activation } from "../../graph/ops/activation.ts";
import { dropout } from "../../graph/ops/elementwise.ts";
import { segmentMean } from "../../graph/ops/segment_mean.ts";
import { sentenceLoss } from "../../graph/ops/spans.ts";
import { dense, linearParameters } from "../layers.ts";
import type { EvidenceHeadDefinition, ScoredSpan } from "./evidence_head.ts";

/** Sentences of a row that are scored at most: one of four tokens is a short one. */
export const sentenceLimit = (length: number): number => Math.max(1, Math.ceil(length / 4));

/** The mean over a sentence's tokens, a hidden layer, one logit per criterion: [B, S, K]. */
export const sentenceReranker: EvidenceHeadDefinition = {
  summary: "Whole sentences, scored by the mean over their tokens",
  parameters: (name, { width, hidden, criteria }) => [
    ...linearParameters(`${name}.hidden`, hidden, width),
    ...linearParameters(`${name}.output`, criteria, hidden),
  ],
  forward(g, x, { sentences }, parameter, name, options) {
    const [, length] = x.shape as [number, number, number];
    const means = segmentMean(g, x, sentences, sentenceLimit(length)); //   [B, S, C]
    const inner = dense(g, parameter, `${name}.hidden`, dropout(g, means, options.dropout));
    const h = dropout(g, activation(g, inner, options.activation), options.dropout);
    return dense(g, parameter, `${name}.output`, h);
  },
  loss: (g, logits, { tags, spanWeight, sentences }) =>
    sentenceLoss(g, logits, { tags, weight: spanWeight, segments: sentences }),
  decode: (_g, logits) => [logits],
  read({ values: [logits], size, length, sentences }, { criteria, maxSpans }) {
    const limit = sentenceLimit(length);
    return Array.from({ length: size * criteria }, (_, row) => {
      const b = Math.floor(row / criteria), k = row % criteria;
      const spans: ScoredSpan[] = [];
      for (let first = 0; first < length; first++) {
        const sentence = sentences[b * length + first]!;
        if (sentence >= limit) continue;
        let last = first;
        while (last + 1 < length && sentences[b * length + last + 1] === sentence) last++;
        spans.push({ first, last, score: logits![(b * limit + sentence) * criteria + k]! });
        first = last;
      }
      return spans.toSorted((a, b) => b.score - a.score || a.first - b.first).slice(0, maxSpans);
    });
  },
};
