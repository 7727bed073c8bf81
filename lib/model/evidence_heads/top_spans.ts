/** Reading what `topSpans` wrote: shared by the heads that score spans one by one. */
import { topSpanWords } from "../../graph/ops/spans.ts";
import type { DecodedBatch, EvidenceOptions, ScoredSpan } from "./evidence_head.ts";

/** The spans that were found, scored by their lead over the null span. */
export function readTopSpans(
  { values: [values], size }: DecodedBatch,
  { criteria, maxSpans }: Pick<EvidenceOptions, "criteria" | "maxSpans">,
): ScoredSpan[][] {
  const floats = values!, words = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const perRow = topSpanWords(maxSpans);
  return Array.from({ length: size * criteria }, (_, row) => {
    const at = row * perRow, nullScore = floats[at]!;
    const spans: ScoredSpan[] = [];
    for (let n = 0; n < maxSpans; n++) {
      const [first, last, score] = [words[at + 1 + 3 * n]!, words[at + 2 + 3 * n]!, floats[at + 3 + 3 * n]!];
      if (last > 0) spans.push({ first, last, score: score - nullScore });
    }
    return spans;
  });
}
