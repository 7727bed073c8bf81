/**
 * Batches of equal shape: rows are grouped by length, so that few static graphs serve all and little is padding.
 *
 * Every batch of a bucket has the full batch size; rows that are left over are filler, which the mask and the weights
 * take out of attention, loss and metrics.
 */
import { randomStream } from "../support/rng.ts";
import type { EncodedInput } from "./encoding.ts";

/** Which inputs make up a batch; -1 marks a filler row. */
export interface PlannedBatch {
  /** Tokens per row. */
  length: number;
  /** [batchSize] indices into the encoded inputs. */
  indices: number[];
}

/** The batches of one epoch, in order. */
export type BatchPlan = PlannedBatch[];

/** The tensors of one batch, row by row, for `size` inputs of `length` tokens and K outputs: all criteria or one. */
export interface Batch {
  size: number;
  length: number;
  /** [size, length] */
  ids: Uint32Array;
  /** [size, length], 1 for tokens and 0 for padding. */
  mask: Uint32Array;
  /** [size, length], token type ids: 1 for a post that stands behind a criterion's text, 0 elsewhere. */
  types: Uint32Array;
  /** [size, K] */
  labels: Float32Array;
  /** [size], 0 for filler rows. */
  sampleWeight: Float32Array;
  /** [size, length, K] 0 outside of evidence, 1 at the first token of a span, 2 at later ones. */
  tags: Uint8Array;
  /** [size] the first token of the post. */
  begins: Uint32Array;
  /** [size, length] the sentence of each token of the post, 0xffffffff for others. */
  sentences: Uint32Array;
  /** [size, K], 0 where the evidence is unknown (not aligned, truncated) and in filler rows. */
  spanWeight: Float32Array;
  /** [size] indices into the encoded inputs, -1 for filler rows. */
  inputs: number[];
}

/** How an epoch is cut into batches. */
export interface BatchOptions {
  batchSize: number;
  /** Row lengths in tokens, ascending; the last must hold the longest input. */
  buckets: readonly number[];
  /** Without it, inputs keep their order within a bucket and buckets ascend. */
  shuffle?: { seed: number; epoch: number };
}

/** Marks tokens that are in no sentence of the post. */
export const NO_SENTENCE = 0xffffffff;

const BUCKETS = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512];

/** Row lengths for inputs of up to `maxLength` tokens: steps of a quarter to a half, the last being `maxLength`. */
export function lengthBuckets(maxLength: number): number[] {
  if (!(Number.isInteger(maxLength) && maxLength > 0)) {
    throw new RangeError(`Expected maxLength to be an integer greater than 0 but found ${maxLength}`);
  }
  return [...BUCKETS.filter((length) => length < maxLength), maxLength];
}

/**
 * Plans the batches of an epoch. Each input goes into the smallest bucket that holds it; with `shuffle`, inputs are
 * shuffled within their bucket and then the batches among themselves, by (seed, epoch) alone.
 */
export function planBatches(
  inputs: readonly EncodedInput[],
  { batchSize, buckets, shuffle }: BatchOptions,
): BatchPlan {
  if (!(Number.isInteger(batchSize) && batchSize > 0)) {
    throw new RangeError(`Expected batchSize to be an integer greater than 0 but found ${batchSize}`);
  }
  const random = shuffle && randomStream(shuffle.seed, "batches", shuffle.epoch);
  const members = buckets.map((): number[] => []);
  inputs.forEach(({ ids }, index) => {
    const bucket = buckets.findIndex((length) => length >= ids.length);
    if (bucket < 0) {
      throw new RangeError(`Expected inputs of at most ${buckets.at(-1)} tokens but found one of ${ids.length}`);
    }
    members[bucket]!.push(index);
  });
  const plan = members.flatMap((indices, bucket) => {
    const order = random ? random.shuffle(indices) : indices;
    return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, batch) => ({
      length: buckets[bucket]!,
      indices: Array.from({ length: batchSize }, (_, row) => order[batch * batchSize + row] ?? -1),
    }));
  });
  return random ? random.shuffle(plan) : plan;
}

/**
 * Builds the tensors of a planned batch.
 *
 * @param padId Token id that fills rows up; the mask hides it
 */
export function materialise(planned: PlannedBatch, inputs: readonly EncodedInput[], padId: number): Batch {
  const { length, indices } = planned;
  const size = indices.length;
  const criteria = inputs[0]?.labels.length ?? 0;
  const batch: Batch = {
    size,
    length,
    ids: new Uint32Array(size * length).fill(padId),
    mask: new Uint32Array(size * length),
    types: new Uint32Array(size * length),
    labels: new Float32Array(size * criteria),
    sampleWeight: new Float32Array(size),
    tags: new Uint8Array(size * length * criteria),
    begins: new Uint32Array(size).fill(1),
    sentences: new Uint32Array(size * length).fill(NO_SENTENCE),
    spanWeight: new Float32Array(size * criteria),
    inputs: [...indices],
  };
  indices.forEach((index, row) => {
    if (index < 0) return;
    const { ids, criterion, firstToken, sentences, labels, spans } = inputs[index]!;
    const first = row * length, end = first + ids.length;
    batch.ids.set(ids, first);
    batch.mask.fill(1, first, end);
    if (criterion !== null) batch.types.fill(1, first + firstToken, end);
    batch.labels.set(labels, row * criteria);
    batch.sampleWeight[row] = 1;
    batch.begins[row] = firstToken;
    batch.sentences.set(sentences, first + firstToken);
    spans.forEach(({ ranges, kept }, k) => {
      batch.spanWeight[row * criteria + k] = kept ? 1 : 0;
      for (const { start, end } of ranges) {
        for (let token = start; token < end; token++) {
          batch.tags[(first + token) * criteria + k] = token === start ? 1 : 2;
        }
      }
    });
  });
  return batch;
}
