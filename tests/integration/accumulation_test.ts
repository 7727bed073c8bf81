/**
 * Accumulation: a step over micro-batches is the step of the whole batch, to 1e-6 of the gradient's norm, also where the
 * micro-batches hold unequal numbers of weighted rows and evidence spans, and however they are cut.
 */
import assert from "node:assert/strict";
import type { Batch } from "../../lib/data/batches.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import type { RecomputeLevel } from "../../lib/graph/graph.ts";
import { largestDifference, norm } from "../support/golden.ts";
import { openSmall, randomBatch, readArray, rowsOf, stepOptions } from "../support/small_engine.ts";

const gpu = await openGpu();
const TOLERANCE = 1e-6;

/** Twelve texts, of which some weigh nothing and some have no evidence: 4, 1 and 3 weighted rows by fours. */
function unequalBatch(): Batch {
  const batch = randomBatch("unequal", { rows: 12, length: 13 });
  for (const row of [4, 5, 7, 9]) {
    batch.sampleWeight[row] = 0;
    batch.spanWeight.fill(0, row * 3, row * 3 + 3);
  }
  batch.spanWeight.fill(0, 0, 7);
  return batch;
}

/** The batch in pieces of `size` rows. */
const cut = (batch: Batch, size: number): Batch[] =>
  Array.from({ length: batch.size / size }, (_, i) => rowsOf(batch, i * size, (i + 1) * size));

/** One step of SGD from zero momentum: the first moment is the gradient. */
async function step(batches: readonly Batch[], recompute: RecomputeLevel = "none") {
  const engine = await openSmall(gpu, {
    batchSize: batches[0]!.size,
    recompute,
    optimizer: { name: "sgd", maxGradNorm: 0, weightDecay: 0 },
  });
  try {
    engine.step(batches, stepOptions(1, 0.1));
    const [metrics] = await engine.drain();
    return {
      metrics: metrics!,
      gradient: await readArray(engine, "first_moment"),
      parameters: await readArray(engine, "parameter"),
    };
  } finally {
    engine.close();
  }
}

for (
  const [name, batch] of [["unequal micro-batches", unequalBatch()], [
    "full micro-batches",
    randomBatch("full", { rows: 12, length: 13 }),
  ]] as const
) {
  Deno.test(`accumulation: ${name} are the step of the whole batch`, async () => {
    const whole = await step([batch]);
    const size = norm([...whole.gradient.values()].map(norm));
    assert.ok(size > 0);
    for (const rows of [6, 4, 2, 1]) {
      const parts = await step(cut(batch, rows));
      for (const [tensor, expected] of whole.gradient) {
        const difference = norm(expected.map((value, i) => value - parts.gradient.get(tensor)![i]!));
        assert.ok(
          difference <= TOLERANCE * size,
          `${rows} rows: gradient of ${tensor} differs by ${difference} of ${size}`,
        );
        const moved = largestDifference(parts.parameters.get(tensor)!, whole.parameters.get(tensor)!);
        assert.ok(moved <= TOLERANCE, `${rows} rows: ${tensor} differs by ${moved}`);
      }
      for (const field of ["criteriaLoss", "spanLoss", "loss", "gradientNorm"] as const) {
        const [found, expected] = [parts.metrics[field], whole.metrics[field]];
        assert.ok(
          Math.abs(found - expected) <= TOLERANCE * expected,
          `${rows} rows: ${field} ${found}, not ${expected}`,
        );
      }
    }
  });
}

Deno.test("accumulation and recomputation together give the bits of accumulation alone", async () => {
  const batches = cut(unequalBatch(), 4);
  const kept = await step(batches);
  const again = await step(batches, "layer");
  assert.deepEqual(again, kept);
});
