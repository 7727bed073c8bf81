/**
 * The model that every engine of the step benchmark runs: a BERT encoder without pooler and the two linear heads, the
 * criteria agent on CLS and start and end logits on every token; weights, batch and losses are the same in all.
 */
import { type Batch, NO_SENTENCE } from "../../lib/data/batches.ts";

/** Sizes of model and batch. */
export interface ModelShape {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly ffn: number;
  readonly vocab: number;
  readonly batch: number;
  /** Tokens of every text; none is padding. */
  readonly length: number;
  readonly criteria: number;
}

/** Rows of the position table. */
export const POSITIONS = 512;
/** Epsilon of LayerNorm. */
export const LAYER_NORM_EPSILON = 1e-12;
/** AdamW as all engines run it; biases and LayerNorm parameters do not decay. */
export const ADAMW = { learningRate: 1e-4, weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/** A parameter by its name in checkpoints. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly decay: boolean;
}

const linear = (name: string, outputs: number, inputs: number): Parameter[] => [
  { name: `${name}.weight`, shape: [outputs, inputs], decay: true },
  { name: `${name}.bias`, shape: [outputs], decay: false },
];

const norm = (name: string, size: number): Parameter[] => [
  { name: `${name}.weight`, shape: [size], decay: false },
  { name: `${name}.bias`, shape: [size], decay: false },
];

const table = (name: string, rows: number, hidden: number): Parameter => ({
  name: `embeddings.${name}.weight`,
  shape: [rows, hidden],
  decay: true,
});

/** All parameters, as Hugging Face names them; linear weights are [outputs, inputs]. */
export function parameters({ layers, hidden, ffn, vocab, length, criteria }: ModelShape): Parameter[] {
  return [
    table("word_embeddings", vocab, hidden),
    table("position_embeddings", Math.max(POSITIONS, length), hidden),
    table("token_type_embeddings", 2, hidden),
    ...norm("embeddings.LayerNorm", hidden),
    ...Array.from({ length: layers }, (_, i) => {
      const layer = `encoder.layer.${i}`;
      return [
        ...["query", "key", "value"].flatMap((part) => linear(`${layer}.attention.self.${part}`, hidden, hidden)),
        ...linear(`${layer}.attention.output.dense`, hidden, hidden),
        ...norm(`${layer}.attention.output.LayerNorm`, hidden),
        ...linear(`${layer}.intermediate.dense`, ffn, hidden),
        ...linear(`${layer}.output.dense`, hidden, ffn),
        ...norm(`${layer}.output.LayerNorm`, hidden),
      ];
    }).flat(),
    ...linear("criteria_head", criteria, hidden),
    ...linear("evidence_head", 2 * criteria, hidden),
  ];
}

/** 32 mixed bits of a number (MurmurHash3's finalizer): the same in any language. */
function mixed(value: number): number {
  let x = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** FNV-1a of a name. */
function nameSeed(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/**
 * Elements of a parameter: uniform in ±0.08 (a standard deviation of 0.046) by a hash of name and place; gains of
 * LayerNorm lie that close to 1. `tests/peers/step_speed.py` has the same.
 */
export function weights({ name, shape }: Pick<Parameter, "name" | "shape">): Float32Array<ArrayBuffer> {
  const seed = nameSeed(name);
  const centre = name.endsWith("LayerNorm.weight") ? 1 : 0;
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
  for (let i = 0; i < values.length; i++) {
    values[i] = centre + 0.16 * ((mixed((seed + i) >>> 0) >>> 8) / 2 ** 24 - 0.5);
  }
  return values;
}

/** What is trained on. */
export interface Targets {
  /** [B, T], between 1 and the vocabulary. */
  readonly ids: Int32Array<ArrayBuffer>;
  /** [B, K], 0 or 1. */
  readonly labels: Float32Array<ArrayBuffer>;
  /** [B, K]: the token at which each criterion's span starts, and its last. */
  readonly starts: Int32Array<ArrayBuffer>;
  readonly ends: Int32Array<ArrayBuffer>;
}

/** The batch of a shape. */
export function targets({ batch, length, vocab, criteria }: ModelShape): Targets {
  const pairs = batch * criteria;
  const starts = Int32Array.from({ length: pairs }, (_, i) => 1 + mixed(2_000_000 + i) % (length - 1));
  return {
    ids: Int32Array.from({ length: batch * length }, (_, i) => 1 + mixed(i) % (vocab - 1)),
    labels: Float32Array.from({ length: pairs }, (_, i) => mixed(1_000_000 + i) % 2),
    starts,
    ends: starts.map((start, i) => Math.min(length - 1, start + mixed(3_000_000 + i) % 4)),
  };
}

/** The batch in the form that Winnow takes. */
export function winnowBatch(shape: ModelShape): Batch {
  const { batch, length, criteria } = shape;
  const { ids, labels, starts, ends } = targets(shape);
  const tokens = batch * length;
  const tags = new Uint8Array(tokens * criteria);
  starts.forEach((start, pair) => {
    const b = Math.floor(pair / criteria), k = pair % criteria;
    for (let t = start; t <= ends[pair]!; t++) tags[(b * length + t) * criteria + k] = t === start ? 1 : 2;
  });
  return {
    size: batch,
    length,
    ids: Uint32Array.from(ids),
    mask: new Uint32Array(tokens).fill(1),
    types: new Uint32Array(tokens),
    labels,
    sampleWeight: new Float32Array(batch).fill(1),
    tags,
    begins: new Uint32Array(batch).fill(1),
    sentences: new Uint32Array(tokens).fill(NO_SENTENCE),
    spanWeight: new Float32Array(batch * criteria).fill(1),
    inputs: Array.from({ length: batch }, (_, i) => i),
  };
}

/** Floating-point operations of the matrix products of a forward pass. */
export function forwardFlops({ layers, hidden, ffn, batch, length }: ModelShape): number {
  return layers * (8 * hidden * hidden + 4 * hidden * ffn + 4 * length * hidden) * batch * length;
}
