/**
 * Training with activations stored in 16 bits: what is packed, near the gradients of f32, less memory, and dynamic loss
 * scaling on the GPU, whose state goes on from a checkpoint to the same bits.
 */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import { defineKernel } from "../../lib/gpu/kernel.ts";
import { createGraph, linearGrid, targetOf } from "../../lib/graph/graph.ts";
import { LOSS_SCALE } from "../../lib/graph/optimizer.ts";
import { pool } from "../../lib/graph/ops/pool.ts";
import type { Engine } from "../../lib/train/engine.ts";
import { initialState, loadArrays, readState } from "../../lib/train/state.ts";
import { OPTIMIZER_FILE } from "../../lib/storage/checkpoint.ts";
import half from "../../kernels/half.wgsl" with { type: "text" };
import { withFolder } from "../support/commands.ts";
import { largestDifference, norm, relativeDifference } from "../support/golden.ts";
import { constant, runGraph } from "../support/graph_runner.ts";
import {
  openSmall,
  planSmall,
  randomBatch,
  readArray,
  type SmallOptions,
  stepOptions,
} from "../support/small_engine.ts";
import { writeState } from "../support/write_state.ts";

const gpu = await openGpu();
/** Sizes whose products the kernels store in 16 bits on every adapter. */
const WIDE: SmallOptions = {
  encoder: { hidden_size: 32, num_attention_heads: 2, intermediate_size: 64, num_hidden_layers: 3 },
  dropout: 0.1,
};
const HALF: SmallOptions = { ...WIDE, precision: "f16" };

async function withEngine<T>(options: SmallOptions, body: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await openSmall(gpu, options);
  try {
    return await body(engine);
  } finally {
    engine.close();
  }
}

const PACK = defineKernel(
  "pack_half",
  `@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> dims: Dims;
struct Dims { count: u32 }
${half}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < dims.count) { y[id.x] = from_half(to_half(x[id.x])); }
}`,
);

Deno.test("16 bits: numbers are rounded to nearest even, and what is too large becomes infinite or NaN", async () => {
  const x = new Float32Array(4096);
  for (let i = 0; i < x.length; i++) x[i] = Math.sin(i) * 2 ** (i % 44 - 26);
  const special = [0, -0, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 65504, -65504, 2 ** -24, 2 ** -26, 1e5, -1e30, Infinity, NaN];
  x.set(special);
  const { outputs: { y } } = await runGraph(gpu, {
    inputs: { x: constant([x.length], x) },
    build: (g, { x }) => {
      const y = g.tensor("y", x.shape);
      const count = x.shape[0]! / 4;
      g.emit({ kernel: PACK, constants: {}, bindings: { x, y }, dims: { count }, grid: linearGrid(count / 64) });
      return { outputs: { y } };
    },
  });
  x.forEach((value, i) => {
    if (Math.abs(value) <= 65504) assert.equal(y[i], Math.f16round(value), `${value}`);
    else assert.ok(!Number.isFinite(y[i]), `${value} became ${y[i]}`);
  });
});

Deno.test("16 bits: every gradient is near that of f32, at every recompute level with the same bits", async () => {
  const batch = randomBatch("half", { length: 13 });
  const gradients = (options: SmallOptions) =>
    withEngine(options, (engine) => {
      engine.gradient(batch, stepOptions(1));
      return readArray(engine, "gradient");
    });
  const exact = await gradients(WIDE);
  const scaled = await gradients(HALF);
  const whole = norm([...exact.values()].map(norm));
  for (const [name, values] of scaled) {
    const unscaled = values.map((value) => value / LOSS_SCALE.initial);
    const expected = exact.get(name)!;
    if (norm(expected) > 1e-5 * whole) {
      const difference = relativeDifference(unscaled, expected);
      assert.ok(difference <= 4e-3, `${name} differs by ${difference}`);
    } else {
      assert.ok(norm(unscaled) <= 1e-3 * whole, `${name}: ${norm(unscaled)} of ${whole}`);
    }
  }
  assert.ok(largestDifference(scaled.get("criteria_head.weight")!, exact.get("criteria_head.weight")!) > 0);
  for (const recompute of ["feed_forward", "layer"] as const) {
    for (const [name, values] of await gradients({ ...HALF, recompute })) {
      assert.equal(largestDifference(values, scaled.get(name)!), 0, `${recompute}: ${name}`);
    }
  }
});

