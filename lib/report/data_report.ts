/**
 * What `deno task data` tells of a dataset: what was read, what was found, what would be lost, and whether it can be
 * trained on. `contracts/data_report.schema.json` is generated from this schema. It holds no text of a post.
 */
import { z } from "zod";
import { dataFileSchema, sha256, time } from "./fields.ts";

const count = z.int().min(0);
const share = z.number().min(0).max(1);
const byLabel = z.record(z.string(), count);
const split = z.enum(["train", "validation", "test"]);

const outcomes = z.strictObject({
  exact: count,
  normalised: count.describe("but for quotes, dashes, white space, case and the composition of characters"),
  fuzzy: count.describe("most similar passage, at least min_score"),
  not_found: count,
  no_sentence: count.describe("a label without a sentence"),
});

const finding = z.strictObject({
  level: z.enum(["error", "warning"]).describe("error: training on the data as configured is refused"),
  message: z.string(),
  remedy: z.string(),
});

/** The schema of the data report. */
export const dataReportSchema = z.strictObject({
  format: z.literal("winnow-data-report/1"),
  written: time,
  version: z.string().describe("Winnow's version"),
  id: z.string().describe("hub id or local folder"),
  revision: z.string().nullable().describe(
    "commit of the hub repository or of the local clone; null where there is none",
  ),
  sha256: sha256.describe("of what was read: criteria, ids, texts, labels and evidence"),
  files: z.array(dataFileSchema.extend({
    table: z.enum(["posts", "annotations"]),
    split: split.nullable().describe("that the file's name declares"),
    rows: count,
    further_columns: z.array(z.string()).describe("columns that nothing is read from"),
  })),
  criteria: z.array(z.string()).describe("the labels to predict, in the order of the outputs"),
  posts: z.strictObject({
    total: count,
    without_annotation: count,
    without_criterion: count.describe("no annotation of status 1 with one of the criteria"),
    same_text: count.describe("posts whose text another post has too, but for case, quotes and white space"),
    damaged: count.describe("posts with the replacement character U+FFFD"),
  }),
  annotations: z.strictObject({
    total: count,
    labels: z.record(
      z.string(),
      z.strictObject({
        status_1: count,
        status_0: count,
        criterion: z.boolean().describe("whether the label is predicted, or left aside"),
        posts: count.describe("posts with status 1"),
      }),
    ),
    ignored: count.describe("of labels that are not predicted"),
    duplicates: count.describe("rows that repeat post, sentence, label and status of a row before"),
    contradictions: count.describe("sentences with status 0 and 1 for one label; the post's label is 1"),
    repeated_sentences: count.describe("sentences that stand in their post more than once; the first place is taken"),
  }),
  alignment: z.strictObject({
    min_score: z.number(),
    min_aligned: share,
    evidence: outcomes.describe("annotations of status 1 of the criteria: what training would use"),
    all: outcomes.describe("all annotations"),
    found: share.nullable().describe("share of the evidence sentences that were found; null where there are none"),
    rows: z.array(z.strictObject({
      row: z.string().describe("file and line"),
      post_id: z.string(),
      sentence_id: z.string(),
      label: z.string(),
      status: z.int().min(0).max(1),
      alignment: z.enum(["normalised", "fuzzy", "not_found"]),
      score: share.nullable().describe("of the most similar passage; null where there was nothing to compare"),
      used: z.boolean().describe("as evidence"),
    })).describe("the annotations with a sentence that was not found exactly"),
  }),
  splits: z.strictObject({
    source: z.enum(["declared", "made"]),
    seed: z.int().nullable().describe("of made splits"),
    sha256: sha256.describe("of the assignment of posts to splits"),
    left_out: count.describe("posts that data.max_posts leaves out"),
    shared_texts: count.describe("texts that stand in two splits"),
    parts: z.record(
      split,
      z.strictObject({ posts: count, without_criterion: count, labels: byLabel.describe("posts by criterion") }),
    ),
  }).nullable().describe("null where no splits can be made: a finding says why"),
  lengths: z.strictObject({
    model: z.string(),
    revision: z.string(),
    min: count,
    median: z.number().min(0),
    mean: z.number().min(0),
    p90: count,
    p99: count,
    max: count,
    histogram: z.array(z.strictObject({ from: count, to: count, posts: count })).describe("both ends included"),
  }).nullable().describe("tokens of a post with the model's tokenizer, special tokens included; null without a model"),
  truncation: z.strictObject({
    max_length: count,
    posts: count.describe("longer posts"),
    tokens: count.describe("tokens beyond the limit"),
    evidence: count.describe("evidence spans: one for each criterion of a post"),
    evidence_lost: count.describe("of them those that end beyond the limit"),
  }).nullable().describe("what cutting each post at data.max_length would lose"),
  inputs: z.strictObject({
    format: z.string(),
    doc_stride: count.nullable(),
    rows: count,
    windowed_posts: count.describe("posts in more than one window"),
    most_windows: count.describe("windows of the post that has most"),
    evidence_lost: count.describe("evidence spans that no row holds whole"),
  }).nullable().describe("the model's input rows as configured"),
  trainable: z.boolean(),
  findings: z.array(finding),
}).meta({
  title: "Winnow data report",
  description: "A dataset as the configuration reads it. It holds no text of a post.",
});

/** What `deno task data` tells of a dataset. */
export type DataReport = z.infer<typeof dataReportSchema>;
/** Something to know before training. */
export type Finding = DataReport["findings"][number];
