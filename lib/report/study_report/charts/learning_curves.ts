/** Learning curves (Optuna's intermediate values): the objective and the losses after each epoch, a line for each trial. */
import { formatMetric } from "../../study_table.ts";
import type { ReportEpoch, ReportTrial, StudyReport } from "../data.ts";
import { type Markup, markup } from "../markup.ts";
import { padded } from "./optimization_history.ts";
import { axes, drawingArea, figure, image, legend, line, type Size, SMALL, twice } from "./plot.ts";
import { extent, linearScale } from "./scale.ts";

type Curve = keyof Omit<ReportEpoch, "epoch">;

/** The figures, or null where no trial has reported anything. */
export function learningCurves(report: StudyReport): Markup | null {
  const has = (curve: Curve) => report.trials.some(({ epochs }) => epochs.some((one) => one[curve] !== null));
  if (!has("value") && !has("trainLoss")) return null;
  const pruned = report.trials.some(({ state, epochs }) => state === "PRUNED" && epochs.length > 0);
  const losses: [Curve, string][] = [["trainLoss", "training loss"], ["validationLoss", "validation loss"]];
  const shown = losses.filter(([curve]) =>
    has(curve) && !(curve === "validationLoss" && report.metric === "validation_loss")
  );
  const entries = [
    ["best", "line", "best trial"] as const,
    ["complete", "line", "others"] as const,
    ...(pruned ? [["pruned", "line", "pruned"] as const] : []),
  ];
  return markup`${
    has("value") && figure(
      "Learning curves",
      `${report.metric} on the validation split after each epoch.`,
      [legend(entries), twice((size, kind) => draw(report, "value", report.metric, size, kind))],
    )
  }<div class="grid two">${
    shown.map(([curve, name]) =>
      figure(name[0]!.toUpperCase() + name.slice(1), null, draw(report, curve, name, SMALL, ""))
    )
  }</div>`;
}

function draw(report: StudyReport, curve: Curve, name: string, size: Size, kind: string): Markup {
  const trials = report.trials.filter(({ epochs }) => epochs.some((one) => one[curve] !== null))
    .toSorted((a, b) => Number(a.number === report.best) - Number(b.number === report.best));
  const area = drawingArea(size);
  const epochs = extent(trials.flatMap(({ epochs }) => epochs.map(({ epoch }) => epoch)));
  const x = linearScale([Math.max(0, epochs[0]), epochs[1]], area.x, kind === "wide" ? 12 : 6);
  const values = trials.flatMap(({ epochs }) => epochs.flatMap((one) => one[curve] ?? []));
  const y = linearScale(padded(extent(values)), area.y);
  const many = trials.length > 100 ? " many" : "";
  const style = ({ number, state }: ReportTrial) =>
    number === report.best ? "best thick" : `${state === "PRUNED" ? "pruned" : "complete"}${many}`;
  const lines = trials.map((trial) =>
    line(
      style(trial),
      trial.epochs.flatMap((one) => {
        const value = one[curve];
        if (value === null) return [];
        const text = `epoch ${one.epoch}: ${formatMetric(value)}`;
        return [{ x: x.position(one.epoch), y: y.position(value), trial: trial.number, text }];
      }),
      name,
    )
  );
  const best = trials.find(({ number }) => number === report.best)?.epochs.flatMap((one) => one[curve] ?? []);
  const label = `${name} by epoch of ${trials.length} trials` +
    (best?.length ? `; of the best trial from ${formatMetric(best[0])} to ${formatMetric(best.at(-1))}.` : ".");
  const whole = { ticks: x.ticks.filter(({ label }) => /^\d+$/.test(label)) };
  return image(size, label, [axes({ area, x: whole, y, xLabel: "epoch", yLabel: name }), lines], kind);
}
