/** The data report as text for a terminal. */
import type { DataReport } from "./data_report.ts";
import { alignColumns } from "./study_table.ts";

/** Rows of the alignment that the text shows; the report itself has all. */
const SHOWN_ROWS = 20;
const ORDER = ["fuzzy", "not_found", "normalised"];
const BAR = 40;

/** The whole report. There is no final newline. */
export function dataTable(report: DataReport): string {
  return [
    filesPart(report),
    labelsPart(report),
    alignmentPart(report),
    lengthsPart(report),
    findingsPart(report),
  ].join("\n\n");
}

/** A count with its thing: "1 post", "2 posts". */
const counted = (count: number, thing: string): string => `${group(count)} ${thing}${count === 1 ? "" : "s"}`;
const group = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ",");
const percent = (part: number, whole: number): string => whole === 0 ? "-" : `${(100 * part / whole).toFixed(1)}%`;

function filesPart({ id, revision, sha256, files, posts }: DataReport): string {
  const further = files.filter(({ further_columns }) => further_columns.length > 0)
    .map(({ path, further_columns }) => `${path}: nothing is read from ${names(further_columns)}`);
  return [
    `data         ${id}, ${revision === null ? "no revision" : `revision ${revision}`}`,
    `content      SHA-256 ${sha256}`,
    "",
    alignColumns(
      ["table", "file", "rows", "bytes", "SHA-256"],
      files.map((file) => [
        file.table,
        file.path,
        ...[file.rows, file.bytes].map(String),
        `${file.sha256.slice(0, 16)}…`,
      ]),
    ),
    ...further,
    "",
    `${counted(posts.total, "post")}: ${group(posts.without_criterion)} without a criterion, ` +
    `${group(posts.without_annotation)} without any annotation, ${group(posts.same_text)} with the text of another`,
  ].join("\n");
}

function names(columns: readonly string[]): string {
  const shown = columns.slice(0, 5).map((name) => name.length > 40 ? `${name.slice(0, 40)}…` : name || '""');
  return shown.join(", ") + (columns.length > 5 ? `, … (${columns.length} columns)` : "");
}

function labelsPart({ annotations, splits }: DataReport): string {
  const parts = Object.entries(splits?.parts ?? {});
  const rows = Object.entries(annotations.labels).map(([label, { status_1, status_0, criterion, posts }]) => [
    label,
    ...[status_1, status_0, posts].map(String),
    ...parts.map(([, { labels }]) => criterion ? String(labels[label]) : "-"),
    criterion ? "" : "left aside",
  ]);
  const total = ["all posts", "-", "-", "-", ...parts.map(([, { posts }]) => String(posts)), ""];
  const none = ["no criterion", "-", "-", "-", ...parts.map(([, part]) => String(part.without_criterion)), ""];
  const source = splits === null
    ? "no splits: see the findings"
    : `splits ${splits.source}${splits.seed === null ? "" : ` with seed ${splits.seed}`}, SHA-256 ${splits.sha256}` +
      (splits.left_out > 0 ? `; data.max_posts leaves ${counted(splits.left_out, "post")} out` : "");
  return [
    `${counted(annotations.total, "annotation")} by label and status`,
    "",
    alignColumns(
      ["label", "status 1", "status 0", "posts", ...parts.map(([name]) => name), ""],
      [...rows, ...(splits === null ? [] : [none, total])],
    ),
    source,
  ].join("\n");
}

function alignmentPart({ alignment, files }: DataReport): string {
  const { evidence, all, rows } = alignment;
  const tables = files.filter(({ table }) => table === "annotations");
  const place = (row: string) => tables.length === 1 ? row.slice(tables[0]!.path.length + 2) : row;
  const outcomes = Object.keys(evidence) as (keyof typeof evidence)[];
  // What is nearest to the limit is what to look at.
  const distance = ({ score }: typeof rows[number]) => Math.abs((score ?? 0) - alignment.min_score);
  const shown = rows
    .toSorted((a, b) => ORDER.indexOf(a.alignment) - ORDER.indexOf(b.alignment) || distance(a) - distance(b))
    .slice(0, SHOWN_ROWS);
  const list = alignColumns(
    ["row", "sentence", "label", "status", "found", "score", "used"],
    shown.map((row) => [
      place(row.row),
      row.sentence_id || row.post_id,
      row.label,
      String(row.status),
      row.alignment,
      row.score === null ? "-" : row.score.toFixed(2),
      row.used ? "yes" : "no",
    ]),
  );
  const more = rows.length - shown.length;
  const found = alignment.found === null ? "" : `, ${(100 * alignment.found).toFixed(1)}% of the evidence found`;
  return [
    `sentences in their posts (fuzzy from ${alignment.min_score} on)${found}`,
    "",
    alignColumns(
      ["annotations", ...outcomes],
      [
        ["evidence", ...outcomes.map((one) => String(evidence[one]))],
        ["all", ...outcomes.map((one) => String(all[one]))],
      ],
    ),
    ...(rows.length === 0 ? [] : ["", "not exact:", list]),
    ...(more > 0 ? [`… and ${group(more)} more; --json has all`] : []),
  ].join("\n");
}

function lengthsPart({ lengths, truncation, inputs }: DataReport): string {
  if (lengths === null || truncation === null || inputs === null) {
    return "tokens: unknown without the model's tokenizer";
  }
  const { min, median, mean, p90, p99, max, histogram } = lengths;
  const most = Math.max(...histogram.map(({ posts }) => posts));
  const bars = alignColumns(
    ["tokens", "posts", ""],
    histogram.map(({ from, to, posts }) => [
      `${from}-${to}`,
      String(posts),
      "#".repeat(Math.ceil(BAR * posts / most)),
    ]),
  );
  const { evidence, evidence_lost } = truncation;
  const model = lengths.model === lengths.revision ? lengths.model : `${lengths.model}, ${lengths.revision}`;
  return [
    `tokens of a post (${model}): min ${min}, median ${median}, mean ${mean.toFixed(1)}, ` +
    `90% ${p90}, 99% ${p99}, max ${max}`,
    "",
    bars,
    "",
    `cut at ${truncation.max_length} tokens (data.max_length): ${counted(truncation.posts, "post")} would lose ` +
    `${counted(truncation.tokens, "token")}, and ${group(evidence_lost)} of ${counted(evidence, "evidence span")} ` +
    `(${percent(evidence_lost, evidence)})`,
    `input rows (${inputs.format}): ${group(inputs.rows)}` + (inputs.windowed_posts === 0 ? "" : `; ` +
      `${counted(inputs.windowed_posts, "post")} in windows, at most ${inputs.most_windows}; ` +
      `${counted(inputs.evidence_lost, "evidence span")} whole in none`),
  ].join("\n");
}

function findingsPart({ findings, trainable }: DataReport): string {
  const lines = findings.map(({ level, message, remedy }) => `${level}: ${message}\n  remedy: ${remedy}`);
  const verdict = trainable
    ? "The data can be trained on."
    : "Training on these data as configured is refused; see the errors above.";
  return [...(lines.length === 0 ? ["nothing found amiss"] : lines), "", verdict].join("\n");
}
