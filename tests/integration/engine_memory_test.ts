/** The memory of an engine: what it says it needs, what it takes, and what it gives back. */
import assert from "node:assert/strict";
import { lengthBuckets } from "../../lib/data/batches.ts";
import { targetOf } from "../../lib/graph/graph.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { type EnginePlan, planEngine } from "../../lib/train/engine_plan.ts";
import { assertSameBits } from "../support/golden.ts";
import { openFilled, openSmall, planSmall, randomBatch, readArray, stepOptions } from "../support/small_engine.ts";

const gpu = await openGpu();

Deno.test("predicted memory is what the engine allocates, and closing returns all of it", async () => {
  for (const options of [{}, { dropout: 0.1, lengths: [8, 13, 40], encoder: { vocab_size: 3000 } }]) {
    const before = gpu.allocatedBytes;
    const engine = await openSmall(gpu, options);
    for (const length of engine.plan.options.lengths) {
      engine.step([randomBatch("a", { length })], stepOptions(1));
    }
    await engine.drain();
    await engine.evaluate(engine.plan.options.lengths.map((length) => randomBatch("b", { length })), stepOptions(1));
    const { memory } = engine.plan;
    assert.equal(gpu.allocatedBytes - before, memory.total);
    const { total, ...parts } = memory;
    assert.equal(Object.values(parts).reduce((sum, bytes) => sum + bytes, 0), total);
    engine.close();
    assert.equal(gpu.allocatedBytes, before);
  }
});

Deno.test("memory is known before anything is allocated, and grows with the batch", () => {
  const before = gpu.allocatedBytes;
  const small = planSmall(gpu).memory;
  const large = planSmall(gpu, { batchSize: 64 }).memory;
  assert.equal(gpu.allocatedBytes, before);
  assert.ok(large.activations > 8 * small.activations);
  assert.equal(large.parameters, small.parameters);
  assert.deepEqual([small.gradients, small.moments], [small.parameters, 2 * small.parameters]);
});

Deno.test("a shorter length that takes more memory than the longest is made room for, with the same bits", async () => {
  const train = async (shrink: (plan: EnginePlan) => EnginePlan) => {
    const engine = await openFilled(gpu, shrink(planSmall(gpu)));
    try {
      engine.step([randomBatch("a"), randomBatch("b", { length: 13 })], stepOptions(1));
      await engine.drain();
      return await readArray(engine, "parameter");
    } finally {
      engine.close();
    }
  };
  const tooSmall = (plan: EnginePlan) => ({
    ...plan,
    layouts: { ...plan.layouts, activation: { label: "activations", chunkBytes: [256], totalBytes: 256 } },
  });
  const before = gpu.allocatedBytes;
  assertSameBits(await train(tooSmall), await train((plan) => plan));
  assert.equal(gpu.allocatedBytes, before);
});

Deno.test("the longest rows take the most memory, by whichever kernels", () => {
  for (const preset of ["broadcast", "tiled"] as const) {
    for (const batchSize of [1, 5, 16]) {
      const target = { ...targetOf(gpu), preset };
      const { training, evaluation, layouts } = planSmall(gpu, {
        batchSize,
        target,
        lengths: lengthBuckets(64),
        dropout: 0.1,
        encoder: { max_position_embeddings: 64 },
      });
      for (const length of lengthBuckets(64)) {
        for (const { plan } of [training.get(length)!, evaluation.get(length)!]) {
          assert.ok(plan.layout.totalBytes <= layouts.activation.totalBytes, `${preset} ${batchSize} x ${length}`);
        }
      }
    }
  }
});

Deno.test("a model that does not fit is refused while it is planned, with the numbers", () => {
  const { options } = planSmall(gpu);
  const planWith = (maxStorageBufferBindingSize: number, maxBufferSize: number) => {
    const alignments = { minStorageBufferOffsetAlignment: 256, minUniformBufferOffsetAlignment: 256 };
    const limits = { maxStorageBufferBindingSize, maxBufferSize, ...alignments } as GPUSupportedLimits;
    return planEngine({ limits, preset: gpu.preset, subgroupSize: gpu.subgroupSize }, options);
  };
  assert.ok(planWith(32768, 32768).memory.total > 0);
  for (
    const [binding, buffer, message] of [
      // 64 rows of 96 floats.
      [24575, 32768, /linear: 24576 bytes are over the adapter's binding limit of 24575/],
      [32768, 24575, /linear: 24576 bytes are over the adapter's buffer limit of 24575/],
      [32768, 8191, /parameters: a tensor of 8192 bytes is over the adapter's buffer limit of 8191/],
    ] as const
  ) {
    assert.throws(() => planWith(binding, buffer), { name: "RangeError", message });
  }
});
