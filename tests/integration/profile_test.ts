/** The profiler: that timing changes no bit, and `deno task profile` as a user runs it. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { openGpu } from "../../lib/gpu/device.ts";
import { createDispatchTimer } from "../../lib/gpu/timer.ts";
import type { ProfileReport } from "../../lib/report/profile.ts";
import { median } from "../../lib/support/median.ts";
import { profileStep, stepCalls } from "../../lib/train/profile.ts";
import { resultOf, ROOT, runCommand, withFolder } from "../support/commands.ts";
import { largestDifference } from "../support/golden.ts";
import { assertRefused } from "../support/refusals.ts";
import { openSmall, randomBatch, readArray, stepOptions } from "../support/small_engine.ts";
import { assertTrace, slicesOf } from "../support/trace.ts";

const gpu = await openGpu();
const LENGTH = 32;

Deno.test("a step whose dispatches are timed one by one has the bits of a step in one pass", async () => {
  const batches = [randomBatch("a"), randomBatch("b", { length: 13 })];
  const runs = [];
  for (const kind of ["plain", "runEach", "runWhole"] as const) {
    const engine = await openSmall(gpu, { dropout: 0.1 });
    const calls = stepCalls(engine, batches).length;
    const timer = createDispatchTimer(gpu, calls);
    for (let step = 1; step <= 2; step++) {
      const probe = kind === "plain"
        ? undefined
        : { measure: <T>(_: string, work: () => T) => work(), run: timer[kind] };
      engine.step(batches, stepOptions(step), probe);
      const spans = await timer.read();
      assert.equal(spans.length, { plain: 0, runEach: calls, runWhole: batches.length }[kind]);
      spans.forEach(({ begin, end }, i) => {
        assert.ok(end >= begin && begin >= (spans[i - 1]?.end ?? 0), `${kind}, dispatch ${i}: ${begin} to ${end}`);
      });
      if (kind !== "plain") assert.ok(spans.at(-1)!.end > spans[0]!.begin, "the clock goes on");
    }
    const [metrics] = (await engine.drain()).slice(-1);
    runs.push({ metrics, parameters: await readArray(engine, "parameter") });
    timer.destroy();
    engine.close();
  }
  for (const { metrics, parameters } of runs.slice(1)) {
    assert.deepEqual(metrics, runs[0]!.metrics);
    for (const [name, values] of runs[0]!.parameters) {
      assert.equal(largestDifference(parameters.get(name)!, values), 0, name);
    }
  }
});

Deno.test("more dispatches than a query set holds are timed, and no more than the timer was made for", async () => {
  const before = gpu.allocatedBytes;
  const engine = await openSmall(gpu, { lengths: [8] });
  const micro = randomBatch("a");
  const perBatch = engine.plan.training.get(8)!.graph.calls.length;
  const count = Math.ceil(2100 / perBatch);
  const profile = await profileStep(engine, {
    batches: () => Array.from({ length: count }, () => micro),
    lambdas: { lambdaClass: 1, lambdaSpan: 1 },
    steps: 1,
    warmup: 0,
  });
  assert.equal(profile.dispatches.length, count * perBatch + engine.plan.optimizer.graph.calls.length);
  assert.ok(profile.dispatches.length > 2048);
  assert.ok(profile.dispatches.every(({ milliseconds }) => milliseconds >= 0 && milliseconds < 10_000));

  const own = gpu.allocatedBytes;
  const timer = createDispatchTimer(gpu, 3);
  assert.throws(
    () => engine.step([micro], stepOptions(1), { measure: (_, work) => work(), run: timer.runEach }),
    { name: "RangeError", message: "Expected at most 3 dispatches between two reads" },
  );
  timer.destroy();
  assert.equal(gpu.allocatedBytes, own, "the timer's buffers are freed");
  engine.close();
  assert.equal(gpu.allocatedBytes, before);
});

Deno.test("attention is counted up to the last token of each text, in rows of filler to the end", async () => {
  const engine = await openSmall(gpu, { lengths: [8] });
  const batch = randomBatch("a", { rows: 4, length: 8, filler: 2 });
  batch.mask.fill(0).fill(1, 0, 5).fill(1, 8, 10);
  const forward = stepCalls(engine, [batch]).find(({ call }) => call.kernel.name === "attention_forward")!;
  const keys = 5 + 2 + 8 + 8, hidden = 32;
  assert.equal(forward.cost.flops, 2 * 2 * 8 * keys * hidden);
  engine.close();
});

Deno.test("an adapter without timestamps is refused, with what to do", () => {
  assert.throws(() => createDispatchTimer({ ...gpu, features: new Set<string>() }, 1), {
    name: "WinnowError",
    kind: "input",
    message: /has no timestamps \(WebGPU's feature timestamp-query\)/,
    remedy: /Vulkan driver/,
  });
});

/** Operations of the matrix products of a step of the quickstart's model, from its shapes alone. */
function expectedFlops({ texts, tokens, real_tokens, length }: ProfileReport["batch"]): { gemm: number; all: number } {
  const layers = 2, hidden = 64, inner = 128, criteria = 9;
  const linear = (rows: number, from: number, to: number) => 2 * rows * from * to;
  const layer = linear(tokens, hidden, 3 * hidden) + linear(tokens, hidden, hidden) + linear(tokens, hidden, inner) +
    linear(tokens, inner, hidden);
  const heads = linear(texts, hidden, criteria) + linear(tokens, hidden, 2 * criteria);
  // Backward twice the forward: the gradients of inputs and of weights.
  const gemm = 3 * (layers * layer + heads);
  // Scores and context forward; backward two of the query's side and two of the key's, and scores and their gradient
  // twice, once in each kernel. A text's queries, padding included, meet its keys without padding.
  const attention = layers * (2 + 3 + 4) * 2 * length * real_tokens * hidden;
  return { gemm, all: gemm + attention };
}

