import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { niceTicks } from "../../lib/report/study_report/charts/scale.ts";
import { outcomeOf, segments } from "../../lib/report/study_report/evidence_example.ts";
import { studyReportHtml } from "../../lib/report/study_report/page.ts";
import { testResultOf } from "../../lib/report/study_report/test_result.ts";
import { CHECKPOINT_SAVED, CHECKPOINTS_PRUNED, storageHistoryOf } from "../../lib/study/storage_history.ts";
import type { LogEvent } from "../../lib/support/logging.ts";
import styles from "../../lib/report/study_report/page.css" with { type: "text" };
import { HOSTILE, studyReportOf } from "../support/study_report.ts";

/** The page without its own style sheet and script. */
const bare = (html: string) => html.replace(/<style>.*?<\/style>/s, "").replace(/<script>.*?<\/script>/s, "");

Deno.test("the page has every figure, each with its text alternative and marks", () => {
  const html = studyReportHtml(studyReportOf(30));
  for (
    const title of [
      ...["Optimization history", "Hyperparameter importances", "Parallel coordinates", "Slices", "Learning curves"],
      ...["Precision-recall curves", "Confusion matrices", "Storage over time", "Best parameters"],
    ]
  ) assert.ok(html.includes(`>${title}</h3>`), title);
  const charts = html.match(/<svg class="chart.*?<\/svg>/gs)!;
  assert.equal(charts.length, 2 * 5 + 6 + 2 + 1 + 2, "wide and narrow ones, slices, losses, PR curves, matrices");
  for (const chart of charts) {
    assert.match(chart, /role="img" tabindex="0" aria-label="[^"]{20,}"/);
    assert.match(chart, /class="(mark|bar|cell) ?/, chart.slice(0, 200));
  }
  assert.doesNotMatch(bare(html), /NaN|undefined|Infinity|\[object/);
  assert.ok(!html.includes("post-"), "no text where none was asked for");
});

Deno.test("a study with nothing yet, one trial, or only failures has a page that says so", () => {
  const whole = studyReportOf(1);
  const nothing = { ...whole, trials: [], best: null, parameters: [], test: { missing: "not yet" } };
  const empty = studyReportHtml({ ...nothing, storage: { points: [], prunings: [], capBytes: null } });
  assert.match(empty, /No trial is complete yet/);
  assert.match(empty, /not yet/);
  const failed = { ...whole.trials[0]!, state: "FAIL", value: null, epochs: [] } as const;
  const infinite = { ...whole.trials[0]!, value: null };
  for (const trials of [[], [failed], [infinite], whole.trials]) {
    const html = studyReportHtml({ ...whole, trials, best: trials === whole.trials ? 0 : null });
    assert.doesNotMatch(bare(html), /NaN|undefined|Infinity|\[object/);
  }
});

Deno.test("whatever comes from outside is text: a post, a study's name, a parameter, a category, a criterion", () => {
  const names = { study: HOSTILE, parameter: `p ${HOSTILE}`, category: `c ${HOSTILE}`, criterion: `k ${HOSTILE}` };
  const report = studyReportOf(12, { names, text: `post ${HOSTILE}` });
  const html = studyReportHtml({ ...report, metric: HOSTILE, studyId: HOSTILE, version: HOSTILE });
  assert.equal(html.match(/<script/g)!.length, 1);
  assert.equal(html.match(/<\/script/g)!.length, 1);
  assert.ok(!html.includes("<img"));
  assert.ok(!/<[^>"]*(?:"[^"]*"[^>"]*)*\son\w+=/.test(bare(html)), "no element has a handler");
  for (const name of ["post ", "p ", "c ", "k "]) assert.ok(html.includes(`${name}&lt;/script&gt;`), name);
});

Deno.test("the policy allows the page's own style sheet and script by their hashes, and nothing else", () => {
  const html = studyReportHtml(studyReportOf(3));
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)![1]!.replaceAll("&#39;", "'");
  assert.match(policy, /^default-src 'none';/);
  assert.doesNotMatch(policy, /unsafe|http|\*/);
  for (const [tag, directive] of [["style", "style-src"], ["script", "script-src"]] as const) {
    const text = new RegExp(`<${tag}>(.*?)</${tag}>`, "s").exec(html)![1]!;
    const hash = createHash("sha256").update(text).digest("base64");
    assert.ok(policy.includes(`${directive} 'sha256-${hash}'`), directive);
  }
  assert.doesNotMatch(bare(html), /\sstyle=|\ssrc=|url\(|https?:/);
});

Deno.test("1,000 trials of 20 epochs and 30 parameters make a page of a few MB with few elements", () => {
  const report = studyReportOf(1000, { epochs: 20, floats: 27 });
  const html = studyReportHtml(report);
  assert.ok(html.length < 5e6, `${html.length} bytes`);
  assert.ok(html.match(/<(path|circle|rect|text)/g)!.length < 20_000, "few elements");
});

Deno.test("colours: text has a contrast of 4.5 and marks of 3 to their background, light and dark", () => {
  const light = styles.slice(0, styles.indexOf("@media")), dark = styles.slice(styles.indexOf("@media"));
  for (const sheet of [light, dark]) {
    const colour = (name: string) => new RegExp(`--${name}: #([0-9a-f]{6})`).exec(sheet)![1]!;
    const luminance = (hex: string) => {
      const [r, g, b] = [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
        .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
    };
    const contrast = (a: string, b: string) => {
      const [low, high] = [luminance(colour(a)), luminance(colour(b))].sort((x, y) => x - y);
      return (high! + 0.05) / (low! + 0.05);
    };
    for (const ground of ["paper", "panel"]) {
      for (const text of ["ink", "muted", "accent"]) assert.ok(contrast(text, ground) >= 4.5, `${text} on ${ground}`);
    }
    for (const ground of ["gold", "given"]) assert.ok(contrast("ink", ground) >= 4.5, `ink on ${ground}`);
    const shades = Array.from({ length: 8 }, (_, i) => `shade${i}`);
    for (const mark of ["best", "pruned", ...shades]) assert.ok(contrast(mark, "paper") >= 3, mark);
  }
});

Deno.test("storage over time: prunings tell what was there before, also a checkpoint whose save is logged later", () => {
  const event = (second: number, message: string, context: Record<string, unknown>): LogEvent => ({
    ...{ time: new Date(second * 1000).toISOString(), level: "INFO", component: "storage", message, context },
  });
  const folder = (step: number) => `trial_1/checkpoints/step_${step}`;
  const history = storageHistoryOf([
    event(1, CHECKPOINT_SAVED, { folder: folder(1), bytes: 10 }),
    event(2, CHECKPOINTS_PRUNED, {
      removed: [{ path: `/somewhere/${folder(1)}`, bytes: 10, reason: "" }],
      ...{ optimizer_dropped: [], freed_bytes: 10, bytes: 12 },
    }),
    event(3, CHECKPOINT_SAVED, { folder: folder(2), bytes: 12 }),
    event(4, CHECKPOINTS_PRUNED, {
      removed: [],
      ...{ optimizer_dropped: [{ path: folder(2), bytes: 5 }], freed_bytes: 5, bytes: 7 },
    }),
    event(5, CHECKPOINT_SAVED, { folder: folder(3), bytes: 20 }),
    event(6, CHECKPOINTS_PRUNED, { removed: "odd", freed_bytes: -1, bytes: null }),
  ], 100);
  assert.deepEqual(history.points.map(({ time, bytes }) => [time / 1000, bytes]), [
    ...[[1, 10], [2, 22], [2, 12], [3, 12], [4, 12], [4, 7], [5, 27], [6, 0], [6, 0]],
  ]);
  assert.deepEqual(history.prunings.map(({ checkpoints }) => checkpoints), [1, 1, 0]);
});

Deno.test("evidence: what was found exactly, in part, not at all, and given without reason", () => {
  const range = (start: number, end: number) => ({ start, end });
  assert.equal(outcomeOf([], []), null);
  assert.equal(outcomeOf([], [range(0, 1)]), "unfounded");
  assert.equal(outcomeOf([range(0, 4)], []), "missed");
  assert.equal(outcomeOf([range(0, 4)], [range(4, 8)]), "missed");
  assert.equal(outcomeOf([range(0, 4)], [range(3, 8)]), "partial");
  assert.equal(outcomeOf([range(0, 4), range(9, 12)], [range(9, 12), range(0, 4)]), "exact");
  assert.equal(outcomeOf([range(0, 4), range(9, 12)], [range(0, 4)]), "partial");
  const text = "0123456789";
  const parts = segments({ text, gold: [range(2, 5)], given: [range(4, 99)] });
  assert.equal(parts.map((part) => part.text).join(""), text);
  assert.deepEqual(parts.map((part) => [part.text, part.gold, part.given]), [
    ...[["01", false, false], ["23", true, false], ["4", true, true], ["56789", false, true]],
  ]);
});

Deno.test("ticks are 1, 2 or 5 times a power of ten; a report of an earlier version has no curves", () => {
  assert.deepEqual(niceTicks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(niceTicks(0.32, 0.98, 3), [0.4, 0.6, 0.8]);
  assert.deepEqual(niceTicks(-3, 12, 3), [0, 5, 10]);
  assert.deepEqual(niceTicks(2, 2, 3), [2]);
  const summary = { test: { f1: 0.5 }, baseline: { f1: null } };
  assert.deepEqual(testResultOf(summary), { metrics: { f1: 0.5 }, baseline: { f1: null }, criteria: [] });
  assert.deepEqual(testResultOf({ ...summary, test_details: { posts: "odd" } }), testResultOf(summary));
  assert.ok("missing" in testResultOf(null));
});
