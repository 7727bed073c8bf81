/**
 * The engine as a whole: the same bits from the same seed, tables over several bindings,
 * accumulation, filler rows, and what is said when something is wrong.
 */
import assert from "node:assert/strict";
import { topSpanWords } from "../../lib/graph/ops/spans.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { defineKernel } from "../../lib/gpu/kernel.ts";
import { WinnowError } from "../../lib/support/errors.ts";
import { METRIC_SLOTS } from "../../lib/train/engine_plan.ts";
import type { Engine } from "../../lib/train/engine.ts";
import { assertSameBits, largestDifference, norm, relativeDifference } from "../support/golden.ts";
import {
  openSmall,
  planSmall,
  randomBatch,
  readArray,
  rowsOf,
  type SmallOptions,
  stepOptions,
} from "../support/small_engine.ts";

const gpu = await openGpu();
const ARRAYS = ["parameter", "gradient", "first_moment", "second_moment"] as const;

/** Runs a body on an engine and gives its memory back. */
async function withEngine<T>(options: SmallOptions, body: (engine: Engine) => T | Promise<T>): Promise<T> {
  const engine = await openSmall(gpu, options);
  try {
    return await body(engine);
  } finally {
    engine.close();
  }
}

/** The gradient and the losses of one batch. */
const gradientOf = (options: SmallOptions, batch: ReturnType<typeof randomBatch>) =>
  withEngine(options, async (engine) => {
    engine.gradient(batch, stepOptions(1));
    const gradients = await readArray(engine, "gradient");
    const [metrics] = await engine.drain();
    return { gradients, metrics: metrics! };
  });

Deno.test("an engine that was reset has the bits of a new one, even after a run that left nothing finite", async () => {
  const adaptive = { form: { alpha: 0, gamma: 2, smoothing: 0 }, weighted: false, adaptive: true };
  for (
    const more of [
      { precision: "f16" as const, model: { loss: adaptive } },
      { optimizer: { averageDecay: 0.9 }, adversarialEpsilon: 0.01 },
    ]
  ) {
    const options = { dropout: 0.2, ...more };
    const run = async (engine: Engine, rate: number) => {
      for (let step = 1; step <= 4; step++) {
        const batches = [randomBatch(`${step}a`), randomBatch(`${step}b`, { length: 13 })];
        engine.step(batches, { ...stepOptions(step, rate), draw: 2 * step });
      }
      const metrics = await engine.drain();
      const arrays = new Map<string, Float32Array>();
      for (const array of [...ARRAYS, "average"] as const) {
        for (const [name, values] of await readArray(engine, array)) arrays.set(`${array} ${name}`, values);
      }
      arrays.set("confidence", await engine.confidence());
      const { predictions, ...losses } = await engine.evaluate([randomBatch("validation")], stepOptions(1));
      arrays.set("probabilities", predictions[0]!.probabilities);
      return { metrics, arrays, losses, scale: await engine.lossScale() };
    };
    const expected = await withEngine(options, (engine) => run(engine, 1e-2));
    await withEngine(options, async (engine) => {
      const initial = await readArray(engine, "parameter");
      const { metrics } = await run(engine, Infinity);
      assert.ok(!Number.isFinite(metrics.at(-1)!.loss), "the first run ends in numbers that are not finite");
      engine.reset();
      engine.load("parameter", (name) => new Float32Array(initial.get(name)!));
      const { arrays, ...again } = await run(engine, 1e-2);
      assertSameBits(arrays, expected.arrays);
      const { arrays: _, ...rest } = expected;
      assert.deepEqual(again, rest);
      engine.step([randomBatch("a")], stepOptions(5));
      assert.throws(() => engine.reset(), /all results to be read/);
      await engine.drain();
    });
  }
});

Deno.test("the same seed gives the same bits, with dropout; another seed others", async () => {
  const train = (seed: number) =>
    withEngine({ dropout: 0.2 }, async (engine) => {
      for (let step = 1; step <= 3; step++) {
        const batches = [randomBatch(`${step}a`), randomBatch(`${step}b`, { length: 13 })];
        engine.step(batches, { ...stepOptions(step), draw: 2 * step, seed });
      }
      const metrics = await engine.drain();
      const arrays = new Map<string, Float32Array>();
      for (const array of ["parameter", "second_moment"] as const) {
        for (const [name, values] of await readArray(engine, array)) arrays.set(`${array} ${name}`, values);
      }
      return { metrics, arrays };
    });
  const [first, again, other] = [await train(1), await train(1), await train(2)];
  assertSameBits(again.arrays, first.arrays);
  assert.deepEqual(again.metrics, first.metrics);
  const weight = "parameter encoder.layer.1.output.dense.weight";
  assert.ok(largestDifference(other.arrays.get(weight)!, first.arrays.get(weight)!) > 0);
});

