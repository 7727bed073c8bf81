/** A dataset: posts with a label per criterion and the evidence for it, and what became of each row. */
import { createHash } from "node:crypto";
import { inputError } from "../support/errors.ts";
import { type AlignmentStatus, MIN_SCORE, sentenceAligner } from "./alignment.ts";
import type { AugmentationRecord } from "./augmentation/augment.ts";
import { type DatasetLocation, locateDataset } from "./dataset_source.ts";
import type { Split } from "./splits.ts";
import {
  type Annotation,
  type ReadOptions,
  type ReadTables,
  readTables,
  type TableFileInfo,
  type Tables,
} from "./tables.ts";

/** RedSM5's nine criteria in the order of DSM-5 (A.1 to A.9). Its tenth label, SPECIAL_CASE, is none of them. */
export const REDSM5_CRITERIA: readonly string[] = [
  "DEPRESSED_MOOD",
  "ANHEDONIA",
  "APPETITE_CHANGE",
  "SLEEP_ISSUES",
  "PSYCHOMOTOR",
  "FATIGUE",
  "WORTHLESSNESS",
  "COGNITIVE_ISSUES",
  "SUICIDAL_THOUGHTS",
];

/** A range of characters of a post, in UTF-16 units: [start, end). */
export interface CharacterSpan {
  start: number;
  end: number;
}

/** Evidence found in its post, with how it was found. */
export interface EvidenceSpan extends CharacterSpan {
  status: "exact" | "normalised" | "fuzzy";
  /** How alike sentence and passage are, in (0, 1]; of fuzzy matches. */
  score?: number;
}

/** One post with what is known about each of the K criteria. */
export interface Example {
  postId: string;
  text: string;
  /** [K], 1 where some annotation has status 1. */
  labels: Uint8Array;
  /** [K], the evidence that stands first in the post, or null: no positive label, or no sentence that could be found. */
  evidence: (EvidenceSpan | null)[];
  /** [K], all evidence in the order of the post, without repetitions. */
  allEvidence: EvidenceSpan[][];
  /** How it came about, where it is an augmented copy of another. */
  augmentation?: AugmentationRecord;
}

/** How the sentence of an annotation was found; `no_sentence`: the annotation has a label only. */
export type AlignmentOutcome = AlignmentStatus | "no_sentence";

/** Annotations by what became of their sentence. */
export type AlignmentCounts = Record<AlignmentOutcome, number>;

/** What became of one row of the annotations table. Holds no text. */
export interface AlignmentRecord {
  /** File and line; "" where the tables come from no file. */
  place: string;
  postId: string;
  sentenceId: string;
  criterion: string;
  /** The row's status: 1 evidence, 0 expressly none. */
  status: 0 | 1;
  alignment: AlignmentOutcome;
  /** 1 for exact and normalised matches; of the most similar passage otherwise; null where there was none to compare. */
  score: number | null;
  /** Whether the row's sentence is evidence in the dataset: status 1, one of the criteria, and found. */
  used: boolean;
}

/** What was read, what was used and what was left aside. */
export interface DatasetCounts {
  posts: number;
  /** Posts without any positive criterion. */
  postsWithoutCriterion: number;
  /** Posts that no annotation names. */
  postsWithoutAnnotation: number;
  /** Posts with the replacement character U+FFFD: their text was damaged by a wrong decoding before. */
  damagedPosts: number;
  annotations: number;
  /** Annotations by label and status, criteria or not. */
  labels: Record<string, { positive: number; negative: number }>;
  /** Annotations whose label is not among the criteria (RedSM5: SPECIAL_CASE). */
  ignoredAnnotations: number;
  /** The labels of those annotations, with how many each has. */
  ignoredLabels: Record<string, number>;
  /** Annotations of status 0 of the criteria: the sentence is expressly no evidence. */
  explicitNegatives: number;
  /** Rows that say again what a row before said: the same post, sentence, label and status. */
  duplicateAnnotations: number;
  /** Sentences with status 0 and 1 for one label; the label of the post is 1 then. */
  contradictions: number;
  /** Rows whose sentence stands in its post more than once; the first place was taken. */
  repeatedSentences: number;
  /** Posts with the label, per criterion [K]. */
  positives: number[];
  /** What became of the sentences of status 1 of the criteria. */
  alignment: AlignmentCounts;
}

