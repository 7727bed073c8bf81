/**
 * The two agents on one encoder: the criteria agent says which criteria a text meets, the evidence agent where in the
 * text the evidence of each criterion starts and ends. Both are trained jointly, their losses summed.
 */
import { createGraph, type Graph, type GraphOptions, type Target } from "../graph/graph.ts";
import { differentiate } from "../graph/autodiff.ts";
import { dropout, sigmoid } from "../graph/ops/elementwise.ts";
import { linear } from "../graph/ops/linear.ts";
import { BCE, criteriaLoss, recordLoss, spanLoss } from "../graph/ops/losses.ts";
import { pool, type Pooling } from "../graph/ops/pool.ts";
import { scaleLoss } from "../graph/optimizer.ts";
import type { ParameterSet, ParameterSpec } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";
import { encoder, type EncoderConfig, encoderParameters, linearParameters } from "./encoder.ts";
import type { BatchTensors } from "./inputs.ts";

/** What is built on the encoder, and how. */
export interface DualAgentConfig {
  readonly encoder: EncoderConfig;
  /** Number of criteria, K. */
  readonly criteria: number;
  readonly pooling: Pooling;
  readonly criteriaDropout: number;
  readonly evidenceDropout: number;
}

/** The parameters of encoder and heads. */
export function dualAgentParameters(config: DualAgentConfig): ParameterSpec[] {
  const hidden = config.encoder.hidden_size;
  return [
    ...encoderParameters(config.encoder),
    ...linearParameters("criteria_head", config.criteria, hidden),
    ...linearParameters("evidence_head", 2 * config.criteria, hidden),
  ];
}

/** The outputs of the two agents. */
export interface DualAgentOutputs {
  /** Hidden states [B, T, C] after the embeddings and each layer. */
  readonly states: readonly Tensor[];
  /** [B, K] */
  readonly criteriaLogits: Tensor;
  /** [B, T, 2K]: start and end logit of each criterion in turn. */
  readonly evidenceLogits: Tensor;
}

function forward(
  g: Graph,
  config: DualAgentConfig,
  parameter: (name: string) => Tensor,
  inputs: BatchTensors,
): DualAgentOutputs {
  const states = encoder(g, config.encoder, parameter, inputs);
  const hidden = states.at(-1)!;
  const pooled = dropout(g, pool(g, hidden, config.pooling, inputs.mask), config.criteriaDropout);
  const tokens = dropout(g, hidden, config.evidenceDropout);
  const head = (name: string, x: Tensor) =>
    linear(g, { x, weight: parameter(`${name}.weight`), bias: parameter(`${name}.bias`) });
  return {
    states,
    criteriaLogits: head("criteria_head", pooled),
    evidenceLogits: head("evidence_head", tokens),
  };
}

/** Shares one tensor per parameter name within a graph, so that gradients of a parameter used twice add up. */
function parameterLookup(g: Graph, parameters: ParameterSet): (name: string) => Tensor {
  const tensors = new Map<string, Tensor>();
  return (name) => {
    let tensor = tensors.get(name);
    if (!tensor) tensors.set(name, tensor = parameters.tensor(g, name));
    return tensor;
  };
}

/** A micro-batch of training: forward, both losses into the ring, backward into the gradient arena. */
export function trainingGraph(
  target: Target,
  config: DualAgentConfig,
  parameters: ParameterSet,
  bind: (g: Graph) => { inputs: BatchTensors; ring: Tensor; lossScale?: Tensor },
  options: Pick<GraphOptions, "recompute" | "precision"> = {},
): { graph: Graph; outputs: DualAgentOutputs } {
  const g = createGraph(target, true, options);
  const { inputs, ring, lossScale } = bind(g);
  const outputs = forward(g, config, parameterLookup(g, parameters), inputs);
  const criteria = criteriaLoss(g, {
    logits: outputs.criteriaLogits,
    labels: inputs.labels,
    weight: inputs.sampleWeight,
  }, BCE);
  const span = spanLoss(g, outputs.evidenceLogits, {
    mask: inputs.mask,
    start: inputs.spanStart,
    end: inputs.spanEnd,
    weight: inputs.spanWeight,
  });
  recordLoss(g, criteria, span, ring);
  const seeds = new Map([[outputs.criteriaLogits, criteria.dlogits], [outputs.evidenceLogits, span.dlogits]]);
  if (lossScale) scaleLoss(g, seeds.values(), lossScale);
  differentiate(g, seeds, (parameter) => parameters.gradient(g, parameter));
  return { graph: g, outputs };
}

/** What evaluation reads back. */
export interface EvaluationOutputs {
  /** [B, K] */
  readonly probabilities: Tensor;
  /** [B, T, 2K] */
  readonly evidenceLogits: Tensor;
  readonly states: readonly Tensor[];
}

/** Evaluation of a batch: forward without dropout, both losses into the ring, probabilities and span logits kept. */
export function evaluationGraph(
  target: Target,
  config: DualAgentConfig,
  parameters: ParameterSet,
  bind: (g: Graph) => { inputs: BatchTensors; ring: Tensor },
  options: { keepStates?: boolean } = {},
): { graph: Graph; outputs: EvaluationOutputs } {
  const g = createGraph(target, false, { keepAll: options.keepStates ?? false });
  const { inputs, ring } = bind(g);
  const { states, criteriaLogits, evidenceLogits } = forward(g, config, parameterLookup(g, parameters), inputs);
  const criteria = criteriaLoss(g, {
    logits: criteriaLogits,
    labels: inputs.labels,
    weight: inputs.sampleWeight,
  }, BCE);
  const span = spanLoss(g, evidenceLogits, {
    mask: inputs.mask,
    start: inputs.spanStart,
    end: inputs.spanEnd,
    weight: inputs.spanWeight,
  });
  recordLoss(g, criteria, span, ring);
  const outputs = { probabilities: sigmoid(g, criteriaLogits), evidenceLogits, states };
  g.keep(evidenceLogits);
  return { graph: g, outputs };
}
