/** Slices: one parameter against the objective, a small chart for each. */
import { type CompleteTrial, completeTrials, type ReportParameter, type StudyReport } from "../data.ts";
import { type Markup, markup } from "../markup.ts";
import { padded } from "./optimization_history.ts";
import { parameterScale, shortName } from "./parameter_axis.ts";
import { axes, dots, drawingArea, figure, image, type Mark, SMALL } from "./plot.ts";
import { extent, linearScale } from "./scale.ts";

/** Charts at most: those of the most important parameters. */
const MOST = 16;

/** The figures, or null where there is nothing to draw. */
export function slices(report: StudyReport): Markup | null {
  const trials = completeTrials(report);
  const parameters = report.parameters.filter(({ importance }) => importance !== null);
  if (trials.length === 0 || parameters.length === 0) return null;
  const shown = parameters.slice(0, MOST);
  return markup`<h3>Slices</h3><p>One parameter against ${report.metric}, the most important first; the best trial is marked.${
    shown.length < parameters.length && ` ${parameters.length - shown.length} less important ones are left out.`
  }</p><div class="grid">${shown.map((parameter) => slice(report, parameter, trials))}</div>`;
}

function slice({ metric, best }: StudyReport, parameter: ReportParameter, all: readonly CompleteTrial[]): Markup {
  const { name } = parameter;
  const trials = all.filter(({ params }) => Object.hasOwn(params, name));
  const area = drawingArea(SMALL);
  const x = parameterScale(parameter, trials, area.x, { padding: true });
  const y = linearScale(padded(extent(all.map(({ value }) => value))), area.y, 4);
  const step = (area.x.to - area.x.from) / Math.max(1, x.ticks.length);
  // Trials of one category would lie on each other: they are spread by their numbers, in the same way each time.
  const spread = (number: number) =>
    parameter.type === "categorical" ? (number * 0.618 % 1 - 0.5) * Math.min(0.6 * step, 60) : 0;
  const mark = ({ number, value, params }: CompleteTrial): Mark => ({
    x: x.position(params[name]!) + spread(number),
    y: y.position(value),
    trial: number,
    text: `${shortName(name)} ${params[name]}`,
  });
  const label = `${metric} by ${name} for ${trials.length} complete trials. The table of trials has the values.`;
  const kind = parameter.log ? `${shortName(name)} (log)` : shortName(name);
  return figure(
    markup`<code>${name}</code>`,
    null,
    image(SMALL, label, [
      axes({ area, x, y, xLabel: kind, yLabel: metric }),
      dots("complete", "dot", trials.filter(({ number }) => number !== best).map(mark)),
      dots("best", "dot", trials.filter(({ number }) => number === best).map(mark)),
    ]),
  );
}