/** A checked, aligned dataset. */
export interface Dataset {
  /** [K] */
  criteria: string[];
  /** Sorted by post id, so that the order of rows in the files has no influence. */
  examples: Example[];
  /** SHA-256 (hex) over criteria, ids, texts, labels and evidence. */
  hash: string;
  counts: DatasetCounts;
  /** One for each row of the annotations table, in the order of the table. */
  alignments: AlignmentRecord[];
  /** The split that the tables declare, by post id; empty where they declare none. */
  declaredSplits: ReadonlyMap<string, Split>;
  /** The files of the tables; empty for tables that come from no file. */
  files: TableFileInfo[];
  /** The commit of a hub repository or of a local clone; null where there is none. */
  revision: string | null;
}

/** Where a dataset comes from, how it is read and what is to be predicted. */
export interface DatasetSource extends DatasetLocation, ReadOptions {
  /** The criteria to predict, or "auto": all labels of the annotations table, sorted. */
  criteria: readonly string[] | "auto";
  /** Least score of a fuzzy match that counts as evidence. */
  minScore?: number;
}

/**
 * Loads a dataset and aligns its evidence.
 *
 * @throws inputError when the source is not there, a table breaks the schema, or no annotation has one of the criteria
 */
export async function loadDataset(source: DatasetSource): Promise<Dataset> {
  const { folder, revision } = await locateDataset(source);
  const tables = await readTables(folder, source);
  return { ...buildDataset(tables, source.criteria, source.minScore), revision };
}

/**
 * Turns checked tables into a dataset; see {@link loadDataset}.
 *
 * @throws inputError when `criteria` is empty or repeats itself, or no annotation of status 1 has one of them
 */
export function buildDataset(
  { posts, annotations, files = [] }: Tables & Partial<ReadTables>,
  wanted: readonly string[] | "auto",
  minScore: number = MIN_SCORE,
): Dataset {
  const present = [...new Set(annotations.map((annotation) => annotation.criterion))].sort();
  const criteria = wanted === "auto" ? present : [...wanted];
  checkCriteria(criteria);
  const annotationsOf = Map.groupBy(annotations, (annotation) => annotation.postId);
  const counts = countRows({ posts, annotations }, criteria, annotationsOf);
  const records = new Map<Annotation, AlignmentRecord>();
  const examples = posts
    .toSorted((a, b) => (a.postId < b.postId ? -1 : 1))
    .map(({ postId, text }) => {
      const ofPost = annotationsOf.get(postId) ?? [];
      return buildExample(postId, text, ofPost, { criteria, counts, records, minScore });
    });
  if (counts.positives.every((count) => count === 0)) {
    throw inputError(
      `No post has any of the criteria ${criteria.join(", ")}; labels in the annotations table: ${present.join(", ")}`,
      "Set data.criteria to the labels to predict, or to auto",
    );
  }
  return {
    criteria,
    examples,
    hash: hashContent(criteria, examples),
    counts,
    alignments: annotations.map((annotation) => records.get(annotation)!),
    declaredSplits: new Map(posts.flatMap(({ postId, split }) => split === undefined ? [] : [[postId, split]])),
    files,
    revision: null,
  };
}

function checkCriteria(criteria: string[]): void {
  const repeated = criteria.find((name, index) => criteria.indexOf(name) !== index);
  if (criteria.length > 0 && repeated === undefined) return;
  throw inputError(
    repeated === undefined ? "data.criteria is empty" : `data.criteria names "${repeated}" twice`,
    "Set data.criteria to a list of different labels, or to auto",
  );
}

