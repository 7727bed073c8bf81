/** Confusion matrices on the test split at the thresholds, one for each criterion: counts, shaded by their share of the row. */
import { type Markup, markup, px } from "../markup.ts";
import type { TestResult } from "../test_result.ts";
import { figure, image } from "./plot.ts";

const CELL = { width: 96, height: 52 };
const LEFT = 78, TOP = 40;

/** The figures, or null where the report has no matrix. */
export function confusionMatrices({ criteria }: TestResult): Markup | null {
  if (criteria.length === 0) return null;
  return markup`<h3>Confusion matrices</h3><p>On the test split at the criteria's thresholds: posts, and their share of the row.</p><div class="grid close">${
    criteria.map(({ name, confusion_matrix }) => matrix(name, confusion_matrix))
  }</div>`;
}

function matrix(name: string, counts: readonly (readonly number[])[]): Markup {
  const [[trueNegatives = 0, falsePositives = 0] = [], [falseNegatives = 0, truePositives = 0] = []] = counts;
  const label = `Confusion matrix of ${name}: ${truePositives} true positives, ${falsePositives} false positives, ` +
    `${falseNegatives} false negatives, ${trueNegatives} true negatives.`;
  const cells = counts.flatMap((row, i) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return row.map((count, j) => {
      const share = total === 0 ? 0 : count / total;
      const x = LEFT + j * CELL.width, y = TOP + i * CELL.height;
      return markup`<rect class="cell ${i === j ? "right" : "wrong"}" x="${px(x)}" y="${px(y)}" width="${
        CELL.width - 3
      }" height="${CELL.height - 3}" fill-opacity="${(0.06 + 0.44 * share).toFixed(2)}"/><text class="count" x="${
        px(x + CELL.width / 2 - 1)
      }" y="${px(y + 23)}">${count}</text><text class="share" x="${px(x + CELL.width / 2 - 1)}" y="${px(y + 40)}">${
        total === 0 ? "–" : `${Math.round(100 * share)}%`
      }</text>`;
    });
  });
  const column = (j: number, text: string) =>
    markup`<text class="middle" x="${px(LEFT + (j + 0.5) * CELL.width - 1)}" y="32">${text}</text>`;
  const row = (i: number, text: string) =>
    markup`<text class="end" x="${LEFT - 8}" y="${px(TOP + (i + 0.5) * CELL.height + 3)}">${text}</text>`;
  return figure(
    markup`<code>${name}</code>`,
    null,
    image({ width: LEFT + 2 * CELL.width + 4, height: TOP + 2 * CELL.height }, label, [
      markup`<text class="name" x="${LEFT + CELL.width}" y="13">given</text>`,
      column(0, "absent"),
      column(1, "present"),
      row(0, "absent"),
      row(1, "present"),
      cells,
    ]),
  );
}
