/** The data report: a dataset as the configuration reads it, before anything is trained on it. */
import type { Config } from "../config/schema.ts";
import type { AlignmentCounts, Dataset, Example } from "../data/dataset.ts";
import { encodeExamples } from "../data/encoding.ts";
import type { EncodingOptions, OffsetTokenizer } from "../data/input_frame.ts";
import { sameTexts, sharedTexts, SPLITS } from "../data/splits.ts";
import type { DataReport, Finding } from "../report/data_report.ts";
import { dataReportSchema } from "../report/data_report.ts";
import { WinnowError } from "../support/errors.ts";
import { VERSION } from "../support/version.ts";
import {
  checkAligned,
  encodingOptions,
  readDataset,
  type SplitDataset,
  splitDataset,
  trainingTexts,
} from "./data_source.ts";
import { checkModel, type ModelSource, openModel } from "./model_source.ts";

/**
 * Reads a dataset and reports on it. What would keep training from starting, but for the GPU, is a finding here.
 *
 * @param onStage Told before each part that may take seconds
 * @throws an input error when the dataset is not there or breaks the schema
 */
export async function reportData(
  config: Config,
  signal: AbortSignal,
  onStage: (what: string) => void = () => {},
): Promise<DataReport> {
  const findings: Finding[] = [];
  onStage(`reading ${config.data.id}`);
  const dataset = await readDataset(config);
  signal.throwIfAborted();
  await attempt(findings, () => checkAligned(config, dataset));
  const split = await attempt(findings, () => splitDataset(config, dataset));
  onStage(`opening the tokenizer of ${config.model.id}`);
  const examples = split ? SPLITS.flatMap((name) => split.splits[name]) : dataset.examples;
  const model = await attempt(findings, () => openModel(config, textsOf(config, dataset, split)));
  if (model) await attempt(findings, () => checkModel(config, model));
  signal.throwIfAborted();
  onStage(`counting the tokens of ${examples.length} posts`);
  const { max_length } = config.data;
  const measured = model &&
    await attempt(findings, () => measure(examples, model.tokenizer, encodingOptions(config, dataset.criteria)));
  const report: DataReport = {
    format: "winnow-data-report/1",
    written: new Date().toISOString(),
    version: VERSION,
    id: config.data.id,
    revision: dataset.revision,
    sha256: dataset.hash,
    files: dataset.files.map(({ table, path, split, rows, bytes, sha256, furtherColumns }) => (
      { path, bytes, sha256, table, split, rows, further_columns: furtherColumns }
    )),
    criteria: dataset.criteria,
    posts: {
      total: dataset.counts.posts,
      without_annotation: dataset.counts.postsWithoutAnnotation,
      without_criterion: dataset.counts.postsWithoutCriterion,
      same_text: sameTexts(dataset.examples).reduce((sum, group) => sum + group.length, 0),
      damaged: dataset.counts.damagedPosts,
    },
    annotations: annotationsPart(dataset),
    alignment: alignmentPart(config, dataset),
    splits: split ? splitsPart(config, split) : null,
    lengths: measured && model ? lengthsPart(model, measured.lengths) : null,
    truncation: measured ? { max_length, ...measured.truncation } : null,
    inputs: measured
      ? { format: config.data.input_format, doc_stride: config.data.doc_stride, ...measured.inputs }
      : null,
    trainable: false,
    findings,
  };
  findings.push(...warnings(report));
  report.trainable = findings.every(({ level }) => level !== "error");
  return dataReportSchema.parse(report);
}

/** What an action returns, or undefined and one finding more where it is refused. */
async function attempt<T>(findings: Finding[], action: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof WinnowError) || error.kind === "interrupted") throw error;
    findings.push({ level: "error", message: error.message, remedy: error.remedy });
    return undefined;
  }
}

