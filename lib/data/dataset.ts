/**
 * A dataset: posts with a label per criterion and the evidence for it, from a local folder or from the hub.
 *
 * There is no fallback source: what the configuration names is used, or the run stops with the reason.
 */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { inputError } from "../support/errors.ts";
import { sentenceAligner } from "./alignment.ts";
import type { AugmentationRecord } from "./augmentation/augment.ts";
import { type Annotation, readTables, type Tables } from "./tables.ts";

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
  status: "exact" | "normalised";
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

/** What was read, what was used and what was left aside. */
export interface DatasetCounts {
  posts: number;
  /** Posts without any positive criterion. */
  postsWithoutCriterion: number;
  annotations: number;
  /** Annotations whose label is not among the criteria (RedSM5: SPECIAL_CASE). */
  ignoredAnnotations: number;
  /** The labels of those annotations, with how many each has. */
  ignoredLabels: Record<string, number>;
  /** Annotations of status 0: the sentence is expressly no evidence. */
  explicitNegatives: number;
  /** Posts with the label, per criterion [K]. */
  positives: number[];
  /** What became of the sentences of status 1; `no_sentence`: the annotation has a label only. */
  alignment: { exact: number; normalised: number; not_found: number; no_sentence: number };
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
}

/** Brings files of a hub repository onto this machine and returns the folder (`downloadFromHub` of lib/weights). */
export type DownloadDataset = (
  request: { repo: string; type: "dataset"; revision?: string; files: (path: string) => boolean },
) => Promise<string>;

/** Where a dataset comes from and what is to be predicted. */
export interface DatasetSource {
  /** A local folder, else a hub id such as `irlab-udc/redsm5`. */
  id: string;
  /** Commit or branch of the hub repository. */
  revision?: string;
  /** The criteria to predict, or "auto": all labels of the annotations table, sorted. */
  criteria: readonly string[] | "auto";
  /** Needed for hub ids only. */
  download?: DownloadDataset;
}

/** Which files of a hub repository make up a dataset: posts and annotations tables in its root. */
export function isTableFile(path: string): boolean {
  return /^[^/]*(posts|annotations)[^/]*\.(csv|parquet)$/i.test(path);
}

/**
 * Loads a dataset and aligns its evidence.
 *
 * @throws inputError when the source is not there, a table breaks the schema, or no annotation has one of the criteria
 */
export async function loadDataset(source: DatasetSource): Promise<Dataset> {
  return buildDataset(await readTables(await locate(source)), source.criteria);
}

async function locate({ id, revision, download }: DatasetSource): Promise<string> {
  const found = await stat(id).catch(() => null);
  if (found?.isDirectory()) return id;
  if (found) throw inputError(`data.id names the file ${id}`, "Name the folder that holds the two tables");
  const hubId = /^[A-Za-z0-9][\w.-]*\/[\w.-]+$/.test(id);
  if (!hubId || !download) {
    throw inputError(
      `No dataset folder at ${id}${hubId ? "" : ", and it is no hub id (owner/name)"}`,
      "Set data.id to a folder that holds a posts and an annotations table, or to a hub id such as irlab-udc/redsm5",
    );
  }
  return await download({ repo: id, type: "dataset", files: isTableFile, ...(revision ? { revision } : {}) });
}

/**
 * Turns checked tables into a dataset; see {@link loadDataset}.
 *
 * @throws inputError when `criteria` is empty or repeats itself, or no annotation of status 1 has one of them
 */
export function buildDataset({ posts, annotations }: Tables, wanted: readonly string[] | "auto"): Dataset {
  const present = [...new Set(annotations.map((annotation) => annotation.criterion))].sort();
  const criteria = wanted === "auto" ? present : [...wanted];
  checkCriteria(criteria);
  const counts: DatasetCounts = {
    posts: posts.length,
    postsWithoutCriterion: 0,
    annotations: annotations.length,
    ignoredAnnotations: 0,
    ignoredLabels: {},
    explicitNegatives: 0,
    positives: criteria.map(() => 0),
    alignment: { exact: 0, normalised: 0, not_found: 0, no_sentence: 0 },
  };
  const annotationsOf = Map.groupBy(annotations, (annotation) => annotation.postId);
  const examples = posts
    .toSorted((a, b) => (a.postId < b.postId ? -1 : 1))
    .map(({ postId, text }) => buildExample(postId, text, annotationsOf.get(postId) ?? [], criteria, counts));
  if (counts.positives.every((count) => count === 0)) {
    throw inputError(
      `No post has any of the criteria ${criteria.join(", ")}; labels in the annotations table: ${present.join(", ")}`,
      "Set data.criteria to the labels to predict, or to auto",
    );
  }
  return { criteria, examples, hash: hashContent(criteria, examples), counts };
}

function checkCriteria(criteria: string[]): void {
  const repeated = criteria.find((name, index) => criteria.indexOf(name) !== index);
  if (criteria.length > 0 && repeated === undefined) return;
  throw inputError(
    repeated === undefined ? "data.criteria is empty" : `data.criteria names "${repeated}" twice`,
    "Set data.criteria to a list of different labels, or to auto",
  );
}

/** One post with its annotations; adds what it finds to the counts. */
function buildExample(
  postId: string,
  text: string,
  annotations: Annotation[],
  criteria: string[],
  counts: DatasetCounts,
): Example {
  const labels = new Uint8Array(criteria.length);
  const allEvidence: EvidenceSpan[][] = criteria.map(() => []);
  const align = sentenceAligner(text);
  for (const { criterion, status, sentenceText } of annotations) {
    const k = criteria.indexOf(criterion);
    if (k < 0) {
      counts.ignoredAnnotations++;
      counts.ignoredLabels[criterion] = (counts.ignoredLabels[criterion] ?? 0) + 1;
      continue;
    }
    if (status === 0) {
      counts.explicitNegatives++;
      continue;
    }
    labels[k] = 1;
    const found = align(sentenceText);
    counts.alignment[sentenceText.trim() === "" ? "no_sentence" : found.status]++;
    if (found.status === "not_found") continue;
    const spans = allEvidence[k]!;
    if (!spans.some((span) => span.start === found.start && span.end === found.end)) spans.push(found);
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
