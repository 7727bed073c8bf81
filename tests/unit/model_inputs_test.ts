import assert from "node:assert/strict";
import { createGraph, type Target } from "../../lib/graph/graph.ts";
import { noSpans } from "../support/agents.ts";
import { batchTensors, checkIds, packBatch, type PackingConfig, positionIds } from "../../lib/model/inputs.ts";

const BATCH = {
  size: 2,
  length: 5,
  ids: Uint32Array.of(0, 7, 1, 8, 2, 0, 9, 2, 1, 1),
  mask: Uint32Array.of(1, 1, 1, 1, 1, 1, 1, 1, 0, 0),
  types: Uint32Array.of(0, 0, 0, 1, 1, 0, 0, 1, 0, 0),
  labels: new Float32Array(2),
  sampleWeight: new Float32Array(2),
  ...noSpans(2, 5, 1),
  inputs: [0, 1],
};
const ROBERTA: PackingConfig = { model_type: "roberta", pad_token_id: 1, type_vocab_size: 1 };
const BERT: PackingConfig = { model_type: "bert", pad_token_id: 1, type_vocab_size: 2 };

/** One input of the packed batch. */
function packed(config: PackingConfig, name: "positions" | "types" | "positionRuns"): number[] {
  const bytes = packBatch(BATCH, config);
  const tensors = batchTensors(createGraph({} as Target, false), { size: 2, length: 5, criteria: 1 });
  const { slot } = name === "positionRuns" ? tensors.positionSegments.runs : tensors[name];
  return [...new Uint32Array(bytes.buffer, slot!.offset, slot!.size / 4)];
}

Deno.test("RoBERTa's positions count the tokens that are no padding, from the padding id on", () => {
  // create_position_ids_from_input_ids(ids, 1) of transformers.
  const expected = [2, 3, 1, 4, 5, 2, 3, 4, 1, 1];
  assert.deepEqual([...positionIds(BATCH, ROBERTA)], expected);
  assert.deepEqual(packed(ROBERTA, "positions"), expected);
  const places = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4];
  for (const model_type of ["bert", "distilbert"] as const) {
    assert.deepEqual([...positionIds(BATCH, { ...BERT, model_type })], places);
  }
});

Deno.test("the gradient of RoBERTa's position table leaves the row of padding out", () => {
  const rows = (config: PackingConfig) =>
    packed(config, "positionRuns").filter((_, i) => i % 2 === 0).filter((row) => row !== 0xffffffff);
  assert.deepEqual(rows(ROBERTA), [2, 3, 4, 5]);
  assert.deepEqual(rows(BERT), [0, 1, 2, 3, 4]);
});

Deno.test("token types are sent where the model tells them apart, and checked there only", () => {
  assert.deepEqual(packed(BERT, "types"), [...BATCH.types]);
  assert.deepEqual(packed(ROBERTA, "types"), new Array(10).fill(0));
  assert.deepEqual(packed({ ...BERT, model_type: "distilbert", type_vocab_size: 0 }, "types"), new Array(10).fill(0));
  for (const type_vocab_size of [0, 1, 2]) checkIds(BATCH, { vocab_size: 10, type_vocab_size });
  const three = { ...BATCH, types: BATCH.types.map((type) => 2 * type) };
  assert.throws(() => checkIds(three, { vocab_size: 10, type_vocab_size: 2 }), /token types below 2 .* found 2/);
  assert.throws(() => checkIds(BATCH, { vocab_size: 9, type_vocab_size: 2 }), /token ids below 9 .* found 9/);
});
