/**
 * The two agents on one encoder: the criteria agent says which criteria a text meets, the evidence agent where in the
 * text the evidence of each stands. Both are trained jointly, their losses summed. What they are made of stands in the
 * registries of poolings, criteria heads, evidence heads, couplings and losses.
 */
import { createGraph, type Graph, type GraphOptions, type Target } from "../graph/graph.ts";
import { differentiate } from "../graph/autodiff.ts";
import type { ActivationName } from "../graph/ops/activation.ts";
import { sigmoid } from "../graph/ops/elementwise.ts";
import { addConfidence, criteriaLoss, type CriteriaLossForm, type Loss, recordLoss } from "../graph/ops/losses.ts";
import { scaleLoss } from "../graph/optimizer.ts";
import type { ParameterSet, ParameterSpec } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";
import { adversarialPasses } from "./adversarial.ts";
import { couple, type CouplingOptions, couplingParameters } from "./couplings/couple.ts";
import { CRITERIA_HEADS, type CriteriaHeadName } from "./criteria_heads/registry.ts";
import { encoder, type EncoderConfig, type EncoderInputs } from "./encoder.ts";
import type {
  EvidenceHeadDefinition,
  EvidenceInputs,
  EvidenceLoss,
  EvidenceOptions,
} from "./evidence_heads/evidence_head.ts";
import { EVIDENCE_HEADS, type EvidenceHeadName } from "./evidence_heads/registry.ts";
import type { BatchTensors } from "./inputs.ts";
import type { ComponentOptions, ParameterLookup } from "./layers.ts";
import { type PoolingName, POOLINGS } from "./poolings/registry.ts";
import { tunedEncoderParameters, type Tuning } from "./tuning.ts";

/** The criteria loss of a model. */
export interface CriteriaLossConfig {
  readonly form: CriteriaLossForm;
  /** Whether positive labels have weights of their own. */
  readonly weighted: boolean;
  /** Whether each criterion has its own focusing factor, by its running confidence. */
  readonly adaptive: boolean;
}

/** What is built on the encoder, and how. */
export interface DualAgentConfig {
  readonly encoder: EncoderConfig;
  /** Number of criteria, K. */
  readonly criteria: number;
  /** Activation of the heads' hidden layers. */
  readonly activation: ActivationName;
  readonly pooling: PoolingName;
  readonly criteriaHead: { readonly type: CriteriaHeadName; readonly hidden: number; readonly dropout: number };
  readonly evidenceHead: {
    readonly type: EvidenceHeadName;
    readonly hidden: number;
    readonly dropout: number;
    /** Tokens of the longest span. */
    readonly maxSpanTokens: number;
    /** Spans of a text and criterion at most. */
    readonly maxSpans: number;
  };
  /** How the agents see each other; null: not at all. */
  readonly coupling: CouplingOptions | null;
  readonly loss: CriteriaLossConfig;
  /** What of the encoder is trained: everything unless given. */
  readonly tuning?: Tuning;
}

/** The evidence head of a configuration. */
export function evidenceHeadOf({ evidenceHead }: DualAgentConfig): EvidenceHeadDefinition {
  return EVIDENCE_HEADS[evidenceHead.type];
}

function criteriaOptions({ encoder, criteria, activation, criteriaHead }: DualAgentConfig): ComponentOptions {
  const { hidden, dropout } = criteriaHead;
  return { width: encoder.hidden_size, criteria, hidden, dropout, activation };
}

/** The options of the evidence head. */
export function evidenceOptions({ encoder, criteria, activation, evidenceHead }: DualAgentConfig): EvidenceOptions {
  const { type: _, ...rest } = evidenceHead;
  return { width: encoder.hidden_size, criteria, activation, ...rest };
}

/** The parameters of encoder, pooling, coupling and heads. */
export function dualAgentParameters(config: DualAgentConfig): ParameterSpec[] {
  return [...tunedEncoderParameters(config.encoder, config.tuning), ...agentParameters(config)];
}

