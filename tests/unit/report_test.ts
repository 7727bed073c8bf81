import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { contractFile, contracts, contractText } from "../../scripts/generate_contracts.ts";
import {
  readEvaluationReport,
  readSummaryReport,
  writeEvaluationReport,
  writeSummaryReport,
} from "../../lib/report/report_file.ts";
import { studyTable } from "../../lib/report/study_table.ts";
import { exitCode, WinnowError } from "../../lib/support/errors.ts";
import { evaluationReport, summaryReport } from "./report_scenario.ts";
import { namesIn, withFolder } from "./storage_scenario.ts";

Deno.test("reports are written where they belong and read back, NaN as null", async () => {
  await withFolder(async (experiments) => {
    const path = await writeEvaluationReport(experiments, evaluationReport);
    assert.equal(path, join(experiments, `trial_${evaluationReport.trial_id}`, "evaluation_report.json"));
    assert.deepEqual(namesIn(dirname(path)), ["evaluation_report.json"]);
    const trial = await readEvaluationReport(experiments, evaluationReport.trial_id);
    assert.equal(trial.epochs[1]!.train_loss, null);
    assert.deepEqual(trial.validation, { "criteria/macro_f1": 0.75, "evidence/token_f1": null });
    assert.deepEqual(trial.params, evaluationReport.params);
    assert.deepEqual(trial.validation_details, evaluationReport.validation_details);
    assert.equal(trial.validation_details.criteria.per_criterion["C"]!.recall, null);

    const summary = await writeSummaryReport(experiments, summaryReport);
    assert.equal(summary, join(experiments, `study_${summaryReport.study_id}`, "summary_report.json"));
    const { format, written, ...rest } = await readSummaryReport(experiments, summaryReport.study_id);
    assert.deepEqual(rest, summaryReport);
    assert.equal(format, "winnow-summary-report/1");
    assert.ok(Math.abs(Date.parse(written) - Date.now()) < 60_000);
  });
});

Deno.test("a report that is not of its schema is not written; one that is damaged or absent is said to be", async () => {
  await withFolder(async (experiments) => {
    await assert.rejects(writeEvaluationReport(experiments, { ...evaluationReport, value: NaN }), /value/);
    await assert.rejects(writeSummaryReport(experiments, { ...summaryReport, study_id: "../x" }), /study_id/);
    assert.deepEqual(namesIn(experiments), []);
    const absent = readSummaryReport(experiments, summaryReport.study_id);
    await assert.rejects(absent, (error: WinnowError) => exitCode(error) === 2 && error.remedy.includes("evaluate"));
    const path = await writeSummaryReport(experiments, summaryReport);
    Deno.writeTextFileSync(path, Deno.readTextFileSync(path).replace('"maximize"', '"upwards"'));
    const damaged = readSummaryReport(experiments, summaryReport.study_id);
    await assert.rejects(damaged, (error: WinnowError) => exitCode(error) === 3 && error.message.includes("direction"));
  });
});

Deno.test("contracts/ is in step with the schemas", async () => {
  const files = [...Deno.readDirSync(contractFile("."))].map((entry) => entry.name).sort();
  assert.deepEqual(files, Object.keys(contracts).sort());
  for (const [name, schema] of Object.entries(contracts)) {
    const stored = await Deno.readTextFile(contractFile(name));
    assert.equal(stored, contractText(schema), `run \`deno task contracts\` for ${name}`);
  }
});

Deno.test("the study's table: trials, failures, and the test split beside the baseline", () => {
  assert.equal(
    studyTable(summaryReport),
    `
trial     state     criteria/macro_f1  learning_rate  dropout  pooling
-----  -  --------  -----------------  -------------  -------  -------
    0     fail                      -        2.31e-5      0.1  mean
    1  *  complete             0.7500        2.31e-5      0.1  mean
trial 0 failed: the objective is NaN

test split         best trial  majority baseline
-----------------  ----------  -----------------
criteria/macro_f1      0.7000             0.1000
evidence/token_f1      0.4124                  -`.slice(1),
  );
});

Deno.test("the study's table: parameters that only some trials have, equal last names, and no trial at all", () => {
  const trial = { state: "COMPLETE", value: 1, failure: null };
  const table = studyTable({
    metric: "f1",
    best_trial_id: null,
    trials: [
      { ...trial, trial_id: "a", number: 0, params: { "model.dropout": 0.25, "head.dropout": 12345.678 } },
      { ...trial, trial_id: "b", number: 1, params: { "model.layers": 12, "model.crf": false } },
    ],
    test: {},
    baseline: {},
  });
  const lines = table.split("\n");
  assert.equal(lines[0], "trial    state         f1  model.dropout  head.dropout  layers  crf");
  assert.equal(lines[2], "    0    complete  1.0000           0.25         12346       -  -");
  assert.equal(lines[3], "    1    complete  1.0000              -             -      12  false");
  studyTable({ metric: "f1", best_trial_id: null, trials: [], test: {}, baseline: {} });
});
