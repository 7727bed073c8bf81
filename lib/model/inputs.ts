/** The tensors of a batch on the GPU, and the packing of a batch into the one upload that fills them. */
import { align, type ArenaLayout, type ArenaSlot, layoutSequential } from "../gpu/arena.ts";
import type { Graph } from "../graph/graph.ts";
import type { Segments } from "../graph/ops/embedding.ts";
import { elementCount, type Tensor } from "../graph/tensor.ts";
import type { Batch } from "../data/batches.ts";
import { inputError } from "../support/errors.ts";
import type { EncoderConfig } from "./encoder.ts";

/** The shape of a batch: B texts of T tokens with K criteria. */
export interface BatchShape {
  readonly size: number;
  readonly length: number;
  readonly criteria: number;
}

/** Every input of the two agents. */
export interface BatchTensors {
  /** [B, T] */
  readonly ids: Tensor;
  readonly positions: Tensor;
  readonly types: Tensor;
  readonly mask: Tensor;
  /** [B] */
  readonly limits: Tensor;
  readonly wordSegments: Segments;
  readonly positionSegments: Segments;
  /** [B, K] */
  readonly labels: Tensor;
  readonly spanWeight: Tensor;
  /** [B, T, K] */
  readonly tags: Tensor;
  /** [B] */
  readonly begins: Tensor;
  /** [B, T] */
  readonly sentences: Tensor;
  /** [B] */
  readonly sampleWeight: Tensor;
}

const NAMES = [
  "ids",
  "positions",
  "types",
  "mask",
  "limits",
  "wordOrder",
  "wordRuns",
  "positionOrder",
  "positionRuns",
  "labels",
  "spanWeight",
  "tags",
  "begins",
  "sentences",
  "sampleWeight",
] as const;

type InputName = typeof NAMES[number];

function shapes({ size, length, criteria }: BatchShape): Record<InputName, number[]> {
  const tokens = [size, length], pairs = [size, criteria], count = size * length;
  return {
    ids: tokens,
    positions: tokens,
    types: tokens,
    mask: tokens,
    limits: [size],
    wordOrder: [count],
    wordRuns: [count + 1, 2],
    positionOrder: [count],
    positionRuns: [count + 1, 2],
    labels: pairs,
    spanWeight: pairs,
    tags: [size, length, criteria],
    begins: [size],
    sentences: tokens,
    sampleWeight: [size],
  };
}

function layout(shape: BatchShape): { slots: Record<InputName, ArenaSlot>; layout: ArenaLayout } {
  const sizes = shapes(shape);
  const placed = layoutSequential("inputs", NAMES.map((name) => elementCount(sizes[name]) * 4), Infinity);
  const slots = Object.fromEntries(NAMES.map((name, i) => [name, placed.slots[i]!])) as Record<InputName, ArenaSlot>;
  return { slots, layout: placed.layout };
}

/** Bytes of a batch in the input arena. */
export function inputBytes(shape: BatchShape): number {
  return align(layout(shape).layout.totalBytes);
}

/** The inputs of a batch as tensors of a graph. */
export function batchTensors(g: Graph, shape: BatchShape): BatchTensors {
  const { slots } = layout(shape);
  const sizes = shapes(shape);
  const tensor = (name: InputName) => g.fixed(name, sizes[name], "input", slots[name]);
  return {
    ids: tensor("ids"),
    positions: tensor("positions"),
    types: tensor("types"),
    mask: tensor("mask"),
    limits: tensor("limits"),
    wordSegments: { order: tensor("wordOrder"), runs: tensor("wordRuns") },
    positionSegments: { order: tensor("positionOrder"), runs: tensor("positionRuns") },
    labels: tensor("labels"),
    spanWeight: tensor("spanWeight"),
    tags: tensor("tags"),
    begins: tensor("begins"),
    sentences: tensor("sentences"),
    sampleWeight: tensor("sampleWeight"),
  };
}

/**
 * Refuses ids that a table lacks: the kernels would read nothing for them, and nothing would say so.
 *
 * @throws {WinnowError} of kind `input`
 */
