/** Reading and writing reports: checked against their schema on both ways, written in one instant. */
import { dirname, join } from "node:path";
import { z } from "zod";
import { makeFolder, writeFileAtomic } from "../storage/atomic_file.ts";
import { studyFolder, trialFolder } from "../storage/layout.ts";
import { inputError, storageError } from "../support/errors.ts";
import { type EvaluationReport, evaluationReportSchema, type SummaryReport, summaryReportSchema } from "./schema.ts";

/** The path of a trial's report. */
export const evaluationReportPath = (experiments: string, trialId: string): string =>
  join(trialFolder(experiments, trialId), "evaluation_report.json");

/** The path of a study's report. */
export const summaryReportPath = (experiments: string, studyId: string): string =>
  join(studyFolder(experiments, studyId), "summary_report.json");

/** What the writers add to a report themselves. */
type Stamp = "format" | "written";

/**
 * Writes a trial's report and returns its path. NaN and infinities become null where the schema allows it.
 *
 * @throws a storage error when the file system refuses; a ZodError when the report is not of its schema (a bug).
 */
export function writeEvaluationReport(experiments: string, report: Omit<EvaluationReport, Stamp>): Promise<string> {
  const stamp = { format: "winnow-evaluation-report/1", written: new Date().toISOString() };
  return write(evaluationReportPath(experiments, report.trial_id), evaluationReportSchema, { ...stamp, ...report });
}

/** Writes a study's report and returns its path; see `writeEvaluationReport`. */
export function writeSummaryReport(experiments: string, report: Omit<SummaryReport, Stamp>): Promise<string> {
  const stamp = { format: "winnow-summary-report/1", written: new Date().toISOString() };
  return write(summaryReportPath(experiments, report.study_id), summaryReportSchema, { ...stamp, ...report });
}

/** Reads a trial's report. @throws an input error if there is none, a storage error if it is damaged. */
export const readEvaluationReport = (experiments: string, trialId: string): Promise<EvaluationReport> =>
  read(evaluationReportPath(experiments, trialId), evaluationReportSchema);

/** Reads a study's report. @throws an input error if there is none, a storage error if it is damaged. */
export const readSummaryReport = (experiments: string, studyId: string): Promise<SummaryReport> =>
  read(summaryReportPath(experiments, studyId), summaryReportSchema);

async function write(path: string, schema: z.ZodType, report: unknown): Promise<string> {
  // Through JSON first: what is checked is what a reader will find.
  const plain = schema.parse(JSON.parse(JSON.stringify(report)));
  await makeFolder(dirname(path));
  await writeFileAtomic(path, JSON.stringify(plain, null, 2) + "\n");
  return path;
}

async function read<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw inputError(`no report ${path}`, "Run `deno task evaluate` to write it.", { cause: error });
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw storageError(`damaged report ${path}: ${reason}`, "Run `deno task evaluate` to write it anew.", {
      cause: error,
    });
  }
}
