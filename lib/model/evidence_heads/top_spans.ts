/** Reading what `topSpans` wrote: shared by the heads that score spans one by one. */
import { topSpanWords } from "../../graph/ops/spans.ts";
import type { DecodedBatch, EvidenceOptions, ScoredSpan } from "./evidence_head.ts";

/**
 * The spans that were found, scored by their lead over the null span. Several gold spans share the probability, so a
 * further span is given only where it is not far behind the best.
 *
 * @param reach how far a score may lie behind the best: log 4 for each softmax that the score is a sum of
 */
export function readTopSpans(
  { values: [values], size }: DecodedBatch,
  { criteria, maxSpans }: Pick<EvidenceOptions, "criteria" | "maxSpans">,
  reach: number,
): ScoredSpan[][] {
  const floats = values!, words = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const perRow = topSpanWords(maxSpans);
  return Array.from({ length: size * criteria }, (_, row) => {
    const at = row * perRow, nullScore = floats[at]!;
    const spans: ScoredSpan[] = [];
    for (let n = 0; n < maxSpans; n++) {
      const [first, last, score] = [words[at + 1 + 3 * n]!, words[at + 2 + 3 * n]!, floats[at + 3 + 3 * n]!];
      const best = spans[0]?.score ?? -Infinity;
      if (last > 0 && score - nullScore >= best - reach) spans.push({ first, last, score: score - nullScore });
    }
    return spans;
  });
}
