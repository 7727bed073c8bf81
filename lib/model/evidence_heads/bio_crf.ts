/** Tagging with a linear-chain CRF on top (Huang, Xu & Yu 2015, arXiv:1508.01991). */
import { dropout } from "../../graph/ops/elementwise.ts";
import { CRF_SCORES, crfDecode, crfLoss } from "../../graph/ops/crf.ts";
import { dense, linearParameters } from "../layers.ts";
import type { EvidenceHeadDefinition, ScoredSpan } from "./evidence_head.ts";

/** Emissions of the tags O, B and I of each criterion [B, T, 3K], and a CRF for each criterion. */
export const bioCrf: EvidenceHeadDefinition = {
  summary: "Tags O, B, I with a linear-chain CRF for each criterion",
  parameters: (name, { width, criteria }) => [
    ...linearParameters(`${name}.emission`, 3 * criteria, width),
    { name: `${name}.crf`, shape: [criteria, CRF_SCORES], initialisation: "normal", decay: false },
  ],
  forward: (g, x, _, parameter, name, options) =>
    dense(g, parameter, `${name}.emission`, dropout(g, x, options.dropout)),
  loss(g, emissions, { tags, limits, spanWeight }, parameter, name) {
    const crf = parameter(`${name}.crf`);
    const { items, dlogits, dscores, dcrf } = crfLoss(g, { emissions, crf, tags, limits, weight: spanWeight });
    return { items, dlogits, parameters: [{ parameter: crf, derivative: dscores, gradient: dcrf }] };
  },
  decode(g, emissions, { limits }, parameter, name) {
    const { tags, margin } = crfDecode(g, { emissions, crf: parameter(`${name}.crf`), limits });
    return [tags, margin];
  },
  read({ values: [tagValues, margins], size, length }, { criteria, maxSpans }) {
    const tags = new Uint32Array(tagValues!.buffer, tagValues!.byteOffset, tagValues!.length);
    return Array.from({ length: size * criteria }, (_, row) => {
      const b = Math.floor(row / criteria), k = row % criteria;
      const tag = (t: number) => t < length ? tags[(b * length + t) * criteria + k]! : 0;
      const spans: ScoredSpan[] = [];
      for (let first = 1; first < length; first++) {
        // An I behind an O begins a span as well: the CRF may give one, though it is trained on none.
        if (tag(first) === 0) continue;
        let last = first;
        while (tag(last + 1) === 2) last++;
        // The lead of the whole path over "no evidence" stands for each of its spans.
        spans.push({ first, last, score: margins![row]! });
        first = last;
      }
      return spans.toSorted((a, b) => b.last - b.first - (a.last - a.first) || a.first - b.first).slice(0, maxSpans);
    });
  },
};
