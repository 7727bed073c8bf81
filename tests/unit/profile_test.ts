/** The arithmetic of a profile, its table, and its trace against the rules of the Trace Event Format. */
import assert from "node:assert/strict";
import { defineKernel } from "../../lib/gpu/kernel.ts";
import type { KernelCall } from "../../lib/graph/graph.ts";
import { profileFigures, profileSchema } from "../../lib/report/profile.ts";
import { profileTable } from "../../lib/report/profile_table.ts";
import { profileTrace } from "../../lib/report/profile_trace.ts";
import { median } from "../../lib/support/median.ts";
import { productShare, type StepProfile, tickLength } from "../../lib/train/profile.ts";
import { assertTrace, slicesOf } from "../support/trace.ts";

const call = (name: string, constants = {}, dims = {}): KernelCall => ({
  kernel: defineKernel(name, ""),
  constants,
  bindings: {},
  dims,
  grid: [3, 2, 1],
});
const nt = { B_TRANSPOSED: 1, BIAS: 1 };

/** Four dispatches, two steps: of times that are no round numbers. */
const profile: StepProfile = {
  dispatches: [
    {
      call: call("gemm_tiled", nt, { rows: 1000, n: 10, k: 100 }),
      phase: "forward",
      cost: { flops: 2e6, bytes: 4e6 },
      milliseconds: 2,
    },
    {
      call: call("gemm_tiled", nt, { rows: 500, n: 10, k: 100 }),
      phase: "forward",
      cost: { flops: 1e6, bytes: 2e6 },
      milliseconds: 1,
    },
    { call: call("softmax"), phase: "backward", cost: { flops: 0, bytes: 8e6 }, milliseconds: 4 },
    { call: call("optimizer"), phase: "optimizer", cost: { flops: 0, bytes: 1e6 }, milliseconds: 1 },
  ],
  steps: 2,
  onePassMs: 9,
  tickNs: 1,
  timeline: {
    cpu: [0, 1].map((step) => [
      { name: "batch", begin: 1e6 + 100 * step + 0.1, end: 1e6 + 100 * step + 0.30001 },
      { name: "wait", begin: 1e6 + 100 * step + 0.30001, end: 1e6 + 100 * step + 30 },
    ]),
    gpu: [0, 1].map((step) =>
      [2, 1, 4, 1].map((_, i, all) => {
        const at = 1e6 + 100 * step + 1 / 3 + all.slice(0, i).reduce((sum, one) => sum + one, 0);
        return { name: ["gemm", "gemm", "softmax", "optimizer"][i]!, begin: at, end: at + all[i]! };
      })
    ),
    onePass: [0, 1].map((step) => [{
      name: "in one pass",
      begin: 1e6 + 100 * step + 50,
      end: 1e6 + 100 * step + 59,
    }]),
  },
};

Deno.test("profile: rates, shares and groups", () => {
  const { kernels, phases, sum_ms, gemm_ms, step_over_gemm } = profileFigures(profile);
  assert.deepEqual(kernels.map(({ name, dispatches, ms, share }) => [name, dispatches, ms, share]), [
    ["softmax", 1, 4, 0.5],
    ["gemm_tiled nt bias", 2, 3, 0.375],
    ["optimizer", 1, 1, 0.125],
  ]);
  // 3·10⁶ operations and 6·10⁶ bytes in 3 ms.
  assert.deepEqual([kernels[1]!.gflops, kernels[1]!.gb_per_second, kernels[0]!.gflops], [1, 2, null]);
  assert.deepEqual(kernels[1]!.shapes.map(({ shape, ms }) => [shape, ms]), [["1000×10×100", 2], ["500×10×100", 1]]);
  assert.deepEqual(phases.map(({ phase, ms }) => [phase, ms]), [["forward", 3], ["backward", 4], ["optimizer", 1]]);
  assert.deepEqual([sum_ms, gemm_ms, step_over_gemm], [8, 3, 3]);
  assert.deepEqual(productShare(profile), { gemmMs: 3, stepOverGemm: 3 });
});

Deno.test("profile: the table fits a terminal of 80 columns", () => {
  const report = profileSchema.parse({
    format: "winnow-profile/1",
    version: "0",
    adapter: { name: "NVIDIA H100 80GB HBM3", preset: "tiled", tick_ns: 83.3 },
    model: {
      id: "mental/mental-bert-base-uncased",
      ...{ layers: 12, hidden: 768, heads: 12, precision: "f16", recompute: "feed_forward", tuning: "lora" },
    },
    batch: {
      ...{ texts: 16, length: 128, micro_batches: 4, tokens: 8192, real_tokens: 7000 },
      lengths: [16, 32, 48, 64, 96, 128, 192, 256, 384, 512].map((length) => ({ length, batches: 1234 })),
    },
    queued_ms: 9.5,
    tokens_per_second: { real: 736842.1, padded: 862315.8 },
    trace: "t.json",
    ...profileFigures(profile),
    kernels: [{
      ...profileFigures(profile).kernels[1]!,
      name: "gemm_broadcast nt bias_gelu_tanh",
      ms: 12345.678,
      gflops: 12345.6,
      gb_per_second: 1234.56,
    }],
  });
  const lines = profileTable(report).split("\n");
  for (const line of lines) assert.ok(line.length <= 80, line);
  const said = lines.join("\n");
  assert.match(said, /^step {5}4 × 16 texts of 128 tokens, 7,000 of 8,192 tokens not padding$/m);
  assert.match(said, /^ {2}1000×10×100 +1 +2\.000 +25\.0 +1\.0 +2\.00$/m);
  assert.match(said, /step over GEMMs alone 3\.00/);
  assert.match(said, /tick was measured:\s+83\.3 ns/);
});

Deno.test("profile: the trace follows the Trace Event Format", () => {
  const trace = JSON.parse(JSON.stringify(profileTrace(profile, "a GPU", { model: "tiny" })));
  assertTrace(trace);
  const gpu = slicesOf(trace, "GPU: a GPU"), cpu = slicesOf(trace, "CPU");
  const dispatches = gpu.filter(({ cat }) => cat === "dispatch");
  assert.equal(dispatches.length, 2 * profile.dispatches.length);
  assert.deepEqual(dispatches.slice(0, 4).map(({ dur }) => dur), [2000, 1000, 4000, 1000]);
  assert.equal(dispatches[4]!.ts - dispatches[0]!.ts, 100_000);
  const { kernel, shape, grid, gflops, constants } = dispatches[0]!.args;
  assert.deepEqual([kernel, shape, grid, constants], ["gemm_tiled", "1000×10×100", "3 × 2 × 1", nt]);
  assert.ok(Math.abs(Number(gflops) - 1) < 1e-6);
  assert.deepEqual(cpu.map(({ name }) => name), ["step 1", "batch", "wait", "step 2", "batch", "wait"]);
  assert.equal(cpu[0]!.ts, 0, "the first thing begins the trace");
});

Deno.test("profile: a tick is a nanosecond unless the clocks say otherwise", () => {
  const clocks = (ns: number, jitterMs = 0) => [
    { ms: 5, tick: 1000 },
    { ms: 5 + 400 + jitterMs, tick: 1000 + 400e6 / ns },
  ];
  assert.equal(tickLength(clocks(1)), 1);
  assert.equal(tickLength(clocks(1, 600)), 1);
  for (const ns of [10, 52.08, 1000 / 19.2]) assert.ok(Math.abs(tickLength(clocks(ns)) / ns - 1) < 1e-9);
  assert.equal(tickLength([{ ms: 5, tick: 0 }]), 1);
});

Deno.test("profile: the median of an odd and an even number", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
});