function annotationsPart({ criteria, counts, alignments }: Dataset): DataReport["annotations"] {
  const posts = new Map<string, Set<string>>();
  for (const { criterion, status, postId } of alignments) {
    if (status === 0) continue;
    const ofLabel = posts.get(criterion) ?? new Set();
    posts.set(criterion, ofLabel.add(postId));
  }
  // The criteria in their order, also those that no row has, then the labels that are left aside.
  const names = [...criteria, ...Object.keys(counts.labels).filter((label) => !criteria.includes(label))];
  return {
    total: counts.annotations,
    labels: Object.fromEntries(names.map((label) => {
      const { positive = 0, negative = 0 } = Object.hasOwn(counts.labels, label) ? counts.labels[label]! : {};
      const criterion = criteria.includes(label);
      return [label, { status_1: positive, status_0: negative, criterion, posts: posts.get(label)?.size ?? 0 }];
    })),
    ignored: counts.ignoredAnnotations,
    duplicates: counts.duplicateAnnotations,
    contradictions: counts.contradictions,
    repeated_sentences: counts.repeatedSentences,
  };
}

function alignmentPart(config: Config, { counts, alignments }: Dataset): DataReport["alignment"] {
  const { exact, normalised, fuzzy, not_found } = counts.alignment;
  const found = exact + normalised + fuzzy, sentences = found + not_found;
  const all: AlignmentCounts = { exact: 0, normalised: 0, fuzzy: 0, not_found: 0, no_sentence: 0 };
  for (const { alignment } of alignments) all[alignment]++;
  return {
    ...config.data.alignment,
    evidence: counts.alignment,
    all,
    found: sentences === 0 ? null : found / sentences,
    rows: alignments.flatMap(({ place, postId, sentenceId, criterion, status, alignment, score, used }) =>
      alignment === "exact" || alignment === "no_sentence" ? [] : [{
        row: place,
        post_id: postId,
        sentence_id: sentenceId,
        label: criterion,
        status,
        alignment,
        score: score === null ? null : Math.round(score * 1e4) / 1e4,
        used,
      }]
    ),
  };
}

function splitsPart(config: Config, data: SplitDataset): NonNullable<DataReport["splits"]> {
  const { splits, dataset: { criteria, examples } } = data;
  const parts = SPLITS.map((name) => {
    const posts = splits[name];
    const labels = criteria.map((criterion, k) => [criterion, posts.filter(({ labels }) => labels[k] === 1).length]);
    const without = posts.filter(({ labels }) => !labels.includes(1)).length;
    return [name, { posts: posts.length, without_criterion: without, labels: Object.fromEntries(labels) }];
  });
  const used = SPLITS.reduce((sum, name) => sum + splits[name].length, 0);
  return {
    source: data.splitSource,
    seed: data.splitSource === "made" ? config.data.splits.seed : null,
    sha256: data.splitHash,
    left_out: examples.length - used,
    shared_texts: sharedTexts(splits).length,
    parts: Object.fromEntries(parts),
  };
}

/** What a random model's vocabulary is built from: the training split, or all posts where there is none. */
function textsOf(config: Config, dataset: Dataset, split: SplitDataset | undefined): Iterable<string> {
  return split ? trainingTexts(config, split) : dataset.examples.map(({ text }) => text);
}

/**
 * Lengths of posts in tokens, what cutting them at `maxLength` takes away, and the rows as configured. The one place that
 * tokenises.
 *
 * @throws an input error when the rows have no room for posts
 */
