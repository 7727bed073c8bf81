/** Precision-recall curves on the test split, one for each criterion, with the point that the threshold chooses. */
import { formatMetric } from "../../study_table.ts";
import { type Markup, markup, px } from "../markup.ts";
import type { CriterionResult, TestResult } from "../test_result.ts";
import { axes, dots, drawingArea, figure, image, line, SMALL } from "./plot.ts";
import { linearScale } from "./scale.ts";

/** The figures, or null where the report has no curve. */
export function precisionRecallCurves({ criteria }: TestResult): Markup | null {
  const drawn = criteria.filter(({ pr_curve }) => pr_curve !== null && pr_curve.recall.length > 0);
  if (drawn.length === 0) return null;
  const without = criteria.length - drawn.length;
  return markup`<h3>Precision-recall curves</h3><p>On the test split; the dot is where the criterion's threshold is, the broken line is chance.${
    without > 0 && ` ${without} criteria have no positive post and no curve.`
  }</p><div class="grid">${drawn.map(chart)}</div>`;
}

function chart(criterion: CriterionResult & { name: string }): Markup {
  const { name, pr_curve, pr_auc, precision, recall, threshold, support, confusion_matrix } = criterion;
  const area = drawingArea(SMALL);
  const x = linearScale([0, 1], area.x), y = linearScale([0, 1.02], area.y);
  const { threshold: thresholds, precision: precisions, recall: recalls } = pr_curve!;
  const marks = recalls.map((one, i) => ({
    x: x.position(one),
    y: y.position(precisions[i] ?? 0),
    text: `threshold ${formatMetric(thresholds[i])}: precision ${formatMetric(precisions[i])}, recall ${
      formatMetric(one)
    }`,
  }));
  const posts = confusion_matrix.flat().reduce((sum, count) => sum + count, 0);
  const chance = posts > 0 ? y.position(support / posts) : null;
  const point = precision === null || recall === null ? [] : [{
    x: x.position(recall),
    y: y.position(precision),
    text: `at its threshold ${formatMetric(threshold)}: precision ${formatMetric(precision)}, recall ${
      formatMetric(recall)
    }`,
  }];
  const label = `Precision-recall curve of ${name}: PR AUC ${formatMetric(pr_auc)}, at its threshold precision ${
    formatMetric(precision)
  } and recall ${formatMetric(recall)}.`;
  return figure(
    markup`<code>${name}</code>`,
    `PR AUC ${formatMetric(pr_auc)}, ${support} of ${posts} posts`,
    image(SMALL, label, [
      axes({ area, x, y, xLabel: "recall", yLabel: "precision" }),
      chance !== null && markup`<path class="cap" d="M${px(area.x.from)} ${px(chance)}H${px(area.x.to)}"/>`,
      line("complete", marks, name),
      dots("best", "dot", point),
    ]),
  );
}