Deno.test("16 bits: less memory is planned for activations, the same for all else; evaluation is in f32", async () => {
  const [full, compact] = [planSmall(gpu, { ...WIDE, batchSize: 16 }), planSmall(gpu, { ...HALF, batchSize: 16 })];
  assert.ok(compact.memory.activations < 0.7 * full.memory.activations);
  for (const part of ["parameters", "gradients", "moments", "inputs"] as const) {
    assert.equal(compact.memory[part], full.memory[part]);
  }
  const batch = randomBatch("evaluation");
  const evaluate = (options: SmallOptions) =>
    withEngine(options, async (engine) => {
      const { predictions, criteriaLoss } = await engine.evaluate([batch], stepOptions(1));
      return { ...predictions[0]!, criteriaLoss };
    });
  assert.deepEqual(await evaluate(HALF), await evaluate(WIDE));
});

Deno.test("16 bits: training lowers the loss as f32 does", async () => {
  const losses = (options: SmallOptions) =>
    withEngine(options, async (engine) => {
      const batch = randomBatch("learn");
      for (let step = 1; step <= 20; step++) engine.step([batch], stepOptions(step, 1e-3));
      return await engine.drain();
    });
  const [exact, compact] = [await losses({ ...WIDE, dropout: 0 }), await losses({ ...HALF, dropout: 0 })];
  compact.forEach(({ loss, gradientNorm, lossScale, skippedSteps }, i) => {
    assert.ok(Math.abs(loss / exact[i]!.loss - 1) <= 2e-2, `step ${i + 1}: ${loss}, not ${exact[i]!.loss}`);
    assert.ok(Math.abs(gradientNorm / exact[i]!.gradientNorm - 1) <= 5e-2, `norm at step ${i + 1}`);
    assert.deepEqual([lossScale, skippedSteps], [LOSS_SCALE.initial, 0]);
  });
  assert.deepEqual(exact.map(({ lossScale }) => lossScale), exact.map(() => 1));
  assert.ok(compact.at(-1)!.loss < 0.5 * compact[0]!.loss);
});

Deno.test("loss scaling: an overflow halves the scale and skips the step, good steps in a row double it", () =>
  withEngine({ ...HALF, growthInterval: 3 }, async (engine) => {
    const batch = randomBatch("overflow");
    // Far beyond what 16 bits hold: the gradients between the ops overflow, those of the heads, in f32, do not.
    engine.setLossScale({ scale: 2 ** 24, goodSteps: 2 });
    const before = await readArray(engine, "parameter");
    let overflows = 0;
    let scale = 2 ** 24;
    for (let step = 1;; step++) {
      engine.step([{ ...batch, sampleWeight: batch.sampleWeight }], {
        ...stepOptions(step),
        lambdaClass: 100,
        lambdaSpan: 100,
      });
      const [metrics] = await engine.drain();
      assert.ok(Number.isFinite(metrics!.loss), "the loss itself is not scaled");
      assert.equal(metrics!.lossScale, scale);
      if (Number.isFinite(metrics!.gradientNorm)) break;
      overflows++;
      scale /= 2;
      assert.equal(metrics!.skippedSteps, overflows);
      assert.deepEqual(await engine.lossScale(), { scale, goodSteps: 0 });
      for (const [name, values] of await readArray(engine, "parameter")) {
        assert.equal(largestDifference(values, before.get(name)!), 0, `${name} moved in a skipped step`);
      }
      for (const [name, values] of await readArray(engine, "gradient")) assert.equal(norm(values), 0, name);
    }
    assert.ok(overflows > 0 && overflows < 20, `${overflows} overflows`);
    assert.deepEqual(await engine.lossScale(), { scale, goodSteps: 1 });
    const after = await readArray(engine, "parameter");
    assert.ok([...after.values()].every((values) => values.every(Number.isFinite)));
    assert.ok(largestDifference(after.get("criteria_head.weight")!, before.get("criteria_head.weight")!) > 0);

    engine.setLossScale({ scale: 1024, goodSteps: 0 });
    for (let step = 1; step <= 7; step++) engine.step([batch], stepOptions(step));
    const scales = (await engine.drain()).map(({ lossScale }) => lossScale);
    assert.deepEqual(scales, [1024, 1024, 1024, 2048, 2048, 2048, 4096]);
    assert.deepEqual(await engine.lossScale(), { scale: 4096, goodSteps: 1 });
  }));