/** The parameters of what stands behind the encoder. */
export function agentParameters(config: DualAgentConfig): ParameterSpec[] {
  const width = config.encoder.hidden_size;
  return [
    ...POOLINGS[config.pooling].parameters("criteria_pooling", width),
    ...(config.coupling ? couplingParameters(config.coupling, width) : []),
    ...CRITERIA_HEADS[config.criteriaHead.type].parameters("criteria_head", criteriaOptions(config)),
    ...evidenceHeadOf(config).parameters("evidence_head", evidenceOptions(config)),
  ];
}

/** The outputs of the two agents. */
export interface DualAgentOutputs {
  /** Hidden states [B, T, C] after the embeddings and each layer. */
  readonly states: readonly Tensor[];
  /** [B, K] */
  readonly criteriaLogits: Tensor;
  /** In the shape of the evidence head. */
  readonly evidenceLogits: Tensor;
}

function forward(
  g: Graph,
  config: DualAgentConfig,
  parameter: ParameterLookup,
  inputs: BatchTensors & EncoderInputs,
): DualAgentOutputs {
  const { tuning } = config;
  const states = encoder(g, config.encoder, parameter, inputs, tuning?.mode === "lora" ? tuning : undefined);
  return agents(g, config, states, parameter, inputs);
}

/** Everything behind the encoder: pooling, coupling and both heads on its hidden states. */
export function agents(
  g: Graph,
  config: DualAgentConfig,
  states: readonly Tensor[],
  parameter: ParameterLookup,
  inputs: EvidenceInputs,
): DualAgentOutputs {
  const tokens = states.at(-1)!, { mask } = inputs;
  const c = POOLINGS[config.pooling].forward(g, states, mask, parameter, "criteria_pooling");
  const seen = config.coupling
    ? couple(g, { c, tokens, mask }, parameter, { ...config.coupling, activation: config.activation })
    : { criteria: c, evidence: tokens };
  const head = CRITERIA_HEADS[config.criteriaHead.type];
  return {
    states,
    criteriaLogits: head.forward(g, seen.criteria, parameter, "criteria_head", criteriaOptions(config)),
    evidenceLogits: evidenceHeadOf(config)
      .forward(g, seen.evidence, inputs, parameter, "evidence_head", evidenceOptions(config)),
  };
}

/** Shares one tensor per parameter name within a graph, so that gradients of a parameter used twice add up. */
function parameterLookup(g: Graph, parameters: ParameterSet): ParameterLookup {
  const tensors = new Map<string, Tensor>();
  return (name) => {
    let tensor = tensors.get(name);
    if (!tensor) tensors.set(name, tensor = parameters.tensor(g, name));
    return tensor;
  };
}

/** What a graph reads beside its parameters. */
export interface BoundTensors {
  readonly inputs: BatchTensors;
  /** The metrics ring, [slots, 8]. */
  readonly ring: Tensor;
  /** [K] */
  readonly positiveWeight: Tensor;
  /** [3K] */
  readonly confidence: Tensor;
  /** [2], see `clip_decide.wgsl`. */
  readonly lossScale: Tensor;
}

function losses(
  g: Graph,
  config: DualAgentConfig,
  { criteriaLogits: logits, evidenceLogits }: DualAgentOutputs,
  { inputs, positiveWeight, confidence }: BoundTensors,
  parameter: ParameterLookup,
): { criteria: Loss; evidence: EvidenceLoss } {
  const { form, weighted, adaptive } = config.loss;
  const { labels, sampleWeight: weight } = inputs;
  return {
    criteria: criteriaLoss(g, {
      logits,
      labels,
      weight,
      ...(weighted ? { positiveWeight } : {}),
      ...(adaptive ? { confidence } : {}),
    }, form),
    evidence: evidenceHeadOf(config)
      .loss(g, evidenceLogits, inputs, parameter, "evidence_head", evidenceOptions(config)),
  };
}

/** How a micro-batch is trained on. */
export interface TrainingGraphOptions extends Pick<GraphOptions, "recompute" | "precision"> {
  /** Size of the adversarial perturbation of the word embeddings; 0, the default, for none. */
  readonly adversarialEpsilon?: number;
}

/**
 * A micro-batch of training: forward, both losses into the ring, backward into the gradient arena; where words are
 * attacked, forward and backward once more. In 16 bits the gradients are those of the loss times its scale.
 */
