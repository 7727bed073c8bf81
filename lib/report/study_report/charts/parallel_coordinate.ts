/**
 * Parallel coordinates: each complete trial is a line through its parameters to its objective. Axes stand upright on a wide
 * screen and lie one below the other on a phone.
 */
import { type CompleteTrial, completeTrials, type ReportParameter, type StudyReport } from "../data.ts";
import { type Markup, markup, px } from "../markup.ts";
import { padded } from "./optimization_history.ts";
import { parameterScale, shortName } from "./parameter_axis.ts";
import { figure, fitted, image, line, type Mark, textWidth, twice } from "./plot.ts";
import { extent, linearScale, type Span, type Tick } from "./scale.ts";

/** Parameters at most: the most important ones. */
const MOST = 9;
/** Colours from the worst to the best trial. */
export const SHADES = 8;
/** Where a parameter stands that a trial does not have, beyond the axis's low end. */
const UNSET = 22;

interface Axis {
  readonly label: string;
  readonly ticks: readonly Tick[];
  /** NaN only where nothing was drawn. */
  position(trial: CompleteTrial): number;
  readonly hasUnset: boolean;
}

/** The figure, or null where there are fewer than two complete trials or no parameter. */
export function parallelCoordinate(report: StudyReport): Markup | null {
  const trials = completeTrials(report);
  const parameters = report.parameters.filter(({ importance }) => importance !== null).slice(0, MOST);
  if (trials.length < 2 || parameters.length === 0) return null;
  const left = report.parameters.length - parameters.length;
  const label = `Lines of ${trials.length} complete trials through ${report.metric} and ` +
    `${parameters.map(({ name }) => name).join(", ")}. The table of trials has all values.`;
  return figure(
    "Parallel coordinates",
    [
      `A line for each complete trial, of a stronger blue where ${report.metric} is better; the best one is marked.`,
      left > 0 && ` Of ${report.parameters.length} parameters the ${parameters.length} most important.`,
    ],
    twice((_, kind) =>
      kind === "wide" ? drawUpright(report, trials, parameters, label) : drawLying(report, trials, parameters, label)
    ),
  );
}

function axesOf(
  report: StudyReport,
  trials: readonly CompleteTrial[],
  parameters: readonly ReportParameter[],
  span: Span,
  ticks: number,
): Axis[] {
  const towards = Math.sign(span.to - span.from);
  const values = linearScale(padded(extent(trials.map(({ value }) => value))), span, ticks);
  const objective = {
    label: report.metric,
    ticks: values.ticks,
    hasUnset: false,
    position: ({ value }: CompleteTrial) => values.position(value),
  };
  return [
    objective,
    ...parameters.map((parameter): Axis => {
      const { name } = parameter;
      const has = ({ params }: CompleteTrial) => Object.hasOwn(params, name);
      const hasUnset = !trials.every(has);
      const inner = hasUnset ? { from: span.from + towards * UNSET, to: span.to } : span;
      const scale = parameterScale(parameter, trials, inner, { ticks });
      return {
        label: shortName(name),
        hasUnset,
        ticks: [...(hasUnset ? [{ at: span.from, label: "not set" }] : []), ...scale.ticks],
        position: (trial) => has(trial) ? scale.position(trial.params[name]!) : span.from,
      };
    }),
  ];
}

/** The lines, the better ones above the others. */
function lines(
  { best, direction }: StudyReport,
  trials: readonly CompleteTrial[],
  place: (trial: CompleteTrial) => Mark[],
): Markup[] {
  const sign = direction === "maximize" ? 1 : -1;
  const order = trials.toSorted((a, b) => sign * (a.value - b.value));
  return order.flatMap((trial, rank) => {
    const shade = Math.min(SHADES - 1, Math.floor(SHADES * rank / order.length));
    const isBest = trial.number === best;
    const drawn = line(isBest ? "best thick" : `shade${shade}${order.length > 200 ? " many" : ""}`, place(trial));
    return drawn === null ? [] : [{ drawn, isBest }];
  }).sort((a, b) => Number(a.isBest) - Number(b.isBest)).map(({ drawn }) => drawn);
}

function drawUpright(
  report: StudyReport,
  trials: readonly CompleteTrial[],
  parameters: readonly ReportParameter[],
  label: string,
): Markup {
  const size = { width: 920, height: 360 };
  const span = { from: size.height - 20, to: 44 };
  const all = axesOf(report, trials, parameters, span, 5);
  const gap = (size.width - 62 - 70) / Math.max(1, all.length - 1);
  const at = (i: number) => 62 + i * gap;
  const drawn = all.map(({ label, ticks }, i) => [
    markup`<path class="axis" d="M${px(at(i))} ${px(span.from)}V${px(span.to)}"/><text class="name" x="${
      px(at(i))
    }" y="${i % 2 === 0 || all.length < 6 ? 18 : 34}">${fitted(label, (all.length < 6 ? 1 : 2) * gap - 8)}</text>`,
    ticks.map((tick) =>
      markup`<text class="end halo" x="${px(at(i) - 5)}" y="${px(tick.at + 4)}">${
        fitted(tick.label, Math.min(gap, 90) - 14)
      }</text>`
    ),
  ]);
  const place = (trial: CompleteTrial) =>
    all.map((axis, i) => ({ x: at(i), y: axis.position(trial), trial: trial.number }));
  return image(size, label, [lines(report, trials, place), drawn], "wide");
}

function drawLying(
  report: StudyReport,
  trials: readonly CompleteTrial[],
  parameters: readonly ReportParameter[],
  label: string,
): Markup {
  const row = 62;
  const span = { from: 24, to: 319 };
  const all = axesOf(report, trials, parameters, span, 4);
  const at = (i: number) => 30 + i * row;
  const drawn = all.map(({ label, ticks }, i) => {
    let free = -Infinity;
    const shown = ticks.toSorted((a, b) => a.at - b.at).flatMap((tick) => {
      const text = fitted(tick.label, 90), half = textWidth(text) / 2;
      const x = Math.min(Math.max(tick.at, half + 2), 341 - half);
      if (x - half < free) return [];
      free = x + half + 6;
      return [markup`<text class="middle halo" x="${px(x)}" y="${px(at(i) + 16)}">${text}</text>`];
    });
    return [
      markup`<path class="axis" d="M${px(span.from)} ${px(at(i))}H${px(span.to)}"/><text class="halo strong" x="2" y="${
        px(at(i) - 8)
      }">${fitted(label, 320)}</text>`,
      shown,
    ];
  });
  const place = (trial: CompleteTrial) =>
    all.map((axis, i) => ({ x: axis.position(trial), y: at(i), trial: trial.number }));
  return image({ width: 343, height: at(all.length - 1) + 26 }, label, [lines(report, trials, place), drawn], "narrow");
}
