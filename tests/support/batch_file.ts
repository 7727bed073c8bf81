/** Batches as files that the Python peers read. */
import type { Batch } from "../../lib/data/batches.ts";
import { writeSafetensors } from "../../lib/weights/safetensors.ts";
import { firstSpans } from "./agents.ts";

/** Writes a batch under the names of docs/numerics.md. */
export async function writeBatch(path: string, batch: Batch) {
  const tokens = [batch.size, batch.length], pairs = [batch.size, batch.labels.length / batch.size];
  const tensor = (name: string, shape: number[], data: ArrayLike<number>) => ({
    name,
    shape,
    data: Float32Array.from(data),
  });
  await writeSafetensors(path, [
    tensor("ids", tokens, batch.ids),
    tensor("mask", tokens, batch.mask),
    tensor("types", tokens, batch.types),
    tensor("labels", pairs, batch.labels),
    tensor("spanStart", pairs, firstSpans(batch).start),
    tensor("spanEnd", pairs, firstSpans(batch).end),
    tensor("spanWeight", pairs, batch.spanWeight),
    tensor("sampleWeight", [batch.size], batch.sampleWeight),
  ]);
}
