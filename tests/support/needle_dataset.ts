/** Posts that say little: one sentence in each is, or is not, evidence for one of two criteria. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { formatCsv } from "../../lib/data/csv_format.ts";
import { randomStream } from "../../lib/support/rng.ts";

const EVIDENCE: Record<string, readonly string[]> = {
  SLEEP: ["I lie awake all night.", "I cannot sleep at all.", "I wake up at four and sleep no more."],
  FOOD: ["I eat almost nothing.", "I cannot stop eating food.", "I eat until I am sick of food."],
};
const NEUTRAL = [
  "The bus was late again.",
  "My brother called on Sunday.",
  "It rained the whole week.",
  "Work is work.",
  "We watched a film.",
  "I bought new shoes.",
];

/** What to write. */
export interface NeedleOptions {
  posts: number;
  /** Neutral sentences before the one that counts, and behind it. */
  before: number;
  behind: number;
}

/** Writes the two tables: a third of the posts without a criterion, a third with each. */
export async function writeNeedleDataset(folder: string, { posts, before, behind }: NeedleOptions): Promise<void> {
  const random = randomStream(5, "needles");
  const neutral = (count: number) => Array.from({ length: count }, () => random.pick(NEUTRAL));
  const rows: string[][] = [["post_id", "text"]];
  const annotations = [["post_id", "sentence_id", "sentence_text", "DSM5_symptom", "status", "explanation"]];
  for (let i = 0; i < posts; i++) {
    const id = `p${i}`, criterion = [undefined, "SLEEP", "FOOD"][i % 3];
    const [sentence] = criterion ? [random.pick(EVIDENCE[criterion]!)] : neutral(1);
    // The number keeps texts apart: posts of one text would be kept in one split.
    rows.push([id, [...neutral(before), sentence!, ...neutral(behind), `${i}`].join(" ")]);
    if (criterion) annotations.push([id, `${id}_1`, sentence!, criterion, "1", ""]);
  }
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "posts.csv"), formatCsv(rows));
  await writeFile(join(folder, "annotations.csv"), formatCsv(annotations));
}