Deno.test("training lowers the loss and leaves no gradient behind", () =>
  withEngine({}, async (engine) => {
    const batch = randomBatch("learn");
    for (let step = 1; step <= 30; step++) engine.step([batch], stepOptions(step, 3e-3));
    const metrics = await engine.drain();
    assert.deepEqual(metrics.map(({ step }) => step), Array.from({ length: 30 }, (_, i) => i + 1));
    assert.ok(metrics.at(-1)!.loss < 0.5 * metrics[0]!.loss, `${metrics[0]!.loss} → ${metrics.at(-1)!.loss}`);
    for (const [name, values] of await readArray(engine, "gradient")) assert.equal(norm(values), 0, name);
  }));

Deno.test("a gradient that is not finite skips the step and is counted", () =>
  withEngine({}, async (engine) => {
    const before = await readArray(engine, "parameter");
    const batch = randomBatch("skip");
    engine.step([{ ...batch, labels: batch.labels.map(() => Infinity) }], stepOptions(1));
    assertSameBits(await readArray(engine, "parameter"), before);
    engine.step([batch], stepOptions(2));
    const [skipped, taken] = await engine.drain();
    assert.ok(!Number.isFinite(skipped!.gradientNorm));
    assert.equal(skipped!.skippedSteps, 1);
    assert.ok(Number.isFinite(taken!.gradientNorm));
    assert.equal(taken!.skippedSteps, 1);
    const after = await readArray(engine, "parameter");
    const head = "criteria_head.weight";
    assert.ok(largestDifference(after.get(head)!, before.get(head)!) > 0);
    assert.ok([...after.values()].every((values) => values.every(Number.isFinite)));
  }));

Deno.test("a table over several bindings gives the same bits as a whole one", async () => {
  const batch = randomBatch("windows");
  const run = (target: SmallOptions["target"]) =>
    withEngine({ target: target! }, async (engine) => {
      engine.gradient(batch, stepOptions(1));
      const gradients = await readArray(engine, "gradient");
      const { predictions, criteriaLoss } = await (await engine.drain(), engine.evaluate([batch], stepOptions(1)));
      const calls = engine.plan.training.get(8)!.graph.calls.length;
      // A step from these gradients, whose update runs over windows as well.
      engine.step([batch], stepOptions(1));
      return { gradients, predictions, criteriaLoss, calls, parameters: await readArray(engine, "parameter") };
    });
  // 60 rows of 128 bytes in windows of 1 KiB.
  const [whole, split] = [await run({}), await run({ maxBindingBytes: 1024 })];
  assert.ok(split.calls > whole.calls + 10, "the tables are not split");
  assertSameBits(split.gradients, whole.gradients);
  assert.ok(norm(whole.gradients.get("embeddings.word_embeddings.weight")!) > 0);
  assert.deepEqual(split.predictions[0]!.spans, whole.predictions[0]!.spans);
  assert.ok(whole.predictions[0]!.spans.some((spans) => spans.length > 0));
  assert.deepEqual(split.predictions[0]!.probabilities, whole.predictions[0]!.probabilities);
  assert.equal(split.criteriaLoss, whole.criteriaLoss);
  // The norm is summed in other pieces, so that clipping may differ in the last bit.
  for (const [name, values] of whole.parameters) {
    assert.ok(relativeDifference(split.parameters.get(name)!, values) < 1e-6, name);
  }
});

Deno.test("buffers smaller than the parameters give the same bits as one", async () => {
  const batch = randomBatch("chunks");
  const small = { lengths: [8], target: { maxBufferBytes: 16384 } };
  const { layouts } = planSmall(gpu, small);
  assert.ok(layouts.parameter.chunkBytes.length > 3 && layouts.activation.chunkBytes.length > 3);
  const [whole, chunked] = [await gradientOf({}, batch), await gradientOf(small, batch)];
  assertSameBits(chunked.gradients, whole.gradients);
});

