/** A parameter's axis: logarithmic, linear or of categories, over the values that the trials had. */
import type { Category } from "../../../hpo/space.ts";
import type { ReportParameter, ReportTrial } from "../data.ts";
import { padded } from "./optimization_history.ts";
import { categoryScale, extent, linearScale, logScale, type Scale, type Span } from "./scale.ts";

/** The last part of a parameter's key: the whole one stands in tables. */
export const shortName = (name: string): string => name.slice(name.lastIndexOf(".") + 1) || name;

/** The scale of a parameter for these trials; of a category only the choices that were drawn. */
export function parameterScale(
  { name, type, log, choices }: ReportParameter,
  trials: readonly ReportTrial[],
  span: Span,
  { padding = false, ticks = 4 } = {},
): Scale<Category> {
  const values = trials.flatMap(({ params }) => Object.hasOwn(params, name) ? [params[name] as Category] : []);
  if (type === "categorical") return categoryScale(choices.filter((choice) => values.includes(choice)), span);
  const numbers = values.filter((value) => typeof value === "number");
  const [low, high] = extent(numbers);
  const isLog = log && low > 0;
  const room = ([from, to]: [number, number]): [number, number] => !padding ? [from, to] : padded([from, to]);
  const [from, to] = isLog ? room([Math.log(low), Math.log(high)]) : room([low, high]);
  const scale = isLog ? logScale([Math.exp(from), Math.exp(to)], span, ticks) : linearScale([from, to], span, ticks);
  return { ticks: scale.ticks, position: (value) => typeof value === "number" ? scale.position(value) : NaN };
}