function measure(examples: readonly Example[], tokenizer: OffsetTokenizer, options: EncodingOptions) {
  const whole = { ...options, format: "multi_label", maxLength: Number.MAX_SAFE_INTEGER, docStride: null } as const;
  const cut = encodeExamples(examples, tokenizer, { ...options, docStride: null }).counts;
  const rows = options.docStride === null ? cut : encodeExamples(examples, tokenizer, options).counts;
  const { evidence, truncated } = cut.spans;
  return {
    lengths: encodeExamples(examples, tokenizer, whole).inputs.map(({ ids }) => ids.length),
    truncation: {
      posts: cut.truncatedPosts,
      tokens: cut.truncatedTokens,
      evidence: evidence + truncated,
      evidence_lost: truncated,
    },
    inputs: {
      rows: rows.inputs,
      windowed_posts: rows.windowedPosts,
      most_windows: rows.mostWindows,
      evidence_lost: rows.spans.truncated,
    },
  };
}

function lengthsPart(model: ModelSource, lengths: readonly number[]): DataReport["lengths"] {
  const sorted = lengths.toSorted((a, b) => a - b);
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!; // nearest rank
  const middle = sorted.length / 2;
  const histogram: { from: number; to: number; posts: number }[] = [];
  for (let from = 1, to = 16; from <= sorted.at(-1)!; from = to + 1, to *= 2) {
    const posts = sorted.filter((length) => length >= from && length <= to).length;
    if (posts > 0 || histogram.length > 0) histogram.push({ from, to, posts });
  }
  return {
    model: model.id,
    revision: model.revision,
    min: sorted[0]!,
    median: (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2,
    mean: sorted.reduce((sum, length) => sum + length, 0) / sorted.length,
    p90: rank(0.9),
    p99: rank(0.99),
    max: sorted.at(-1)!,
    histogram,
  };
}

/** What does not stop a study but should be known before one is started. */
function warnings({ posts, annotations, alignment, splits, truncation, inputs, criteria }: DataReport): Finding[] {
  const found: Finding[] = [];
  const warn = (count: number, message: string, remedy: string) => {
    if (count > 0) found.push({ level: "warning", message, remedy });
  };
  const { not_found, fuzzy } = alignment.evidence;
  warn(
    (alignment.found ?? 1) < alignment.min_aligned ? 0 : not_found, // told as an error already
    `${not_found} evidence sentences were not found: their posts keep the label and have no span for it`,
    "Correct sentence_text in the rows listed, or lower data.alignment.min_score",
  );
  warn(
    fuzzy,
    `${fuzzy} evidence sentences stand for the most similar passage of their post`,
    "Compare the rows listed as fuzzy with their posts, or raise data.alignment.min_score",
  );
  const absent = criteria.filter((label) => annotations.labels[label]!.posts === 0);
  warn(absent.length, `No post has the criterion ${absent.join(", ")}`, "Check data.criteria, or leave it out there");
  for (const name of SPLITS) {
    const none = criteria.filter((label) => !absent.includes(label) && splits?.parts[name]?.labels[label] === 0);
    warn(none.length, `The ${name} split has no post with ${none.join(", ")}`, "Use more data or other shares");
  }
  const shared = splits?.shared_texts ?? 0;
  warn(
    shared,
    `${shared} texts stand in two of the declared splits: a model is tested on what it was trained on`,
    "Remove them, or make splits that keep them together with data.splits.declared=false",
  );
  warn(
    annotations.contradictions,
    `${annotations.contradictions} sentences have status 0 and 1 for one label; it counts as 1`,
    "Decide on one of them",
  );
  warn(annotations.duplicates, `${annotations.duplicates} annotations repeat one before`, "Remove them");
  warn(
    posts.damaged,
    `${posts.damaged} posts hold U+FFFD, the mark of text decoded wrongly before`,
    "Export the table again from its source",
  );
  const lost = inputs?.evidence_lost ?? 0;
  const windows = inputs?.doc_stride !== null;
  warn(
    lost,
    `${
      windows ? "In windows of" : "Cut at"
    } ${truncation?.max_length} tokens, ${lost} of ${truncation?.evidence} evidence ` +
      "spans are lost",
    windows
      ? "Raise data.doc_stride or data.max_length"
      : "Raise data.max_length, or set data.doc_stride to read windows",
  );
  return found;
}
