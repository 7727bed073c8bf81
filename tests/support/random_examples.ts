/** Posts for property tests. */
import fc from "fast-check";
import type { EvidenceSpan, Example } from "../../lib/data/dataset.ts";

const words = fc.array(fc.constantFrom("sad", "😭", "I", "don't", "été", "...", "\n"), { minLength: 1, maxLength: 80 });

/** Examples of random words with one criterion, whose evidence is a random stretch of the text or missing. */
export const examples = fc.array(fc.record({ words, label: fc.nat(1), from: fc.nat(), count: fc.nat() }), {
  minLength: 1,
  maxLength: 40,
}).map((rows) =>
  rows.map(({ words, label, from, count }, row): Example => {
    const text = "go " + words.join(" ");
    const start = from % text.length, end = Math.min(text.length, start + 1 + count % text.length);
    const span: EvidenceSpan | null = label ? { status: "exact", start, end } : null;
    const allEvidence = [span ? [span] : []];
    return { postId: `p${row}`, text, labels: Uint8Array.of(label), evidence: [span], allEvidence };
  })
);
