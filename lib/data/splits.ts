/**
 * Train, validation and test splits: grouped, stratified over several labels, seeded, recorded by a hash.
 *
 * Iterative stratification of Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data"
 * (ECML PKDD 2011): the rarest label is dealt out first, each example to the split that still lacks most of it.
 */
import { createHash } from "node:crypto";
import { inputError } from "../support/errors.ts";
import { type RandomStream, randomStream } from "../support/rng.ts";
import { normaliseText } from "./alignment.ts";
import type { Example } from "./dataset.ts";

/** How much goes where. */
export interface SplitOptions {
  /** Share of the posts for validation, in (0, 1). */
  validation: number;
  /** Share of the posts for the test, in (0, 1). */
  test: number;
  seed: number;
}

/** Three disjoint parts of the examples, each sorted by post id. */
export interface Splits {
  train: Example[];
  validation: Example[];
  test: Example[];
  /** SHA-256 (hex) over the post ids of the three parts. */
  hash: string;
}

/** Examples that must stay together, and the sum of their labels. */
interface Group {
  examples: Example[];
  /** [K] */
  labels: number[];
}

/**
 * Splits examples by post. Posts with the same text (but for case, quotes and spaces) stay together, or the test would
 * ask for what training has shown. The result depends on the seed and the examples, not on their order.
 *
 * @throws inputError when the shares leave no room for training or a split comes out empty
 */
export function splitExamples(examples: readonly Example[], { validation, test, seed }: SplitOptions): Splits {
  const shares = [1 - validation - test, validation, test];
  if (!shares.every((share) => share > 0)) {
    throw inputError(
      `Split shares validation ${validation} and test ${test} leave ${shares[0]} for training`,
      "Choose two shares above 0 whose sum is below 1",
    );
  }
  const random = randomStream(seed, "split");
  const parts = stratify(random.shuffle(groupExamples(examples)), shares, random)
    .map((groups) => groups.flatMap((group) => group.examples).sort(byPostId));
  const [train, validationPart, testPart] = parts as [Example[], Example[], Example[]];
  const sizes = `train ${train.length}, validation ${validationPart.length}, test ${testPart.length}`;
  if (parts.some((part) => part.length === 0)) {
    throw inputError(
      `Splitting ${examples.length} posts leaves an empty split: ${sizes}`,
      "Use a larger dataset, or larger shares for the empty splits",
    );
  }
  const ids = parts.map((part) => part.map((example) => example.postId));
  const hash = createHash("sha256").update(JSON.stringify(ids)).digest("hex");
  return { train, validation: validationPart, test: testPart, hash };
}

function byPostId(a: Example, b: Example): number {
  return a.postId < b.postId ? -1 : a.postId > b.postId ? 1 : 0;
}

/** Groups of equal text in the order of their first post id. */
function groupExamples(examples: readonly Example[]): Group[] {
  const sorted = examples.toSorted(byPostId);
  sorted.forEach((example, index) => {
    if (sorted[index + 1]?.postId === example.postId) {
      throw new RangeError(`Expected one example per post but found post ${example.postId} twice`);
    }
  });
  const groups = Map.groupBy(sorted, (example) => normaliseText(example.text).text.trim());
  return [...groups.values()].map((members) => ({
    examples: members,
    labels: Array.from(members[0]!.labels, (_, k) => members.reduce((sum, { labels }) => sum + labels[k]!, 0)),
  }));
}

/** Deals the groups out to as many parts as there are shares; `groups` come in random order. */
function stratify(groups: Group[], shares: number[], random: RandomStream): Group[][] {
  const total = groups.reduce((sum, group) => sum + group.examples.length, 0);
  const labelTotals = (groups[0]?.labels ?? []).map((_, k) => groups.reduce((sum, group) => sum + group.labels[k]!, 0));
  const parts: Group[][] = shares.map(() => []);
  // What each part still wants: examples in all, and positives of each criterion.
  const wanted = shares.map((share) => share * total);
  const wantedLabel = shares.map((share) => labelTotals.map((count) => share * count));
  let remaining = groups;
  const deal = (group: Group, scores: number[][]) => {
    const part = argmax(scores, random);
    parts[part]!.push(group);
    wanted[part]! -= group.examples.length;
    group.labels.forEach((count, k) => wantedLabel[part]![k]! -= count);
  };
  for (;;) {
    const left = labelTotals.map((_, k) => remaining.reduce((sum, group) => sum + group.labels[k]!, 0));
    const rarest = Math.min(...left.filter((count) => count > 0));
    const k = left.indexOf(rarest);
    if (k < 0) break;
    const [having, rest] = partition(remaining, (group) => group.labels[k]! > 0);
    for (const group of having) deal(group, [wantedLabel.map((counts) => counts[k]!), wanted]);
    remaining = rest;
  }
  for (const group of remaining) deal(group, [wanted]);
  return parts;
}

/** Index of the largest score; ties go to the next list of scores, then to chance. */
function argmax(scores: number[][], random: RandomStream): number {
  let best = scores[0]!.map((_, index) => index);
  for (const list of scores) {
    const top = Math.max(...best.map((index) => list[index]!));
    // Sums of fractions differ in the last bits where the counts are equal.
    best = best.filter((index) => list[index]! >= top - 1e-9);
  }
  return best.length === 1 ? best[0]! : random.pick(best);
}

function partition<T>(items: readonly T[], belongs: (item: T) => boolean): [T[], T[]] {
  return [items.filter(belongs), items.filter((item) => !belongs(item))];
}
