/** What an evidence head is: where in a text the evidence of each criterion stands, any number of spans or none. */
import type { Graph } from "../../graph/graph.ts";
import type { Loss, ParameterGradient } from "../../graph/ops/losses.ts";
import type { ParameterSpec } from "../../graph/parameters.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { ComponentOptions, ParameterLookup } from "../layers.ts";

/** Sizes of an evidence head beside those of every component. */
export interface EvidenceOptions extends ComponentOptions {
  /** Tokens of the longest span that is scored or given. */
  readonly maxSpanTokens: number;
  /** Spans that are given of each text and criterion at most. */
  readonly maxSpans: number;
}

/** What evidence heads read of a batch. */
export interface EvidenceInputs {
  /** [B, T] */
  readonly mask: Tensor;
  /** [B]: 1 + the last real token of each text. */
  readonly limits: Tensor;
  /** [B]: the first token that evidence may begin at; before it stand [CLS] and, in a pair, the criterion. */
  readonly begins: Tensor;
  /** [B, T] of 32-bit words: the sentence of each token, 0xffffffff for none. */
  readonly sentences: Tensor;
  /** [B, T, K] of 32-bit words: 0 outside, 1 the first token of a gold span, 2 a later one. */
  readonly tags: Tensor;
  /** [B, K], 0 where the evidence is unknown. */
  readonly spanWeight: Tensor;
}

/** The loss of an evidence head, with the derivatives of parameters that the loss itself has. */
export interface EvidenceLoss extends Loss {
  readonly parameters?: readonly ParameterGradient[];
}

/** A span of tokens with its score. */
export interface ScoredSpan {
  /** First token. */
  readonly first: number;
  /** Last token, inclusive. */
  readonly last: number;
  /** How much more likely than "no evidence" the head holds it: above 0 it is given, unless a threshold says otherwise. */
  readonly score: number;
}

/** What `read` is given of one batch: the tensors that `decode` named, and the inputs on the CPU. */
export interface DecodedBatch {
  /** The tensors of `decode`, in its order. */
  readonly values: readonly Float32Array<ArrayBuffer>[];
  readonly size: number;
  readonly length: number;
  /** [B, T] as packed. */
  readonly sentences: Uint32Array;
}

/** One entry of the registry of evidence heads. */
export interface EvidenceHeadDefinition {
  /** One line for people. */
  readonly summary: string;
  /** Parameters under `name`. */
  parameters(name: string, options: EvidenceOptions): ParameterSpec[];
  /** Tokens [B, T, C] → logits, whose shape is the head's own. */
  forward(
    g: Graph,
    x: Tensor,
    inputs: EvidenceInputs,
    parameter: ParameterLookup,
    name: string,
    options: EvidenceOptions,
  ): Tensor;
  /** The loss of the logits against the gold spans, weighted by `spanWeight` and `StepScalars.spanScale`. */
  loss(
    g: Graph,
    logits: Tensor,
    inputs: EvidenceInputs,
    parameter: ParameterLookup,
    name: string,
    options: EvidenceOptions,
  ): EvidenceLoss;
  /** The tensors that evaluation reads back. */
  decode(
    g: Graph,
    logits: Tensor,
    inputs: EvidenceInputs,
    parameter: ParameterLookup,
    name: string,
    options: EvidenceOptions,
  ): Tensor[];
  /** The spans of every (text, criterion) [B·K], best first, none of which share a token. */
  read(batch: DecodedBatch, options: EvidenceOptions): ScoredSpan[][];
}