/** What can be counted before anything is aligned. */
function countRows(
  { posts, annotations }: Tables,
  criteria: string[],
  annotationsOf: Map<string, Annotation[]>,
): DatasetCounts {
  const counts: DatasetCounts = {
    posts: posts.length,
    postsWithoutCriterion: 0,
    postsWithoutAnnotation: posts.filter(({ postId }) => !annotationsOf.has(postId)).length,
    damagedPosts: posts.filter(({ text }) => text.includes("\ufffd")).length,
    annotations: annotations.length,
    labels: {},
    ignoredAnnotations: 0,
    ignoredLabels: {},
    explicitNegatives: 0,
    duplicateAnnotations: 0,
    contradictions: 0,
    repeatedSentences: 0,
    positives: criteria.map(() => 0),
    alignment: { exact: 0, normalised: 0, fuzzy: 0, not_found: 0, no_sentence: 0 },
  };
  // Maps, since a label may be called as one of JavaScript's own properties.
  const labels = new Map<string, { positive: number; negative: number }>();
  const statuses = new Map<string, Set<0 | 1>>();
  for (const { postId, sentenceId, sentenceText, criterion, status } of annotations) {
    const ofLabel = labels.get(criterion) ?? { positive: 0, negative: 0 };
    labels.set(criterion, ofLabel);
    ofLabel[status === 1 ? "positive" : "negative"]++;
    const sentence = sentenceText.trim() === "" ? ["id", sentenceId] : ["text", sentenceText.trim()];
    const key = JSON.stringify([postId, criterion, ...sentence]);
    const seen = statuses.get(key) ?? new Set();
    statuses.set(key, seen);
    if (seen.has(status)) counts.duplicateAnnotations++;
    else if (seen.size > 0) counts.contradictions++;
    seen.add(status);
  }
  const ignored = [...labels].filter(([label]) => !criteria.includes(label))
    .map(([label, { positive, negative }]) => [label, positive + negative] as const);
  counts.labels = Object.fromEntries([...labels].sort(([a], [b]) => (a < b ? -1 : 1)));
  counts.ignoredLabels = Object.fromEntries(ignored);
  counts.ignoredAnnotations = ignored.reduce((sum, [, count]) => sum + count, 0);
  return counts;
}

/** What the posts of a dataset are built with and add to. */
interface Building {
  criteria: string[];
  counts: DatasetCounts;
  records: Map<Annotation, AlignmentRecord>;
  minScore: number;
}

/** One post with its annotations; adds what it finds to the counts and records. */
function buildExample(
  postId: string,
  text: string,
  annotations: Annotation[],
  { criteria, counts, records, minScore }: Building,
): Example {
  const labels = new Uint8Array(criteria.length);
  const allEvidence: EvidenceSpan[][] = criteria.map(() => []);
  const align = sentenceAligner(text, minScore);
  for (const annotation of annotations) {
    const { sentenceId, sentenceText, criterion, status, place = "" } = annotation;
    const k = criteria.indexOf(criterion);
    const found = align(sentenceText);
    const alignment = sentenceText.trim() === "" ? "no_sentence" : found.status;
    const used = k >= 0 && status === 1 && found.status !== "not_found";
    const score = "score" in found ? found.score : 1;
    records.set(annotation, { place, postId, sentenceId, criterion, status, alignment, score, used });
    if ("repeated" in found && found.repeated) counts.repeatedSentences++;
    if (k < 0) continue;
    if (status === 0) {
      counts.explicitNegatives++;
      continue;
    }
    labels[k] = 1;
    counts.alignment[alignment]++;
    if (found.status === "not_found") continue;
    const { start, end } = found;
    if (allEvidence[k]!.some((span) => span.start === start && span.end === end)) continue;
    const ofFuzzy = found.status === "fuzzy" ? { score: found.score } : {};
    allEvidence[k]!.push({ status: found.status, start, end, ...ofFuzzy });
  }
  for (const spans of allEvidence) spans.sort((a, b) => a.start - b.start || a.end - b.end);
  labels.forEach((label, k) => counts.positives[k]! += label);
  if (!labels.includes(1)) counts.postsWithoutCriterion++;
  return { postId, text, labels, evidence: allEvidence.map((spans) => spans[0] ?? null), allEvidence };
}

function hashContent(criteria: string[], examples: Example[]): string {
  const hash = createHash("sha256").update(JSON.stringify(criteria));
  for (const { postId, text, labels, allEvidence } of examples) {
    const spans = allEvidence.map((evidence) => evidence.map(({ start, end }) => [start, end]));
    hash.update("\n" + JSON.stringify([postId, text, [...labels], spans]));
  }
  return hash.digest("hex");
}
