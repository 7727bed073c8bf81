/** The real optuna-dashboard on a study of Winnow's. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { createStudy, loadStudy } from "../../lib/hpo/study.ts";

/** A port of the loopback interface that was free just now. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Runs `body` with the address of a dashboard that serves the database; needs WINNOW_PYTHON. */
async function withDashboard(database: string, body: (address: string) => Promise<void>): Promise<void> {
  const python = Deno.env.get("WINNOW_PYTHON");
  assert.ok(python, "set WINNOW_PYTHON to a Python with tests/peers/requirements.txt");
  const port = freePort();
  const child = new Deno.Command(join(dirname(python), "optuna-dashboard"), {
    args: [`sqlite:///${database}`, "--host", "127.0.0.1", "--port", String(port)],
    stdout: "null",
    stderr: "null",
  }).spawn();
  const address = `http://127.0.0.1:${port}`;
  try {
    for (let attempt = 0;; attempt++) {
      const response = await fetch(`${address}/api/meta`).catch(() => null);
      await response?.body?.cancel();
      if (response?.ok) break;
      assert.ok(attempt < 300, "the dashboard did not start within a minute");
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    await body(address);
  } finally {
    child.kill("SIGTERM");
    await child.status;
  }
}

// deno-lint-ignore no-explicit-any
async function get(url: string): Promise<any> {
  const response = await fetch(url);
  const text = await response.text();
  assert.equal(response.status, 200, `${url}: ${text.slice(0, 500)}`);
  return JSON.parse(text);
}

Deno.test("optuna-dashboard shows our study, while we go on with it", async () => {
  const folder = await Deno.makeTempDir({ prefix: "winnow-dashboard-" });
  try {
    const path = join(folder, "study.db");
    using study = createStudy({
      storage: path,
      studyName: "mental health é",
      direction: "maximize",
      userAttributes: { dataset: "redsm5" },
    });
    study.setSystemAttribute("study:metric_names", ["macro F1"]);
    const run = async (nTrials: number) =>
      await study.optimize((trial) => {
        const rate = trial.suggestFloat("learning_rate", 1e-5, 1e-2, { log: true });
        const head = trial.suggestCategorical("head", ["linear", "mlp"]);
        const width = head === "mlp" ? trial.suggestInt("width", 16, 256, { log: true }) : 16;
        const value = 1 - Math.log10(rate / 1e-3) ** 2 / 9 + width / 4096;
        for (let epoch = 1; epoch <= 4; epoch++) trial.report(epoch === 3 ? NaN : value * epoch / 4, epoch);
        if (trial.number % 7 === 3) return { state: "PRUNED" };
        return trial.number % 7 === 5 ? { state: "FAIL" } : value;
      }, { nTrials });
    await run(30);
    study.enqueueTrial({ learning_rate: 1e-3, head: "mlp" });

    await withDashboard(path, async (address) => {
      const [summary] = (await get(`${address}/api/studies`)).study_summaries;
      assert.deepEqual([summary.study_name, summary.directions], ["mental health é", ["maximize"]]);

      const id = study.stored.row;
      const detail = await get(`${address}/api/studies/${id}`);
      assert.deepEqual(
        detail.trials.map((one: { state: string }) => one.state.toUpperCase()),
        study.trials.map(({ state }) => state),
      );
      const shown = detail.trials[0], ours = study.trials[0]!;
      assert.deepEqual(shown.values, ours.values);
      assert.deepEqual(
        shown.params.map((one: Record<string, unknown>) => [one["name"], one["param_external_value"]]),
        Object.entries(ours.params).map(([name, value]) => [name, String(value)]),
      );
      assert.equal(shown.intermediate_values.length, 4);
      assert.equal(Date.parse(shown.datetime_start), Date.parse(ours.started!));
      assert.deepEqual(detail.objective_names, ["macro F1"]);
      assert.deepEqual(detail.best_trials.map((one: { number: number }) => one.number), [study.bestTrial.number]);

      const { param_importances: [importances] } = await get(`${address}/api/studies/${id}/param_importances`);
      const names = importances.map((one: { name: string }) => one.name).sort();
      assert.deepEqual(names, ["head", "learning_rate", "width"]);

      const page = await fetch(`${address}/dashboard`);
      const html = await page.text();
      assert.equal(page.status, 200);
      assert.match(html, /<title>[^<]*Optuna Dashboard/i);

      // We go on while it is open, and it adds to our file.
      await run(2);
      const note = await fetch(`${address}/api/studies/${id}/note`, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ body: "looks good", version: 1 }),
      });
      await note.body?.cancel();
      assert.equal(note.status, 204);
      assert.equal(study.systemAttributes["dashboard:note_str:0"], "looks good");
      let after = { trials: [] };
      for (let attempt = 0; after.trials.length < 32 && attempt < 60; attempt++) { // it reads anew some seconds later
        await new Promise((resolve) => setTimeout(resolve, 200));
        after = await get(`${address}/api/studies/${id}?after=0`);
      }
      assert.equal(after.trials.length, 32);
    });
    using read = loadStudy({ storage: path });
    assert.deepEqual(read.trials.map(({ number }) => number), [...Array(32).keys()]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
