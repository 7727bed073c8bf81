/** From configuration to encoded splits: the dataset is loaded, split, tokenised and cut to length. */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { type Dataset, type Example, loadDataset } from "../data/dataset.ts";
import { type EncodedExample, encodeExamples, type EncodingCounts } from "../data/encoding.ts";
import { splitExamples } from "../data/splits.ts";
import { writeSyntheticDataset } from "../data/synthetic.ts";
import { randomStream } from "../support/rng.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { downloadFromHub } from "../weights/hub.ts";

/** The names of the splits. */
export const SPLITS = ["train", "validation", "test"] as const;
/** One of the splits. */
export type Split = typeof SPLITS[number];

/** A dataset with its splits. */
export interface SplitDataset {
  readonly id: string;
  readonly dataset: Dataset;
  readonly splits: Record<Split, Example[]>;
  readonly splitHash: string;
}

/** The generated sample lies beside the studies: its folder names all it depends on, so it is made once. */
async function syntheticFolder(config: Config): Promise<string> {
  const { posts, seed } = config.data.synthetic;
  const folder = join(config.paths.experiments, "data", `synthetic_${posts}_${seed}`);
  const done = await Deno.stat(join(folder, "redsm5_annotations.csv")).then(() => true, () => false);
  if (done) return folder;
  const partial = `${folder}.partial-${Deno.pid}`;
  await writeSyntheticDataset(partial, { posts, seed });
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.rename(partial, folder);
  return folder;
}

/** At most `limit` examples, chosen by the seed alone, in their order. */
function sample(examples: readonly Example[], limit: number | null, seed: number): Example[] {
  if (limit === null || limit >= examples.length) return [...examples];
  const chosen = new Set(randomStream(seed, "sample").shuffle(examples).slice(0, limit));
  return examples.filter((example) => chosen.has(example));
}

/**
 * Loads and splits the dataset that the configuration names.
 *
 * @throws an input error when it is not there, breaks the schema or a split comes out empty
 */
export async function openDataset(config: Config): Promise<SplitDataset> {
  const { id, revision, criteria, splits, max_posts } = config.data;
  const dataset = await loadDataset({
    id: id === "synthetic" ? await syntheticFolder(config) : id,
    criteria,
    download: async (request) => (await downloadFromHub(request)).folder,
    ...(revision === null ? {} : { revision }),
  });
  const { hash, ...parts } = splitExamples(sample(dataset.examples, max_posts, splits.seed), splits);
  return { id, dataset, splits: parts, splitHash: hash };
}

/** The splits as the model takes them. */
export interface EncodedSplits {
  readonly splits: Record<Split, EncodedExample[]>;
  readonly counts: Record<Split, EncodingCounts>;
}

/** Tokenises all splits. */
export function encodeSplits(data: SplitDataset, tokenizer: Tokenizer, maxLength: number): EncodedSplits {
  const encoded = SPLITS.map((split) => [split, encodeExamples(data.splits[split], tokenizer, maxLength)] as const);
  return {
    splits: Object.fromEntries(encoded.map(([split, one]) => [split, one.encoded])) as EncodedSplits["splits"],
    counts: Object.fromEntries(encoded.map(([split, one]) => [split, one.counts])) as EncodedSplits["counts"],
  };
}
