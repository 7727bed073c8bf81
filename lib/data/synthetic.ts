/**
 * A made-up dataset in RedSM5's shape, so that the whole job runs with no hub and no gated text.
 *
 * It holds what the real one makes hard: evidence sentences among neutral ones, posts without any criterion, negated
 * statements marked as explicit negatives, several criteria in a post, emoji, accents, curly quotes, line breaks, and
 * sentences copied with other white space and quotes than the post has.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type RandomStream, randomStream } from "../support/rng.ts";
import { formatCsv } from "./csv_format.ts";
import { REDSM5_CRITERIA } from "./dataset.ts";
import { CRITERION_SENTENCES, EMOJI, NEUTRAL_SENTENCES } from "./synthetic_sentences.ts";

/** What to make. */
export interface SyntheticOptions {
  posts: number;
  seed: number;
  /** Some of RedSM5's nine, all by default. */
  criteria?: readonly string[];
}

/** A row of either table, in the order of its columns. */
type Row = string[];

/** A sentence of a post, and what it says about a criterion. */
interface Sentence {
  text: string;
  criterion?: string;
  status?: 0 | 1;
}

const POSTS_HEADER = ["post_id", "text"];
const ANNOTATIONS_HEADER = ["post_id", "sentence_id", "sentence_text", "DSM5_symptom", "status", "explanation"];

/**
 * Writes `redsm5_posts.csv` and `redsm5_annotations.csv` into a folder, which is made if need be. The same options
 * give the same bytes.
 */
export async function writeSyntheticDataset(folder: string, options: SyntheticOptions): Promise<void> {
  const { posts, annotations } = makeSyntheticTables(options);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "redsm5_posts.csv"), formatCsv([POSTS_HEADER, ...posts]));
  await writeFile(join(folder, "redsm5_annotations.csv"), formatCsv([ANNOTATIONS_HEADER, ...annotations]));
}

function makeSyntheticTables({ posts: count, seed, criteria = REDSM5_CRITERIA }: SyntheticOptions) {
  const unknown = criteria.find((criterion) => !CRITERION_SENTENCES[criterion]);
  if (unknown !== undefined) throw new RangeError(`Expected RedSM5 criteria but found "${unknown}"`);
  const posts: Row[] = [], annotations: Row[] = [];
  for (let number = 1; number <= count; number++) {
    const random = randomStream(seed, "synthetic", number);
    const postId = `syn_${String(number).padStart(5, "0")}`;
    const sentences = writePost(random, criteria);
    let text = "";
    sentences.forEach((sentence, position) => {
      if (position > 0) text += random.uniform() < 0.15 ? random.pick(["\n", "\n\n", "\r\n"]) : " ";
      text += sentence.text;
      if (sentence.criterion === undefined) return;
      annotations.push([
        postId,
        `${postId}_${position + 1}`,
        copyOf(sentence.text, random),
        sentence.criterion,
        String(sentence.status),
        sentence.status === 1
          ? `The sentence speaks for ${sentence.criterion}.`
          : `The sentence denies ${sentence.criterion}.`,
      ]);
    });
    posts.push([postId, text]);
  }
  return { posts, annotations };
}

/** The sentences of one post: a quarter of the posts have no criterion, the others one to three. */
function writePost(random: RandomStream, criteria: readonly string[]): Sentence[] {
  const shuffled = random.shuffle(criteria);
  const positives = random.uniform() < 0.25 ? 0 : random.pick([1, 1, 1, 1, 2, 2, 3]);
  const sentences: Sentence[] = shuffled.slice(0, positives).flatMap((criterion) =>
    random.shuffle(CRITERION_SENTENCES[criterion]!.positive)
      .slice(0, random.uniform() < 0.1 ? 2 : 1)
      .map((template) => ({ text: expand(template, random), criterion, status: 1 as const }))
  );
  const denied = shuffled[positives];
  if (denied !== undefined && random.uniform() < 0.25) {
    const template = random.pick(CRITERION_SENTENCES[denied]!.negative);
    sentences.push({ text: expand(template, random), criterion: denied, status: 0 });
  }
  const neutral = random.uniform() < 0.03 ? 12 : 2 + random.integer(4);
  for (const template of random.shuffle(NEUTRAL_SENTENCES).slice(0, neutral)) {
    sentences.push({ text: expand(template, random) });
  }
  const curly = random.uniform() < 0.4;
  return random.shuffle(sentences).map((sentence) => ({ ...sentence, text: dress(sentence.text, curly, random) }));
}

/** Chooses one alternative of each `{a|b}`, inner braces first. */
function expand(template: string, random: RandomStream): string {
  let text = template;
  while (text.includes("{")) {
    text = text.replace(/\{([^{}]*)\}/, (_, inner: string) => random.pick(inner.split("|")));
  }
  return text[0]!.toUpperCase() + text.slice(1);
}

/** Curly quotes, a doubled space or a line break inside, an emoji behind. */
function dress(text: string, curly: boolean, random: RandomStream): string {
  let dressed = curly ? text.replaceAll("'", "’").replace(/"([^"]*)"/g, "“$1”") : text;
  if (random.uniform() < 0.08) {
    const spaces = [...dressed.matchAll(/ /g)].map((match) => match.index);
    const at = spaces.length > 0 ? random.pick(spaces) : -1;
    if (at >= 0) dressed = dressed.slice(0, at) + random.pick(["  ", "\n", "\u00a0"]) + dressed.slice(at + 1);
  }
  return random.uniform() < 0.12 ? `${dressed} ${random.pick(EMOJI)}` : dressed;
}

/** A sentence as an annotation tool hands it on: now and then with straight quotes and single spaces. */
function copyOf(text: string, random: RandomStream): string {
  return random.uniform() < 0.5 ? text : text.replaceAll("’", "'").replace(/\s+/g, " ");
}
