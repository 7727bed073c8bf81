/**
 * Train, validation and test splits: those that a dataset declares, else grouped by text, stratified over several
 * labels and seeded. Either way recorded by a hash, which depends on ids, texts, labels and the seed alone and so is the
 * same on every machine.
 *
 * Iterative stratification of Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data"
 * (ECML PKDD 2011): the rarest label is dealt out first, each example to the split that still lacks most of it.
 */
import { createHash } from "node:crypto";
import { inputError } from "../support/errors.ts";
import { type RandomStream, randomStream } from "../support/rng.ts";
import { normaliseText } from "./alignment.ts";
import type { Example } from "./dataset.ts";

/** The names of the splits. */
export const SPLITS = ["train", "validation", "test"] as const;
/** One of the splits. */
export type Split = typeof SPLITS[number];

/** The split that a word means, as datasets name them; undefined for any other word. */
export function splitNamed(word: string): Split | undefined {
  const name = word.trim().toLowerCase();
  if (name === "train" || name === "test") return name;
  return ["validation", "valid", "val", "dev"].includes(name) ? "validation" : undefined;
}

/** How much goes where. */
export interface SplitOptions {
  /** Share of the posts for validation, in (0, 1). */
  validation: number;
  /** Share of the posts for the test, in (0, 1). */
  test: number;
  seed: number;
}

/** Three disjoint parts of the examples, each sorted by post id. */
export interface Splits extends Record<Split, Example[]> {
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
  const splits = { train, validation: validationPart, test: testPart };
  if (parts.some((part) => part.length === 0)) {
    throw inputError(
      `Splitting ${examples.length} posts leaves an empty split: ${sizes(splits)}`,
      "Use a larger dataset, or larger shares for the empty splits",
    );
  }
  return { ...splits, hash: hashSplits(splits) };
}

/**
 * The splits that the tables declare, taken as they are.
 *
 * @param declared The declared split by post id
 * @throws inputError where a post has none, or a split has no post
 */
export function declaredSplits(examples: readonly Example[], declared: ReadonlyMap<string, Split>): Splits {
  const without = examples.filter(({ postId }) => !declared.has(postId));
  const sorted = examples.toSorted(byPostId);
  const part = (split: Split) => sorted.filter(({ postId }) => declared.get(postId) === split);
  const splits = { train: part("train"), validation: part("validation"), test: part("test") };
  const remedy = "Declare train, validation and test for every post, or make splits of our own with " +
    "data.splits.declared=false";
  if (without.length > 0) {
    throw inputError(
      `The posts table declares splits for some posts only: ${sizes(splits)}, none for ${without.length} posts ` +
        `such as ${JSON.stringify(without[0]!.postId)}`,
      remedy,
    );
  }
  if (SPLITS.some((split) => splits[split].length === 0)) {
    throw inputError(`The posts table declares not all of the three splits: ${sizes(splits)}`, remedy);
  }
  return { ...splits, hash: hashSplits(splits) };
}

/** Groups of posts that have the same text (but for case, quotes and spaces) and stand in different splits. */
export function sharedTexts(splits: Record<Split, readonly Example[]>): Example[][] {
  const splitOf = new Map(SPLITS.flatMap((split) => splits[split].map(({ postId }) => [postId, split])));
  return sameTexts(SPLITS.flatMap((split) => splits[split]))
    .filter((group) => new Set(group.map(({ postId }) => splitOf.get(postId))).size > 1);
}

/** Groups of two posts or more that have the same text but for case, quotes and spaces. */
export function sameTexts(examples: readonly Example[]): Example[][] {
  const groups = Map.groupBy(examples, ({ text }) => normaliseText(text).text.trim());
  return [...groups.values()].filter((group) => group.length > 1);
}

function sizes(splits: Record<Split, readonly Example[]>): string {
  return SPLITS.map((split) => `${split} ${splits[split].length}`).join(", ");
}

function hashSplits(splits: Record<Split, readonly Example[]>): string {
  const ids = SPLITS.map((split) => splits[split].map((example) => example.postId));
  return createHash("sha256").update(JSON.stringify(ids)).digest("hex");
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
