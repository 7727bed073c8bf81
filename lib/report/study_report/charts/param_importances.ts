/** Hyperparameter importances: a bar each, the longest first. */
import { completeTrials, type StudyReport } from "../data.ts";
import { type Markup, markup, px } from "../markup.ts";
import { figure, fitted, image, type Size, textWidth, twice } from "./plot.ts";

/** Bars at most; a table has all. */
const MOST = 20;
const ROW = 26;

/** The figure, or null where there is no parameter to tell of. */
export function paramImportancesChart(report: StudyReport): Markup | null {
  const bars = report.parameters.flatMap(({ name, importance }) => importance === null ? [] : [{ name, importance }]);
  if (bars.length === 0) return null;
  const trials = completeTrials(report).length;
  const caution = trials < 50
    ? ` ${trials} complete trials are few for this: fewer than five of them are among the best tenth.`
    : "";
  const rows = bars.map(({ name, importance }) =>
    markup`<tr><th scope="row">${name}<td class="n">${importance.toFixed(4)}`
  );
  const label = `Shares of importance: ${
    bars.slice(0, MOST).map(({ name, importance }) => `${name} ${importance.toFixed(2)}`).join(", ")
  }`;
  return figure(
    "Hyperparameter importances",
    `How much the best tenth of the trials differs from all of them along each parameter (PED-ANOVA, as Optuna 5).${caution}`,
    [
      twice((size, kind) => draw(bars.slice(0, MOST), size, kind, label)),
      markup`<details><summary>As a table</summary><table><thead><tr><th scope="col">parameter<th scope="col">importance<tbody>${rows}</table></details>`,
    ],
  );
}

function draw(
  bars: readonly { name: string; importance: number }[],
  { width }: Size,
  kind: string,
  label: string,
): Markup {
  // On a phone the name stands above its bar.
  const stacked = kind === "narrow";
  const row = stacked ? ROW + 16 : ROW;
  const left = stacked ? 4 : Math.min(360, 16 + Math.max(...bars.map(({ name }) => textWidth(name))));
  const full = width - left - 52;
  const largest = Math.max(...bars.map(({ importance }) => importance), 1e-9);
  const content = bars.map(({ name, importance }, i) => {
    const top = i * row + 4;
    const length = full * importance / largest;
    const barTop = stacked ? top + 17 : top;
    const at = stacked
      ? markup`<text x="${px(left)}" y="${px(top + 11)}">${fitted(name, width - 8)}</text>`
      : markup`<text class="end" x="${px(left - 8)}" y="${px(top + 14)}">${fitted(name, left - 12)}</text>`;
    const d = `M${px(left)} ${px(barTop)}h${px(Math.max(1, length))}v18h${px(-Math.max(1, length))}z`;
    return markup`${at}<path class="bar" d="${d}"/><text x="${px(left + length + 6)}" y="${px(barTop + 14)}">${
      importance.toFixed(3)
    }</text>`;
  });
  return image({ width, height: bars.length * row + 8 }, label, content, kind);
}
