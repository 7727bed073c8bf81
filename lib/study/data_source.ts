/** From configuration to encoded splits: the dataset is loaded, split, tokenised and brought into input rows. */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { criterionTexts } from "../data/criterion_texts.ts";
import { type Dataset, type Example, loadDataset } from "../data/dataset.ts";
import { type EncodedInput, encodeExamples, type EncodingCounts } from "../data/encoding.ts";
import type { EncodingOptions } from "../data/input_frame.ts";
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

/**
 * How the configuration encodes posts.
 *
 * @param criteria The labels that it predicts, as the dataset has them
 * @throws an input error when data.criterion_texts has a text for another label
 */
export function encodingOptions({ data }: Config, criteria: readonly string[]): EncodingOptions {
  return {
    format: data.input_format,
    maxLength: data.max_length,
    docStride: data.doc_stride,
    aggregation: data.window_aggregation,
    criteria: criterionTexts(criteria, data.criterion_texts),
  };
}

/** What a vocabulary is built from: the training posts, in `binary_pairs` each with all that is put before it. */
export function* trainingTexts(config: Config, { dataset, splits }: SplitDataset): Generator<string> {
  const { format, criteria } = encodingOptions(config, dataset.criteria);
  for (const { text } of splits.train) {
    yield text;
    if (format === "binary_pairs") yield* criteria.map((criterion) => criterion.text);
  }
}

/** The splits as the model takes them. */
export interface EncodedSplits {
  readonly splits: Record<Split, EncodedInput[]>;
  readonly counts: Record<Split, EncodingCounts>;
}

/** Tokenises all splits. @throws an input error when posts have no room beside what stands before them */
export function encodeSplits(data: SplitDataset, tokenizer: Tokenizer, options: EncodingOptions): EncodedSplits {
  const encoded = SPLITS.map((split) => [split, encodeExamples(data.splits[split], tokenizer, options)] as const);
  return {
    splits: Object.fromEntries(encoded.map(([split, one]) => [split, one.inputs])) as EncodedSplits["splits"],
    counts: Object.fromEntries(encoded.map(([split, one]) => [split, one.counts])) as EncodedSplits["counts"],
  };
}