export function trainingGraph(
  target: Target,
  config: DualAgentConfig,
  parameters: ParameterSet,
  bind: (g: Graph) => BoundTensors,
  { adversarialEpsilon: epsilon = 0, recompute = "none", precision = "f32" }: TrainingGraphOptions = {},
): { graph: Graph } {
  const g = createGraph(target, true, { recompute, precision });
  const bound = bind(g);
  const { inputs } = bound;
  const parameter = parameterLookup(g, parameters);
  const gradientOf = (parameter: Tensor) => parameters.gradient(g, parameter);
  const words = { word: parameter("embeddings.word_embeddings.weight"), wordSegments: inputs.wordSegments, epsilon };
  adversarialPasses(g, words, (perturbation, attacked) => {
    const outputs = forward(g, config, parameter, { ...inputs, ...perturbation });
    const { criteriaLogits, evidenceLogits } = outputs;
    const { criteria, evidence } = losses(g, config, outputs, bound, parameter);
    if (!attacked) {
      recordLoss(g, criteria, evidence, bound.ring);
      if (config.loss.adaptive) {
        addConfidence(g, bound.confidence, {
          logits: criteriaLogits,
          labels: inputs.labels,
          weight: inputs.sampleWeight,
        });
      }
    }
    const own = evidence.parameters ?? [];
    if (precision === "f16") {
      const derivatives = [criteria.dlogits, evidence.dlogits, ...own.map(({ derivative }) => derivative)];
      scaleLoss(g, derivatives, bound.lossScale);
    }
    for (const { parameter, gradient } of own) {
      if (parameter.requiresGradient) gradient(gradientOf(parameter));
    }
    const seeds = new Map([[criteriaLogits, criteria.dlogits], [evidenceLogits, evidence.dlogits]]);
    return differentiate(g, seeds, gradientOf);
  });
  return { graph: g };
}

/** What evaluation reads back. */
export interface EvaluationOutputs {
  /** [B, K] */
  readonly probabilities: Tensor;
  /** What the evidence head decodes spans from. */
  readonly decoded: readonly Tensor[];
  /** In the shape of the evidence head; kept with the hidden states only. */
  readonly evidenceLogits: Tensor;
  readonly states: readonly Tensor[];
}

/** Evaluation of a batch: forward without dropout, both losses into the ring, probabilities and spans kept. */
export function evaluationGraph(
  target: Target,
  config: DualAgentConfig,
  parameters: ParameterSet,
  bind: (g: Graph) => BoundTensors,
  options: { keepStates?: boolean } = {},
): { graph: Graph; outputs: EvaluationOutputs } {
  const g = createGraph(target, false, { keepAll: options.keepStates ?? false });
  const bound = bind(g);
  const parameter = parameterLookup(g, parameters);
  const outputs = forward(g, config, parameter, bound.inputs);
  const { criteria, evidence } = losses(g, config, outputs, bound, parameter);
  recordLoss(g, criteria, evidence, bound.ring);
  const { states, criteriaLogits, evidenceLogits } = outputs;
  const decoded = evidenceHeadOf(config)
    .decode(g, evidenceLogits, bound.inputs, parameter, "evidence_head", evidenceOptions(config));
  decoded.forEach((tensor) => g.keep(tensor));
  return { graph: g, outputs: { probabilities: sigmoid(g, criteriaLogits), decoded, evidenceLogits, states } };
}

/** The part of evaluation that needs no labels: forward without dropout, probabilities and what spans are decoded from. */
export function predictionGraph(
  target: Target,
  config: DualAgentConfig,
  parameters: ParameterSet,
  bind: (g: Graph) => BatchTensors,
): { graph: Graph; outputs: Pick<EvaluationOutputs, "probabilities" | "decoded"> } {
  const g = createGraph(target, false);
  const inputs = bind(g);
  const parameter = parameterLookup(g, parameters);
  const { criteriaLogits, evidenceLogits } = forward(g, config, parameter, inputs);
  const decoded = evidenceHeadOf(config)
    .decode(g, evidenceLogits, inputs, parameter, "evidence_head", evidenceOptions(config));
  const probabilities = sigmoid(g, criteriaLogits);
  for (const tensor of [probabilities, ...decoded]) g.keep(tensor);
  return { graph: g, outputs: { probabilities, decoded } };
}
