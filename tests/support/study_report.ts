/** Studies as the page shows them, of any size and with any names. */
import type { ReportTrial, StudyReport } from "../../lib/report/study_report/data.ts";
import type { TestResult } from "../../lib/report/study_report/test_result.ts";
import { randomStream } from "../../lib/support/rng.ts";

/** What an attacker, or an odd dataset, would put into any name. */
export const HOSTILE = `</script><script>alert("1")</script><img src=x onerror='alert(2)'>&amp;`;

/** Names of a scenario. */
interface Names {
  readonly study: string;
  readonly parameter: string;
  readonly category: string;
  readonly criterion: string;
}

const PLAIN: Names = { study: "mood", parameter: "head", category: "mlp", criterion: "FATIGUE" };

/** A study of this many trials with all that a page can show, test split and evidence included. */
export function studyReportOf(
  count: number,
  { epochs = 6, floats = 3, names = PLAIN, text = null }: {
    epochs?: number;
    floats?: number;
    names?: Names;
    text?: string | null;
  } = {},
): StudyReport {
  const stream = randomStream(11, "study report");
  const start = Date.parse("2026-01-31T12:00:00Z");
  const keys = Array.from({ length: floats }, (_, i) => `training.rate_${i}`);
  const trials = Array.from({ length: count }, (_, number): ReportTrial => {
    const state = number % 7 === 5 ? "PRUNED" : number % 11 === 10 ? "FAIL" : "COMPLETE";
    const value = 0.5 + 0.4 * stream.uniform();
    const length = state === "COMPLETE" ? epochs : state === "PRUNED" ? 2 : 0;
    return {
      number,
      id: crypto.randomUUID(),
      state,
      value: state === "FAIL" ? null : value,
      params: {
        ...Object.fromEntries(keys.map((key) => [key, 10 ** (-5 + 3 * stream.uniform())])),
        "training.batch_size": 8 * (1 + Math.floor(4 * stream.uniform())),
        [names.parameter]: stream.uniform() < 0.5 ? names.category : "linear",
        ...(number % 3 === 0 ? { "model.width": 16 * (1 + number % 9) } : {}),
      },
      epochs: Array.from({ length }, (_, i) => ({
        epoch: i + 1,
        value: value * (1 - Math.exp(-(i + 1) / 2)),
        trainLoss: 2 * Math.exp(-i / 3) + 0.1 * stream.uniform(),
        validationLoss: 2 * Math.exp(-i / 4) + 0.1 * stream.uniform(),
      })),
      seconds: state === "FAIL" ? null : 30 + 60 * stream.uniform(),
      failure: state === "FAIL" ? `out of memory in ${names.parameter}` : null,
    };
  });
  const complete = trials.filter(({ state }) => state === "COMPLETE");
  const best = complete.toSorted((a, b) => b.value! - a.value!)[0]?.number ?? null;
  const saves = trials.flatMap(({ number, epochs }) => epochs.map((_, i) => start + 60_000 * number + 5000 * i));
  const parameter = (name: string, importance: number | null, log = false) =>
    ({ name, type: "float", log, choices: [], importance }) as const;
  return {
    written: new Date(start).toISOString(),
    version: "0.1.0",
    studyId: "3f2b8c1e-5a47-4d0e-9b6f-0c1d2e3f4a5b",
    name: names.study,
    metric: "criteria_macro_f1",
    direction: "maximize",
    facts: [{ name: "data", value: names.study }],
    trials,
    best,
    parameters: [
      { name: names.parameter, type: "categorical", log: false, choices: ["linear", names.category], importance: 0.4 },
      ...keys.map((key, i) => parameter(key, 0.3 / (i + 1), true)),
      parameter("training.batch_size", 0.01),
      parameter("model.width", 0),
    ],
    storage: {
      points: saves.flatMap((time, i) => [{ time, bytes: 3e6 + 1e5 * (i % 7) }, { time: time + 9, bytes: 2e6 }]),
      prunings: saves.map((time) => ({ time: time + 9, bytes: 2e6, freedBytes: 1e6, checkpoints: 1 })),
      capBytes: 4e6,
    },
    test: testResult(names.criterion),
    configuration: `study: { name: ${names.study} }`,
    examples: text === null ? null : [{
      ...{ postId: text, criterion: names.criterion, text, probability: 0.75, outcome: "partial" },
      gold: [{ start: 0, end: 4 }],
      given: [{ start: 2, end: text.length }],
    }],
  };
}

function testResult(name: string): TestResult {
  const criterion = {
    threshold: 0.4,
    support: 12,
    precision: 0.75,
    recall: 0.5,
    f1: 0.6,
    pr_auc: 0.7,
    roc_auc: 0.9,
    ece: 0.05,
    confusion_matrix: [[84, 4], [6, 6]],
    intervals: { f1: { low: 0.4, high: 0.8 } },
    pr_curve: { threshold: [0.9, 0.6, 0.4, 0.1], precision: [1, 0.8, 0.75, 0.12], recall: [0.1, 0.3, 0.5, 1] },
  };
  return {
    metrics: { criteria_macro_f1: 0.6, evidence_token_f1: null },
    baseline: { criteria_macro_f1: 0.1 },
    intervals: { confidence: 0.95, samples: 1000, metrics: { criteria_macro_f1: { low: 0.5, high: 0.7 } } },
    criteria: [{ ...criterion, name }, { ...criterion, name: "SLEEP", pr_curve: null, precision: null }],
  };
}
