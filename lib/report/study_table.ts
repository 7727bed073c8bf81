/** The end of a study as text: the trials, and the best one's test metrics beside the baseline. */

/** What the table shows; a summary report has all of it. */
export interface StudyTable {
  metric: string;
  best_trial_id: string | null;
  trials: readonly {
    trial_id: string;
    number: number;
    state: string;
    value: number | null;
    params: Readonly<Record<string, unknown>>;
    failure?: string | null;
  }[];
  /** Metrics of the best trial on the test split. */
  test: Readonly<Record<string, number | null>>;
  /** The same metrics of always predicting the majority. */
  baseline: Readonly<Record<string, number | null>>;
}

/** A metric with four decimals; "-" for null. */
export const formatMetric = (value: number | null | undefined): string =>
  value === null || value === undefined ? "-" : value.toFixed(4);

/** A parameter: text as it is, a number to three significant digits or whole, very small ones as 2.31e-5. */
export function formatParameter(value: unknown): string {
  if (value === null || value === undefined) return "-";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  const rounded = Math.abs(value) < 100 ? Number(value.toPrecision(3)) : Math.round(value);
  return Math.abs(rounded) < 1e-3 ? rounded.toExponential() : String(rounded);
}

/** Columns as wide as their widest cell, two spaces apart: to the right where all cells are numbers or "-". */
export function alignColumns(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const columns = header.map((name, column) => {
    const cells = rows.map((row) => row[column]!);
    return {
      width: Math.max(name.length, ...cells.map((cell) => cell.length)),
      numeric: cells.every((cell) => cell === "-" || /^[+-]?\d[\d.]*(e[+-]?\d+)?$/.test(cell)),
    };
  });
  const line = (cells: readonly string[]) =>
    columns.map(({ width, numeric }, column) => numeric ? cells[column]!.padStart(width) : cells[column]!.padEnd(width))
      .join("  ").trimEnd();
  return [line(header), line(columns.map(({ width }) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

/** The last part of a configuration key, where that is not ambiguous among them. */
function shortNames(keys: readonly string[]): string[] {
  const last = (key: string) => key.slice(key.lastIndexOf(".") + 1);
  return keys.map((key) => keys.filter((other) => last(other) === last(key)).length === 1 ? last(key) : key);
}

/** Metrics beside those of the baseline: a line each. There is no final newline. */
export function metricsTable(
  split: string,
  what: string,
  metrics: StudyTable["test"],
  baseline: StudyTable["baseline"],
): string {
  const names = [...new Set([...Object.keys(metrics), ...Object.keys(baseline)])];
  const rows = names.map((name) => [name, formatMetric(metrics[name]), formatMetric(baseline[name])]);
  return alignColumns([split, what, "majority baseline"], rows);
}

/**
 * The table that a study ends with: one line a trial, the best one with a star, then the reasons of failures, then test
 * metrics. Trial numbers are those of the database, from 0. There is no final newline.
 */
export function studyTable({ metric, best_trial_id, trials, test, baseline }: StudyTable): string {
  const keys = [...new Set(trials.flatMap((trial) => Object.keys(trial.params)))];
  const trialRows = trials.map((trial) => [
    String(trial.number),
    trial.trial_id === best_trial_id ? "*" : "",
    trial.state.toLowerCase(),
    formatMetric(trial.value),
    ...keys.map((key) => formatParameter(trial.params[key])),
  ]);
  const failures = trials.filter((trial) => trial.failure)
    .map((trial) => `trial ${trial.number} failed: ${trial.failure}`);
  return [
    alignColumns(["trial", "", "state", metric, ...shortNames(keys)], trialRows),
    ...failures,
    "",
    metricsTable("test split", "best trial", test, baseline),
  ].join("\n");
}
