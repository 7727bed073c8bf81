/**
 * Batches of texts of like length, so that hardly a FLOP is spent on padding. The lengths of rows come in small steps: a
 * program per length costs milliseconds, padding costs in every step.
 *
 * Every batch has the full batch size; the rows that are missing in the last one are filler, which the mask and the
 * weights take out of attention, loss and metrics.
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
  /** Without it, inputs go from the longest to the shortest. */
  shuffle?: { seed: number; epoch: number };
}

/** Marks tokens that are in no sentence of the post. */
export const NO_SENTENCE = 0xffffffff;

const SHORTEST = 8;

/** Steps of a sixteenth to a thirty-second of the length, so that rounding up costs 3 % at most. */
const stepAfter = (length: number) => Math.max(1, 2 ** (Math.floor(Math.log2(length)) - 4));

/**
 * Row lengths for inputs of up to `maxLength` tokens, ascending, the last being `maxLength`.
 *
 * @throws {RangeError} when `maxLength` is not a positive integer
 */
export function lengthBuckets(maxLength: number): number[] {
  if (!(Number.isInteger(maxLength) && maxLength > 0)) {
    throw new RangeError(`Expected maxLength to be an integer greater than 0 but found ${maxLength}`);
  }
  const lengths: number[] = [];
  for (let length = SHORTEST; length < maxLength; length += stepAfter(length)) lengths.push(length);
  return [...lengths, maxLength];
}

/** Batches of a group that is sorted by length: few groups would make every epoch's batches alike, many much padding. */
const GROUP_BATCHES = 50;
/** Groups of an epoch at least. */
const GROUPS = 2;

/** Inputs in the order in which they are cut into batches: groups, each from the longest input to the shortest. */
function lengthGrouped(
  inputs: readonly EncodedInput[],
  batchSize: number,
  random: ReturnType<typeof randomStream> | undefined,
): number[] {
  const byLength = (indices: number[]) => indices.sort((a, b) => inputs[b]!.ids.length - inputs[a]!.ids.length);
  const all = [...inputs.keys()];
  if (!random) return byLength(all);
  const shuffled = random.shuffle(all);
  const batches = Math.max(1, Math.min(Math.floor(inputs.length / (GROUPS * batchSize)), GROUP_BATCHES));
  const size = batches * batchSize;
  return Array.from(
    { length: Math.ceil(all.length / size) },
    (_, group) => byLength(shuffled.slice(group * size, (group + 1) * size)),
  ).flat();
}

/**
 * Plans the batches of an epoch: inputs of like length together, rows of the smallest bucket that holds the longest. With
 * `shuffle`, inputs are shuffled, sorted within groups of up to 50 batches, and the batches shuffled, by (seed, epoch)
 * alone (`LengthGroupedSampler` of transformers); every epoch of the same inputs has the same number of batches.
 *
 * @throws {RangeError} when the batch size is not a positive integer, or an input longer than the last bucket
 */
export function planBatches(
  inputs: readonly EncodedInput[],
  { batchSize, buckets, shuffle }: BatchOptions,
): BatchPlan {
  if (!(Number.isInteger(batchSize) && batchSize > 0)) {
    throw new RangeError(`Expected batchSize to be an integer greater than 0 but found ${batchSize}`);
  }
  const random = shuffle && randomStream(shuffle.seed, "batches", shuffle.epoch);
  const order = lengthGrouped(inputs, batchSize, random);
  const plan = Array.from({ length: Math.ceil(order.length / batchSize) }, (_, batch) => {
    const indices = Array.from({ length: batchSize }, (_, row) => order[batch * batchSize + row] ?? -1);
    const longest = Math.max(...indices.map((index) => inputs[index]?.ids.length ?? 0));
    const length = buckets.find((bucket) => bucket >= longest);
    if (length === undefined) {
      throw new RangeError(`Expected inputs of at most ${buckets.at(-1)} tokens but found one of ${longest}`);
    }
    return { length, indices };
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