Deno.test("deno task profile: every dispatch, its share, its products, and a trace of it", async () => {
  await withFolder(async (folder) => {
    const trace = join(folder, "trace.json");
    const own = `paths.experiments=${join(folder, "experiments")}`;
    const args = ["--config", "configs/quickstart.yaml", "--steps", "2", "--length", String(LENGTH), "--trace", trace];
    const finished = await runCommand("profile", [...args, "--json", own]);
    const schema = z.fromJSONSchema(JSON.parse(readFileSync(join(ROOT, "contracts/profile.schema.json"), "utf8")));
    const report = schema.parse(resultOf(finished)) as ProfileReport;
    const { kernels, phases, batch, sum_ms } = report;
    assert.match(finished.stderr, /gemm_\w+ tn accumulate +\d+ /);
    assert.match(finished.stderr, /step over GEMMs alone \d/);

    const sum = (values: readonly number[]) => values.reduce((total, one) => total + one, 0);
    const near = (a: number, b: number) => assert.ok(Math.abs(a - b) <= 1e-9 * Math.abs(b), `${a} is not ${b}`);
    assert.equal(batch.length, LENGTH);
    assert.equal(batch.tokens, 8 * LENGTH);
    assert.ok(batch.real_tokens > 8 && batch.real_tokens <= batch.tokens);
    for (const parts of [kernels, phases]) {
      near(sum(parts.map(({ share }) => share)), 1);
      near(sum(parts.map(({ ms }) => ms)), sum_ms);
    }
    const dispatches = sum(kernels.map(({ dispatches }) => dispatches));
    assert.equal(sum(phases.map(({ dispatches }) => dispatches)), dispatches);
    assert.deepEqual(phases.map(({ phase }) => phase), ["forward", "backward", "optimizer"]);
    for (const { name, dispatches, ms, shapes } of kernels) {
      if (!name.startsWith("gemm_")) continue;
      assert.equal(sum(shapes.map((shape) => shape.dispatches)), dispatches, name);
      near(sum(shapes.map((shape) => shape.ms)), ms);
    }

    const gemms = kernels.filter(({ name }) => name.startsWith("gemm_"));
    const expected = expectedFlops(batch);
    assert.equal(sum(gemms.map(({ flops }) => flops)), expected.gemm);
    assert.equal(sum(kernels.map(({ flops }) => flops)), expected.all);
    near(report.gemm_ms, sum(gemms.map(({ ms }) => ms)));
    near(report.step_over_gemm, report.one_pass_ms / report.gemm_ms);
    assert.ok(report.one_pass_ms > 0 && report.queued_ms > 0 && report.gemm_ms < sum_ms);

    const events = JSON.parse(readFileSync(trace, "utf8"));
    assertTrace(events);
    const gpuSlices = slicesOf(events, `GPU: ${report.adapter.name}`);
    const timed = gpuSlices.filter(({ cat }) => cat === "dispatch");
    assert.equal(timed.length, 2 * dispatches);
    const medians = timed.slice(0, dispatches).map(({ dur }, i) => median([dur, timed[dispatches + i]!.dur]) / 1000);
    assert.ok(Math.abs(sum(medians) - sum_ms) < 1e-5 * dispatches, "the trace has the times of the table");
    const parts = new Set(slicesOf(events, "CPU").map(({ name }) => name));
    assert.deepEqual([...parts], ["step 1", "batch", "pack", "upload", "encode", "submit", "wait", "step 2"]);
    // Nothing runs on the GPU before the CPU has submitted it.
    const submitted = slicesOf(events, "CPU").filter(({ name }) => name === "submit");
    const begun = gpuSlices.filter(({ name }) => name.includes("each dispatch"));
    begun.forEach(({ ts }, i) => assert.ok(ts >= submitted[i]!.ts - 1, `step ${i + 1}`));

    const missing = join(folder, "none", "trace.json");
    assertRefused(await runCommand("profile", ["--trace", missing, own]), {
      error: /There is no folder .*none for --trace/,
      remedy: /Make it, or name another file/,
    });
    assertRefused(await runCommand("profile", ["--length", "8", own]), {
      error: /No batch of an epoch is of 8 tokens/,
      remedy: /Set --length to one of (\d+, )+96/,
    });
    assert.ok(!existsSync(missing));
  });
});
