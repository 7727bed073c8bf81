/** The engine of the step benchmark's model, as training and evaluation run it: the parameters of `weights()`. */
import type { Gpu } from "../lib/gpu/device.ts";
import { BCE } from "../lib/graph/ops/losses.ts";
import { type Engine, openEngine } from "../lib/train/engine.ts";
import { type EngineOptions, type EnginePlan, planEngine } from "../lib/train/engine_plan.ts";
import type { Tuning } from "../lib/model/tuning.ts";
import { ADAMW, LAYER_NORM_EPSILON, type ModelShape, POSITIONS, weights } from "./peers/encoder_model.ts";

/** What may differ from the plain model. */
export interface StepModel {
  /** Probability of every dropout; 0 unless given. */
  readonly dropout?: number;
  /** What of it is trained; all unless given. */
  readonly tuning?: Tuning;
}

/** What an engine for batches of a shape is built for. */
export function stepEngineOptions(shape: ModelShape, { dropout = 0, tuning }: StepModel = {}): EngineOptions {
  const { weightDecay, beta1, beta2, epsilon } = ADAMW;
  return {
    model: {
      encoder: {
        model_type: "bert",
        vocab_size: shape.vocab,
        hidden_size: shape.hidden,
        num_hidden_layers: shape.layers,
        num_attention_heads: shape.heads,
        intermediate_size: shape.ffn,
        max_position_embeddings: Math.max(POSITIONS, shape.length),
        type_vocab_size: 2,
        layer_norm_eps: LAYER_NORM_EPSILON,
        hidden_act: "gelu",
        hidden_dropout_prob: dropout,
        attention_probs_dropout_prob: dropout,
        pad_token_id: 0,
      },
      criteria: shape.criteria,
      activation: "gelu",
      pooling: "cls",
      criteriaHead: { type: "linear", hidden: 256, dropout },
      evidenceHead: { type: "start_end_linear", hidden: 128, dropout, maxSpanTokens: 64, maxSpans: 3 },
      coupling: null,
      loss: { form: BCE, weighted: false, adaptive: false },
      ...(tuning ? { tuning } : {}),
    },
    optimizer: { name: "adamw", weightDecay, beta1, beta2, epsilon, maxGradNorm: 1 },
    batchSize: shape.batch,
    lengths: [shape.length],
  };
}

/** Opens an engine for batches of a shape. */
export const openStepEngine = (gpu: Gpu, shape: ModelShape): Promise<Engine> =>
  openWithWeights(gpu, planEngine(gpu, stepEngineOptions(shape)));

/** Opens the engine of a plan of this model. */
export async function openWithWeights(gpu: Gpu, plan: EnginePlan): Promise<Engine> {
  const engine = await openEngine(gpu, plan);
  engine.load("parameter", (name, shape) => weights({ name, shape }));
  return engine;
}
