/** Optimization history: the objective of each trial in order, and the best so far. */
import { formatMetric } from "../../study_table.ts";
import { completeTrials, type ReportTrial, type StudyReport } from "../data.ts";
import { type Markup, markup, px } from "../markup.ts";
import { axes, dots, drawingArea, figure, image, legend, type Mark, type Size, twice } from "./plot.ts";
import { extent, linearScale } from "./scale.ts";

/** The figure, or null where no trial has come to a value. */
export function optimizationHistory(report: StudyReport): Markup | null {
  const { trials, metric } = report;
  const valued = trials.filter(({ value }) => value !== null);
  if (valued.length === 0) return null;
  const complete = completeTrials(report);
  const best = complete.find(({ number }) => number === report.best);
  const pruned = valued.filter(({ state }) => state === "PRUNED");
  const failed = trials.filter(({ state }) => state === "FAIL");
  const label = `${metric} of ${complete.length} complete trials in order` +
    (best ? `; the best is trial ${best.number} with ${formatMetric(best.value)}` : "") +
    `; ${pruned.length} were pruned and ${failed.length} failed. The table of trials has all values.`;
  const entries = [
    ...(complete.length > 0 ? [["complete", "dot", "complete"] as const] : []),
    ...(best ? [["best", "dot", "best"] as const, ["best", "line", "best so far"] as const] : []),
    ...(pruned.length > 0 ? [["pruned", "square", "pruned, at its last report"] as const] : []),
    ...(failed.length > 0 ? [["failed", "cross", "failed"] as const] : []),
  ];
  return figure(
    "Optimization history",
    `${metric} of each trial on the validation split.`,
    [legend(entries), twice((size, kind) => draw(report, valued, size, kind, label))],
  );
}

function draw(report: StudyReport, valued: readonly ReportTrial[], size: Size, kind: string, label: string): Markup {
  const { trials, metric, direction, best } = report;
  const area = drawingArea(size);
  const last = Math.max(1, ...trials.map(({ number }) => number));
  const x = linearScale([-0.02 * last, 1.02 * last], area.x, kind === "wide" ? 10 : 5);
  const y = linearScale(padded(extent(valued.map(({ value }) => value!))), area.y);
  const mark = ({ number, value }: ReportTrial): Mark => ({
    x: x.position(number),
    y: y.position(value!),
    trial: number,
  });
  const of = (state: ReportTrial["state"]) =>
    valued.filter((trial) => trial.state === state && trial.number !== best).map(mark);
  const sign = direction === "maximize" ? 1 : -1;
  let path = "", top = -Infinity;
  for (const { number, value } of completeTrials(report)) {
    if (sign * value <= top) continue;
    top = sign * value;
    path += path === ""
      ? `M${px(x.position(number))} ${px(y.position(value))}`
      : `H${px(x.position(number))}V${px(y.position(value))}`;
  }
  if (path !== "") path += `H${px(x.position(last))}`;
  const whole = { ticks: x.ticks.filter(({ label }) => /^\d+$/.test(label)) };
  const failed = trials.filter(({ state }) => state === "FAIL")
    .map(({ number }) => ({ x: x.position(number), y: area.y.from - 5, trial: number }));
  return image(size, label, [
    axes({ area, x: whole, y, xLabel: "trial", yLabel: metric }),
    markup`<path class="line best" d="${path}"/>`,
    dots("pruned", "square", of("PRUNED")),
    dots("running", "square", of("RUNNING")),
    dots("failed", "cross", failed),
    dots("complete", "dot", of("COMPLETE")),
    dots("best", "dot", valued.filter(({ number }) => number === best).map(mark)),
  ], kind);
}

/** A little more on both sides, so that no mark lies on the edge. */
export function padded([low, high]: readonly [number, number]): [number, number] {
  const room = 0.05 * (high - low);
  return [low - room, high + room];
}
