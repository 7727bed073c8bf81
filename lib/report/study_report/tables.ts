/** The page's tables. Those that can be sorted have buttons in their headings, which the script serves. */
import { formatMetric, formatParameter } from "../study_table.ts";
import { shortName } from "./charts/parameter_axis.ts";
import type { ReportTrial, StudyReport } from "./data.ts";
import { type Markup, markup, type Part } from "./markup.ts";
import type { TestResult } from "./test_result.ts";

/** A time span: 45 s, 3 min, 2.5 h. */
export function formatSeconds(seconds: number | null): string {
  if (seconds === null) return "-";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A table that scrolls in its own frame, reachable by keys. */
const framed = (label: string, table: Markup): Markup =>
  markup`<div class="frame" role="region" tabindex="0" aria-label="${label}">${table}</div>`;

const heading = (name: Part, title?: string): Markup =>
  markup`<th scope="col"><button type="button"${title !== undefined && markup` title="${title}"`}>${name}</button>`;

/** All trials. */
export function trialsTable({ trials, parameters, best, metric }: StudyReport): Markup {
  const names = parameters.map(({ name }) => name);
  const short = names.map(shortName);
  // The short name where it is not ambiguous, as in the terminal's table.
  const heads = names.map((name, i) =>
    heading(short.filter((one) => one === short[i]).length > 1 ? name : short[i], name)
  );
  const hasFailures = trials.some(({ failure }) => failure !== null);
  const row = (trial: ReportTrial) => {
    const { number, state, value, seconds, epochs, params, failure } = trial;
    const isBest = number === best;
    return markup`<tr id="t${number}"${
      isBest && markup` class="best"`
    }><th scope="row">${number}<td>${state.toLowerCase()}${isBest && " (best)"}<td class="n"${
      value !== null && markup` data-k="${value}"`
    }>${formatMetric(value)}<td class="n">${epochs.length}<td class="n"${
      seconds !== null && markup` data-k="${Math.round(seconds)}"`
    }>${formatSeconds(seconds)}${
      names.map((name) => {
        const one = Object.hasOwn(params, name) ? params[name]! : undefined;
        return markup`<td${typeof one === "number" && markup` class="n"`}>${
          one === undefined ? "" : formatParameter(one)
        }`;
      })
    }${hasFailures && markup`<td class="why">${failure}`}`;
  };
  return framed(
    "Trials",
    markup`<table class="sortable" id="trials"><thead><tr>${heading("trial")}${heading("state")}${heading(metric)}${
      heading("epochs")
    }${heading("time")}${heads}${hasFailures && heading("reason")}<tbody>${trials.map(row)}</table>`,
  );
}

/** Metrics of the best trial on the test split beside the baseline's. */
export function testTable({ metrics, baseline, intervals }: TestResult): Markup {
  const names = [...new Set([...Object.keys(metrics), ...Object.keys(baseline)])];
  const hasIntervals = intervals !== undefined && intervals.samples > 0;
  const rows = names.map((name) => {
    const interval = intervals?.metrics[name];
    return markup`<tr><th scope="row">${name}<td class="n">${formatMetric(metrics[name])}${
      hasIntervals &&
      markup`<td class="n">${interval ? `${formatMetric(interval.low)} – ${formatMetric(interval.high)}` : "-"}`
    }<td class="n">${formatMetric(baseline[name])}`;
  });
  const confidence = intervals === undefined ? "" : `${Math.round(100 * intervals.confidence)}% interval`;
  return framed(
    "Test split",
    markup`<table><thead><tr><th scope="col">metric<th scope="col">best trial${
      hasIntervals && markup`<th scope="col">${confidence}`
    }<th scope="col">majority baseline<tbody>${rows}</table>`,
  );
}

/** One row for each criterion on the test split. */
export function criteriaTable({ criteria }: TestResult): Markup | null {
  if (criteria.length === 0) return null;
  const interval = (one: { low: number; high: number } | null | undefined) =>
    one ? markup` <small>${formatMetric(one.low)} – ${formatMetric(one.high)}</small>` : null;
  const rows = criteria.map((one) =>
    markup`<tr><th scope="row">${one.name}<td class="n">${one.support}<td class="n">${
      formatMetric(one.threshold)
    }<td class="n">${formatMetric(one.precision)}<td class="n">${formatMetric(one.recall)}<td class="n" data-k="${
      one.f1 ?? ""
    }">${formatMetric(one.f1)}${interval(one.intervals?.f1)}<td class="n">${formatMetric(one.pr_auc)}<td class="n">${
      formatMetric(one.roc_auc)
    }<td class="n">${formatMetric(one.ece)}`
  );
  const heads = ["criterion", "support", "threshold", "precision", "recall", "F1", "PR AUC", "ROC AUC", "ECE"];
  return framed(
    "Criteria on the test split",
    markup`<table class="sortable"><thead><tr>${heads.map((name) => heading(name))}<tbody>${rows}</table>`,
  );
}
