/** Random predictions for posts: what the metrics, thresholds and reports are tested on. */
import type { CharacterSpan, Example } from "../../lib/data/dataset.ts";
import { randomStream } from "../../lib/support/rng.ts";
import type { PostPredictions, ScoredEvidence } from "../../lib/train/aggregation.ts";

/** The criteria of random predictions. */
export const CRITERIA = ["A", "B", "C", "D"];

const WORDS = [
  "I",
  "cry",
  "all",
  "the",
  "night,",
  "😭",
  "An",
  "and",
  "a",
  "“the”",
  "über",
  "x_the",
  "Σίσυφος",
  "can't",
];

/** How likely each of CRITERIA is: half, rare, never, nearly always. */
const LIKELY = [0.5, 0.1, 0, 0.9];

/**
 * Posts whose probabilities and span scores tell something about labels and evidence, with ties, a criterion without
 * positives, further spans, and spans that are given where there is no evidence.
 *
 * @param steps distinct probabilities: few make ties
 */
export function randomPosts(seed: number, posts: number, { steps = 1000, likely = LIKELY } = {}): PostPredictions {
  const random = randomStream(seed, "posts");
  const examples: Example[] = [], probabilities: number[] = [], spans: ScoredEvidence[][] = [];
  for (let n = 0; n < posts; n++) {
    const words = Array.from({ length: 6 + random.integer(10) }, () => random.pick(WORDS));
    const text = words.join(random.pick([" ", "  ", "\n"]));
    const span = (): CharacterSpan => {
      const start = random.integer(text.length - 1);
      return { start, end: start + 1 + random.integer(text.length - start) };
    };
    const labels = Uint8Array.from(likely, (p) => (random.uniform() < p ? 1 : 0));
    const allEvidence = Array.from(labels, (label) =>
      // One positive label in ten has evidence that was not found.
      label === 1 && random.uniform() < 0.9
        ? Array.from({ length: 1 + random.integer(2) }, () => ({ ...span(), status: "exact" as const }))
        : []);
    examples.push({
      postId: `p${n}`,
      text,
      labels,
      evidence: allEvidence.map((all) => all[0] ?? null),
      allEvidence,
    });
    labels.forEach((label, k) => {
      probabilities.push(Math.round(steps * (0.3 * label + 0.7 * random.uniform())) / steps);
      spans.push(apart(
        allEvidence[k]!.flatMap((gold) => random.uniform() < 0.6 ? [gold] : []).concat(
          Array.from({ length: random.integer(3) }, () => ({ ...span(), status: "exact" as const })),
        ).map(({ start, end }) => ({ start, end, score: Math.round(20 * random.normal() + 10 * label) / 10 })),
      ));
    });
  }
  return { examples, probabilities: Float32Array.from(probabilities), spans };
}

/** Best first, without those that share a character with a better one. */
function apart(spans: ScoredEvidence[]): ScoredEvidence[] {
  const chosen: ScoredEvidence[] = [];
  for (const span of spans.toSorted((a, b) => b.score - a.score)) {
    if (chosen.every(({ start, end }) => span.end <= start || end <= span.start)) chosen.push(span);
  }
  return chosen;
}