Deno.test("micro-batches of 4 accumulate to the step of one batch of 8", async () => {
  // After one step from zero moments, the first moment is (1 - beta1) times the gradient.
  const run = (batchSize: number, cut: (batch: ReturnType<typeof randomBatch>) => ReturnType<typeof randomBatch>[]) =>
    withEngine({ batchSize, optimizer: { maxGradNorm: 0 } }, async (engine) => {
      engine.step(cut(randomBatch("accumulate", { rows: 8 })), stepOptions(1));
      const [metrics] = await engine.drain();
      return { metrics: metrics!, moments: await readArray(engine, "first_moment") };
    });
  const whole = await run(8, (batch) => [batch]);
  const parts = await run(4, (batch) => [rowsOf(batch, 0, 4), rowsOf(batch, 4, 8)]);
  const scale = whole.metrics.gradientNorm * 0.1;
  const summed = norm([...whole.moments.values()].map(norm));
  assert.ok(Math.abs(summed - scale) <= 1e-5 * scale, `gradient norm ${scale}, summed ${summed}`);
  for (const [name, moment] of whole.moments) {
    const difference = largestDifference(parts.moments.get(name)!, moment);
    assert.ok(difference <= 1e-6 * Math.max(norm(moment), 0.01 * scale), `${name}: ${difference} of ${norm(moment)}`);
  }
  for (const field of ["criteriaLoss", "spanLoss", "loss", "gradientNorm"] as const) {
    const [a, b] = [parts.metrics[field], whole.metrics[field]];
    assert.ok(Math.abs(a - b) <= 1e-6 * b, `${field}: ${a} but ${b}`);
  }
});

Deno.test("filler rows change neither loss nor gradient nor predictions", async () => {
  const padded = randomBatch("filler", { filler: 2 });
  const odd = { ...padded, ids: padded.ids.slice(), labels: padded.labels.slice() };
  odd.ids.fill(59, 2 * 8);
  odd.labels.fill(1, 2 * 3);
  const base = await gradientOf({}, padded);
  const other = await gradientOf({}, odd);
  assertSameBits(other.gradients, base.gradients);
  assert.deepEqual(other.metrics, base.metrics);

  const without = await gradientOf({ batchSize: 2 }, rowsOf(padded, 0, 2));
  const whole = norm([...without.gradients.values()].map(norm));
  for (const [name, values] of without.gradients) {
    const difference = largestDifference(base.gradients.get(name)!, values);
    assert.ok(difference <= 1e-6 * whole, `${name}: ${difference}`);
  }
  assert.ok(Math.abs(base.metrics.loss - without.metrics.loss) <= 1e-6);

  const predict = (batchSize: number, batch: typeof padded) =>
    withEngine({ batchSize, keepStates: true }, async (engine) => {
      const { predictions, criteriaLoss, spanLoss } = await engine.evaluate([batch], stepOptions(1));
      return { ...predictions[0]!, loss: criteriaLoss + spanLoss };
    });
  const [full, cut] = [await predict(4, padded), await predict(2, rowsOf(padded, 0, 2))];
  assert.ok(largestDifference(full.probabilities.subarray(0, 6), cut.probabilities) <= 1e-6);
  const real = cut.evidenceLogits!.map((value, i) => padded.mask[Math.floor(i / 6)] ? value : 0);
  const found = full.evidenceLogits!.subarray(0, 2 * 8 * 6).map((value, i) =>
    padded.mask[Math.floor(i / 6)] ? value : 0
  );
  assert.ok(largestDifference(found, real) <= 1e-5);
  assert.ok(Math.abs(full.loss - cut.loss) <= 1e-6);
});

Deno.test("evaluation of many batches, long ones behind short ones, reads each of them", async () => {
  const criteria = 40, rows = 4;
  const options: SmallOptions = {
    lengths: [4, 512],
    model: { criteria },
    encoder: {
      hidden_size: 8,
      num_hidden_layers: 1,
      num_attention_heads: 1,
      intermediate_size: 8,
      max_position_embeddings: 512,
    },
  };
  await withEngine({ ...options, batchSize: rows }, async (engine) => {
    const shape = { rows, criteria };
    const short = [randomBatch("short", { ...shape, length: 4 }), randomBatch("shorter", { ...shape, length: 4 })];
    const long = randomBatch("long", { ...shape, length: 512 });
    // As many short batches as leave the readback with less room than the long one needs.
    const bytes = rows * criteria * (topSpanWords(3) + 1) * 4 + 8;
    const count = Math.floor(engine.plan.readbackBytes / bytes) - 60;
    const batches = [...Array.from({ length: count }, (_, i) => short[i % 2]!), long];
    const { predictions } = await engine.evaluate(batches, stepOptions(1));
    assert.deepEqual(predictions.map(({ batch }) => batch), batches);
    const alone = await engine.evaluate([short[0]!, long], stepOptions(1));
    for (
      const [prediction, same] of [[predictions.at(-1)!, alone.predictions[1]!], [
        predictions[0]!,
        alone.predictions[0]!,
      ]]
    ) {
      assert.deepEqual(prediction!.spans, same!.spans);
      assert.ok(same!.spans.some((spans) => spans.length > 0));
      assert.deepEqual(prediction!.probabilities, same!.probabilities);
    }
  });
});

