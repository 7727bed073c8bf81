/** From configuration to encoded splits: the dataset is loaded, checked, split, tokenised and brought into input rows. */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { criterionTexts } from "../data/criterion_texts.ts";
import { type Dataset, type Example, loadDataset } from "../data/dataset.ts";
import { type EncodedInput, encodeExamples, type EncodingCounts, type TokenisedText } from "../data/encoding.ts";
import type { EncodingOptions } from "../data/input_frame.ts";
import { declaredSplits, type Split, splitExamples, SPLITS } from "../data/splits.ts";
import { writeSyntheticDataset } from "../data/synthetic.ts";
import { inputError } from "../support/errors.ts";
import { isThere } from "../support/file_system.ts";
import { randomStream } from "../support/rng.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { downloadFromHub } from "../weights/hub.ts";

export { type Split, SPLITS };

/** A dataset with its splits. */
export interface SplitDataset {
  readonly id: string;
  readonly dataset: Dataset;
  readonly splits: Record<Split, Example[]>;
  readonly splitHash: string;
  /** Whether the tables declare the splits or they were made here. */
  readonly splitSource: "declared" | "made";
}

/** The generated sample lies beside the studies: its folder names all it depends on, so it is made once. */
async function syntheticFolder(config: Config): Promise<string> {
  const { posts, seed } = config.data.synthetic;
  const folder = join(config.paths.experiments, "data", `synthetic_${posts}_${seed}`);
  const done = await isThere(join(folder, "redsm5_annotations.csv"));
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
 * Loads the dataset that the configuration names, with nothing said yet about its use.
 *
 * @throws an input error when it is not there or breaks the schema
 */
export async function readDataset(config: Config): Promise<Dataset> {
  const { id, revision, criteria, files, splits, alignment } = config.data;
  return await loadDataset({
    id: id === "synthetic" ? await syntheticFolder(config) : id,
    criteria,
    files,
    declaredSplits: splits.declared,
    minScore: alignment.min_score,
    download: downloadFromHub,
    ...(revision === null ? {} : { revision }),
  });
}

/**
 * Splits a dataset as the configuration says: as it declares, else by making splits.
 *
 * @throws an input error when the declared splits are not whole, or a split comes out empty
 */
export function splitDataset(config: Config, dataset: Dataset): SplitDataset {
  const { id, splits, max_posts } = config.data;
  const examples = sample(dataset.examples, max_posts, splits.seed);
  const declared = splits.declared && dataset.declaredSplits.size > 0;
  const { hash, ...parts } = declared
    ? declaredSplits(examples, dataset.declaredSplits)
    : splitExamples(examples, splits);
  return { id, dataset, splits: parts, splitHash: hash, splitSource: declared ? "declared" : "made" };
}

/**
 * Checks that enough of the evidence was found to train on. Labels without a sentence do not count, so that a dataset
 * of labels alone passes.
 *
 * @throws an input error with what was found and how
 */
export function checkAligned(config: Config, { counts }: Dataset): void {
  const { id, alignment: { min_score, min_aligned } } = config.data;
  const { exact, normalised, fuzzy, not_found } = counts.alignment;
  const found = exact + normalised + fuzzy, sentences = found + not_found;
  if (sentences === 0 || found >= min_aligned * sentences) return;
  throw inputError(
    `${found} of the ${sentences} evidence sentences of ${id} were found in their posts (${exact} exact, ` +
      `${normalised} normalised, ${fuzzy} fuzzy with a score of at least ${min_score}, ${not_found} not found), fewer ` +
      `than the share of ${min_aligned} that training needs`,
    "Check that both tables are of one version (a sample may be paraphrased); `deno task data` lists each sentence " +
      "with its score, data.alignment.min_score and data.alignment.min_aligned set the limits",
  );
}

/**
 * Loads the dataset that the configuration names for training.
 *
 * @throws an input error when it is not there, breaks the schema, has too little evidence, or a split comes out empty
 */
export async function openDataset(config: Config): Promise<SplitDataset> {
  const dataset = await readDataset(config);
  checkAligned(config, dataset);
  return splitDataset(config, dataset);
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

/**
 * Encodes all splits.
 *
 * @param tokenised texts that have been tokenised before, by this tokenizer
 * @throws an input error when posts have no room beside what stands before them
 */
export function encodeSplits(
  data: SplitDataset,
  tokenizer: Tokenizer,
  options: EncodingOptions,
  tokenised?: ReadonlyMap<string, TokenisedText>,
): EncodedSplits {
  const encoded = SPLITS.map((split) =>
    [split, encodeExamples(data.splits[split], tokenizer, options, tokenised)] as const
  );
  return {
    splits: Object.fromEntries(encoded.map(([split, one]) => [split, one.inputs])) as EncodedSplits["splits"],
    counts: Object.fromEntries(encoded.map(([split, one]) => [split, one.counts])) as EncodedSplits["counts"],
  };
}