export function checkIds(
  { ids, types }: Batch,
  { vocab_size, type_vocab_size }: Pick<EncoderConfig, "vocab_size" | "type_vocab_size">,
): void {
  const id = ids.find((id) => id >= vocab_size);
  if (id !== undefined) {
    throw inputError(
      `Expected token ids below ${vocab_size} (vocab_size of the model) but found ${id}`,
      "Use the tokenizer that belongs to the model",
    );
  }
  const type = type_vocab_size > 1 ? types.find((type) => type >= type_vocab_size) : undefined;
  if (type !== undefined) {
    throw inputError(
      `Expected token types below ${type_vocab_size} (type_vocab_size of the model) but found ${type}`,
      "Use the tokenizer that belongs to the model",
    );
  }
}

/** Sorts the chosen tokens by key, stable, and writes their order and runs; see `embedding_backward.wgsl`. */
function writeSegments(
  tokens: Uint32Array,
  key: (token: number) => number,
  order: Uint32Array,
  runs: Uint32Array,
): void {
  const sorted = tokens.slice().sort((a, b) => key(a) - key(b) || a - b);
  order.set(sorted);
  runs.fill(0xffffffff);
  let run = 0, previous = -1;
  sorted.forEach((token, position) => {
    const id = key(token);
    if (id !== previous) {
      runs[2 * run] = id;
      runs[2 * run + 1] = position;
      run++;
      previous = id;
    }
  });
  runs[2 * run + 1] = sorted.length;
}

/** What of an encoder decides how a batch is packed. */
export type PackingConfig = Pick<EncoderConfig, "model_type" | "pad_token_id" | "type_vocab_size">;

/**
 * Rows of the position table for each token [B, T]: its place in the text, or in RoBERTa the place among the tokens that
 * are not `pad_token_id`, counted from `pad_token_id + 1`, and `pad_token_id` for those that are
 * (`create_position_ids_from_input_ids` in transformers).
 */
export function positionIds(
  { ids, length }: Pick<Batch, "ids" | "length">,
  { model_type, pad_token_id }: PackingConfig,
): Uint32Array {
  if (model_type !== "roberta") return ids.map((_, token) => token % length);
  let place = 0;
  return ids.map((id, token) => {
    if (token % length === 0) place = pad_token_id;
    return id === pad_token_id ? pad_token_id : ++place;
  });
}

/**
 * Packs a batch into the bytes of the input arena. Padding tokens are left out of the embedding gradients, where
 * their derivative is zero, and so is the padding id, as PyTorch's `padding_idx`: in the word table, and in RoBERTa in
 * the position table too. Token types are sent where the model tells them apart, else 0.
 */
export function packBatch(batch: Batch, config: PackingConfig): Uint8Array<ArrayBuffer> {
  const { size, length } = batch;
  const { pad_token_id } = config;
  const shape = { size, length, criteria: batch.labels.length / size };
  const { slots, layout: { totalBytes } } = layout(shape);
  const bytes = new Uint8Array(align(totalBytes));
  const words = (name: InputName) => new Uint32Array(bytes.buffer, slots[name].offset, slots[name].size / 4);
  const floats = (name: InputName) => new Float32Array(bytes.buffer, slots[name].offset, slots[name].size / 4);
  words("ids").set(batch.ids);
  if (config.type_vocab_size > 1) words("types").set(batch.types);
  words("mask").set(batch.mask);
  const positions = positionIds(batch, config);
  words("positions").set(positions);
  const limits = words("limits");
  for (let token = 0; token < size * length; token++) {
    if (batch.mask[token]) limits[Math.floor(token / length)] = (token % length) + 1;
  }
  const real = Uint32Array.from(batch.ids.keys()).filter((token) => batch.mask[token]);
  const notPadding = real.filter((token) => batch.ids[token] !== pad_token_id);
  writeSegments(notPadding, (token) => batch.ids[token]!, words("wordOrder"), words("wordRuns"));
  const placed = config.model_type === "roberta" ? notPadding : real;
  writeSegments(placed, (token) => positions[token]!, words("positionOrder"), words("positionRuns"));
  floats("labels").set(batch.labels);
  words("tags").set(batch.tags);
  words("begins").set(batch.begins);
  words("sentences").set(batch.sentences);
  floats("spanWeight").set(batch.spanWeight);
  floats("sampleWeight").set(batch.sampleWeight);
  return bytes;
}