Deno.test("loss scaling: the scale does not change a step, but for what 16 bits round", async () => {
  const step = (scale: number) =>
    withEngine({ ...HALF, optimizer: { name: "sgd", maxGradNorm: 1, weightDecay: 0 } }, async (engine) => {
      engine.setLossScale({ scale, goodSteps: 0 });
      engine.step([randomBatch("a"), randomBatch("b", { length: 13 })], stepOptions(1, 0.1));
      return { metrics: (await engine.drain())[0]!, moments: await readArray(engine, "first_moment") };
    });
  const [large, small] = [await step(2 ** 15), await step(2 ** 12)];
  assert.ok(Math.abs(large.metrics.gradientNorm / small.metrics.gradientNorm - 1) <= 1e-3);
  const whole = norm([...large.moments.values()].map(norm));
  assert.ok(Math.abs(whole - Math.min(1, large.metrics.gradientNorm)) <= 1e-3, "clipped to the true norm");
  for (const [name, values] of large.moments) {
    const difference = norm(values.map((value, i) => value - small.moments.get(name)![i]!));
    assert.ok(difference <= 2e-3 * whole, `${name}: ${difference} of ${whole}`);
  }
});

Deno.test("loss scaling: a checkpoint holds its state, and a resumed run gets the same bits", () =>
  withFolder(async (folder) => {
    const options = { ...HALF, growthInterval: 4 };
    const steps = (engine: Engine, from: number, to: number) => {
      for (let step = from; step <= to; step++) engine.step([randomBatch(`${step}`)], stepOptions(step));
      return engine.drain();
    };
    const whole = await withEngine(options, async (engine) => {
      await steps(engine, 1, 3);
      await writeState(folder, engine, initialState(9, {}));
      const metrics = await steps(engine, 4, 9);
      return { metrics, scale: await engine.lossScale(), parameters: await readArray(engine, "parameter") };
    });
    const state = await readState({ folder });
    assert.deepEqual(state.loss_scale, { scale: LOSS_SCALE.initial, good_steps: 3 });
    assert.ok((await Deno.stat(`${folder}/${OPTIMIZER_FILE}`)).isFile);
    const resumed = await withEngine(options, async (engine) => {
      loadArrays(folder, engine, { moments: true });
      engine.setLossScale({ scale: state.loss_scale!.scale, goodSteps: state.loss_scale!.good_steps });
      const metrics = await steps(engine, 4, 9);
      return { metrics, scale: await engine.lossScale(), parameters: await readArray(engine, "parameter") };
    });
    assert.deepEqual(resumed, whole);
    assert.deepEqual(whole.scale, { scale: 4 * LOSS_SCALE.initial, goodSteps: 1 });
  }));

Deno.test("f32 keeps no loss scale", () =>
  withEngine({}, async (engine) => {
    engine.setLossScale({ scale: 2, goodSteps: 0 });
    assert.equal(await engine.lossScale(), undefined);
  }));

Deno.test("an op that cannot read 16 bits refuses such a tensor while the graph is built", () => {
  const g = createGraph(targetOf(gpu), false, { precision: "f16" });
  const x = g.tensor("x", [2, 4, 32], "f16");
  assert.equal(x.bytes, 32 * 32 * 2);
  const mask = g.fixed("mask", [2, 4], "input", { chunk: 0, offset: 0, size: 32 });
  assert.throws(
    () => pool(g, x, "mean", mask),
    { name: "TypeError", message: /pool_forward: "x" is stored in 16 bits, which "x" cannot be/ },
  );
});
