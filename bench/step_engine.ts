/** The engine of the step benchmark's model, as training and evaluation run it: the parameters of `weights()`, no dropout. */
import type { Gpu } from "../lib/gpu/device.ts";
import { BCE } from "../lib/graph/ops/losses.ts";
import { type Engine, openEngine } from "../lib/train/engine.ts";
import { planEngine } from "../lib/train/engine_plan.ts";
import { ADAMW, LAYER_NORM_EPSILON, type ModelShape, POSITIONS, weights } from "./peers/encoder_model.ts";

/** Opens an engine for batches of a shape. */
export async function openStepEngine(gpu: Gpu, shape: ModelShape): Promise<Engine> {
  const { weightDecay, beta1, beta2, epsilon } = ADAMW;
  const plan = planEngine(gpu, {
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
        hidden_dropout_prob: 0,
        attention_probs_dropout_prob: 0,
        pad_token_id: 0,
      },
      criteria: shape.criteria,
      activation: "gelu",
      pooling: "cls",
      criteriaHead: { type: "linear", hidden: 256, dropout: 0 },
      evidenceHead: { type: "start_end_linear", hidden: 128, dropout: 0, maxSpanTokens: 64, maxSpans: 3 },
      coupling: null,
      loss: { form: BCE, weighted: false, adaptive: false },
    },
    optimizer: { name: "adamw", weightDecay, beta1, beta2, epsilon, maxGradNorm: 1 },
    batchSize: shape.batch,
    lengths: [shape.length],
  });
  const engine = await openEngine(gpu, plan);
  engine.load("parameter", (name, shape) => weights({ name, shape }));
  return engine;
}
