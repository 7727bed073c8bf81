/**
 * A study as one HTML file that asks for nothing else: styles, script and charts are inside, and its content security policy
 * allows these two by their hashes and nothing from anywhere. All text from outside is escaped by the template.
 */
import { createHash } from "node:crypto";
import { formatMetric, formatParameter } from "../study_table.ts";
import { confusionMatrices } from "./charts/confusion_matrix.ts";
import { learningCurves } from "./charts/learning_curves.ts";
import { optimizationHistory } from "./charts/optimization_history.ts";
import { parallelCoordinate } from "./charts/parallel_coordinate.ts";
import { paramImportancesChart } from "./charts/param_importances.ts";
import { precisionRecallCurves } from "./charts/precision_recall.ts";
import { slices } from "./charts/slice.ts";
import { storageHistory } from "./charts/storage_history.ts";
import type { StudyReport } from "./data.ts";
import { evidenceExamples } from "./evidence_example.ts";
import { type Markup, markup, type Part, trusted } from "./markup.ts";
import { criteriaTable, testTable, trialsTable } from "./tables.ts";
import script from "./page.js" with { type: "text" };
import styles from "./page.css" with { type: "text" };

const hashOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** What the file may load and run: its own style sheet and script, by their hashes. */
const policy = (): string =>
  [
    "default-src 'none'",
    `style-src ${hashOf(styles)}`,
    `script-src ${hashOf(script)}`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");

/** The whole file. */
export function studyReportHtml(report: StudyReport): string {
  const { name, studyId, configuration, examples, test } = report;
  const sections: [id: string, title: string, content: Part][] = [
    ["result", "Result", resultPart(report)],
    ["search", "Search", [
      optimizationHistory(report) ?? empty("No trial has come to a value yet."),
      paramImportancesChart(report) ?? empty("There is nothing to tell of the parameters' importance yet."),
      parallelCoordinate(report) ?? empty("Parallel coordinates need two complete trials and a parameter."),
      slices(report),
    ]],
    ["learning", "Training", learningCurves(report) ?? empty("No trial has reported an epoch yet.")],
    ["test", "Test split", testPart(report)],
    ...(examples === null ? [] : [["evidence", "Evidence", evidenceExamples(examples) ?? empty("There is none.")] as [
      string,
      string,
      Part,
    ]]),
    ["storage", "Storage", storageHistory(report) ?? empty("The logs tell of no checkpoint.")],
    ["trials-section", "Trials", trialsTable(report)],
    ...(configuration === null ? [] : [
      [
        "configuration",
        "Configuration",
        markup`<details><summary>Resolved configuration of the study</summary><pre tabindex="0">${configuration}</pre></details>`,
      ] as [string, string, Part],
    ]),
  ];
  const title = `${name === "" ? studyId : name}: Winnow study report`;
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="Winnow ${report.version}">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${trusted(styles)}</style>
</head>
<body>
<a class="skip" href="#result">Skip to the result</a>
<header><p class="kind">Winnow study report</p><h1>${name === "" ? studyId : name}</h1>${headPart(report)}
<nav aria-label="Sections">${sections.map(([id, title]) => markup`<a href="#${id}">${title}</a>`)}</nav></header>
<main>
${
    sections.map(([id, title, content]) =>
      markup`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>
${content}
</section>
`
    )
  }</main>
<footer><p>Written ${report.written} by Winnow ${report.version}.${
    "missing" in test ? null : " The test split was looked at with the best trial only."
  } ${examples === null ? "This file holds no text of a post." : "This file holds text of posts."}</p></footer>
<div id="tip" role="status" aria-live="polite" hidden></div>
<script>${trusted(script)}</script>
</body>
</html>
`;
  return page.markup;
}

const empty = (text: string): Markup => markup`<p class="empty">${text}</p>`;

function headPart({ studyId, trials, metric, direction, facts }: StudyReport): Markup {
  const states = Map.groupBy(trials, ({ state }) => state);
  const counts = [...states].map(([state, members]) => `${members.length} ${state.toLowerCase()}`).join(", ");
  const all = [
    { name: "study", value: studyId },
    { name: "objective", value: `${metric}, ${direction}d` },
    { name: "trials", value: `${trials.length}${counts === "" ? "" : `: ${counts}`}` },
    ...facts,
  ];
  return markup`<dl class="facts">${all.map(({ name, value }) => markup`<div><dt>${name}<dd>${value}</div>`)}</dl>`;
}

function resultPart({ trials, best, metric, test }: StudyReport): Part {
  const trial = trials.find(({ number }) => number === best);
  if (!trial) return empty("No trial is complete yet.");
  const testValue = "missing" in test ? undefined : test.metrics[metric];
  const tiles = [
    { name: `${metric}, validation`, value: formatMetric(trial.value) },
    ...(testValue === undefined ? [] : [{ name: `${metric}, test`, value: formatMetric(testValue) }]),
    { name: "best trial", value: markup`<a href="#t${trial.number}">${trial.number}</a>` },
  ];
  const params = Object.entries(trial.params);
  return markup`<dl class="tiles">${
    tiles.map(({ name, value }) => markup`<div><dt>${name}<dd>${value}</div>`)
  }</dl><h3>Best parameters</h3>${
    params.length === 0
      ? empty("The study searched no parameter.")
      : markup`<div class="frame" role="region" tabindex="0" aria-label="Best parameters"><table><thead><tr><th scope="col">parameter<th scope="col">value<tbody>${
        params.map(([name, value]) =>
          markup`<tr><th scope="row"><code>${name}</code><td class="n">${formatParameter(value)}`
        )
      }</table></div>`
  }`;
}

function testPart({ test }: StudyReport): Part {
  if ("missing" in test) return empty(test.missing);
  return [
    markup`<p>The best trial's checkpoint, beside always predicting the majority.</p>`,
    testTable(test),
    test.criteria.length === 0
      ? empty("The summary report has no curves and no confusion matrices: deno task evaluate adds them.")
      : [markup`<h3>Criteria</h3>`, criteriaTable(test), precisionRecallCurves(test), confusionMatrices(test)],
  ];
}