Deno.test("losses stay on the GPU until drained; more than fit are refused before they are lost", () =>
  withEngine({}, async (engine) => {
    assert.equal(engine.mustDrain(1), false);
    assert.equal(engine.mustDrain(METRIC_SLOTS + 1), true);
    const batch = randomBatch("drain");
    engine.gradient(batch, stepOptions(1));
    assert.equal(engine.mustDrain(METRIC_SLOTS), true);
    await assert.rejects(engine.evaluate([batch], stepOptions(1)), /Expected drain\(\) before evaluate\(\)/);
    assert.equal((await engine.drain()).length, 1);
    assert.deepEqual(await engine.drain(), []);
    assert.equal(engine.mustDrain(METRIC_SLOTS), false);
  }));

Deno.test("a batch of another shape is refused with both shapes", () =>
  withEngine({}, (engine) => {
    const message = /Expected a batch of 4 texts of 8, 13 tokens but found 4 × 9/;
    assert.throws(() => engine.step([randomBatch("a", { length: 9 })], stepOptions(1)), message);
    assert.throws(() => engine.step([randomBatch("a", { rows: 3 })], stepOptions(1)), /but found 3 × 8/);
  }));

Deno.test("token ids beyond the vocabulary are refused: they belong to another tokenizer", () =>
  withEngine({}, async (engine) => {
    const batch = randomBatch("vocabulary");
    const message = /Expected token ids below 60 .* but found 60/;
    const beyond = { ...batch, ids: batch.ids.map((id, i) => i === 3 ? 60 : id) };
    assert.throws(() => engine.step([beyond], stepOptions(1)), { name: "WinnowError", kind: "input", message });
    await assert.rejects(engine.evaluate([beyond], stepOptions(1)), { name: "WinnowError", kind: "input", message });
    const types = batch.types.map((type, i) => i === 3 ? 2 : type);
    assert.throws(
      () => engine.gradient({ ...batch, types }, stepOptions(1)),
      /Expected token types below 2 .* found 2/,
    );
  }));

Deno.test("checkpoint tensors are loaded and read back whole, query, key and value apart", () =>
  withEngine({}, async (engine) => {
    const names = engine.tensors("parameter").map(({ name }) => name);
    for (const part of ["query", "key", "value"]) {
      assert.ok(names.includes(`encoder.layer.0.attention.self.${part}.weight`));
    }
    assert.equal(new Set(names).size, names.length);
    for (const [index, array] of ARRAYS.entries()) {
      let next = index * 1e6;
      const written = new Map<string, Float32Array>();
      engine.load(array, (name, shape) => {
        const values = new Float32Array(shape.reduce((product, size) => product * size, 1)).map(() => next++);
        written.set(name, values);
        return values;
      });
      assertSameBits(await readArray(engine, array), written);
    }
    // Each array has its own memory.
    assert.equal((await readArray(engine, "parameter")).get("embeddings.word_embeddings.weight")![1], 1);
  }));

Deno.test("a WebGPU error is thrown, naming the kernel and the adapter", async () => {
  const broken = defineKernel(
    "broken_kernel",
    "@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n@compute @workgroup_size(64) fn main() { y[0] = missing; }",
  );
  gpu.pipelines.get(broken, {}, new Set());
  // Deno reports errors as events, after the call.
  await new Promise((resolve) => setTimeout(resolve));
  assert.throws(() => gpu.check(), (error) => {
    assert.ok(error instanceof WinnowError && error.kind === "failure");
    assert.ok(error.message.startsWith(`WebGPU on ${gpu.name}: `), error.message);
    assert.match(error.message, /broken_kernel/);
    assert.match(error.message, /missing/);
    return true;
  });
  gpu.check();
});

Deno.test("without an adapter the error says so and how to get one", async () => {
  const empty = await Deno.makeTempFile({ suffix: ".json" });
  try {
    const script = `import { openGpu } from ${JSON.stringify(import.meta.resolve("../../lib/gpu/device.ts"))};
try {
  await openGpu();
  console.log("opened");
} catch (error) {
  console.log(JSON.stringify([error.name, error.kind, error.message, error.remedy]));
}`;
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", script],
      env: { VK_DRIVER_FILES: empty, VK_ICD_FILENAMES: empty },
      stderr: "null",
    }).output();
    const [name, kind, message, remedy] = JSON.parse(new TextDecoder().decode(stdout)) as string[];
    assert.deepEqual([name, kind], ["WinnowError", "input"]);
    assert.equal(message, "No Vulkan adapter was found on this machine");
    assert.match(remedy!, /NVIDIA_DRIVER_CAPABILITIES=all/);
    assert.match(remedy!, /apt-get install libvulkan1 mesa-vulkan-drivers/);
  } finally {
    await Deno.remove(empty);
  }
});
