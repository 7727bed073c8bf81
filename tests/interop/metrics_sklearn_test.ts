import assert from "node:assert/strict";
import { criteriaMetrics } from "../../lib/train/metrics_criteria.ts";
import { evidenceMetrics } from "../../lib/train/metrics_evidence.ts";
import { randomStream } from "../../lib/support/rng.ts";

const CRITERIA = ["A", "B", "C", "D"];

/** N posts with probabilities that tell something about the labels, many ties, and a criterion without positives. */
function makeCase(seed: number, posts: number) {
  const random = randomStream(seed, "metrics");
  const steps = random.pick([4, 20, 1e6]); // few steps: many equal scores
  const labels = Array.from({ length: posts }, () => [0.5, 0.1, 0, 0.9].map((p) => (random.uniform() < p ? 1 : 0)));
  const probabilities = labels.map((row) =>
    row.map((label) => Math.round(steps * (0.3 * label + 0.7 * random.uniform())) / steps)
  );
  return { labels, probabilities, thresholds: CRITERIA.map(() => random.pick([0.25, 0.5, 0.6])) };
}

function makePair(seed: number) {
  const random = randomStream(seed, "pair");
  const text = Array.from({ length: 12 }, () => random.pick(["I", "cry", "all", "night,", "😭", "and"])).join(" ");
  const span = () => {
    const start = random.integer(text.length - 1);
    return { start, end: start + 1 + random.integer(text.length - start) };
  };
  return { text, predicted: [span()], gold: [span()] };
}

/** Runs a Python peer with JSON in and JSON out. */
async function askPython(script: string, request: unknown): Promise<unknown> {
  const python = Deno.env.get("WINNOW_PYTHON");
  assert.ok(python, "Set WINNOW_PYTHON to a Python with numpy and scikit-learn to compare with it");
  const path = new URL(`../peers/${script}`, import.meta.url).pathname;
  const child = new Deno.Command(python, { args: [path], stdin: "piped", stdout: "piped", stderr: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(request)));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Asserts that two values of the same shape hold the same numbers within 1e-12. */
function assertClose(actual: unknown, expected: unknown, path = ""): void {
  if (typeof expected === "number") {
    assert.ok(Math.abs((actual as number) - expected) <= 1e-12, `${path}: ${actual} instead of ${expected}`);
    return;
  }
  const expectedEntries = Object.entries(expected as object);
  assert.deepEqual(Object.keys(actual as object).sort(), expectedEntries.map(([key]) => key).sort(), path);
  for (const [key, value] of expectedEntries) assertClose((actual as never)[key], value, `${path}.${key}`);
}

Deno.test("metrics: equal scikit-learn's and SQuAD's", async () => {
  const cases = Array.from({ length: 40 }, (_, seed) => makeCase(seed, 1 + seed * 3));
  const pairs = Array.from({ length: 100 }, (_, seed) => makePair(seed));
  const cut = (text: string, [span]: readonly { start: number; end: number }[]) => text.slice(span!.start, span!.end);
  const peer = await askPython("metrics_sklearn.py", {
    criteria: cases,
    pairs: pairs.map(({ text, predicted, gold }) => ({ predicted: cut(text, predicted), gold: cut(text, gold) })),
  }) as { criteria: unknown[]; token_f1: number[] };
  cases.forEach(({ labels, probabilities, thresholds }, index) => {
    const metrics = criteriaMetrics(
      { criteria: CRITERIA, probabilities: probabilities.flat(), labels: labels.flat() },
      thresholds,
    );
    assertClose({ ...metrics, per_criterion: Object.values(metrics.per_criterion) }, peer.criteria[index], `${index}`);
  });
  assertClose(pairs.map((pair) => evidenceMetrics([pair]).token_f1), peer.token_f1);
  assert.ok(new Set(peer.token_f1).size > 10, "the pairs are too alike to tell anything");
});
