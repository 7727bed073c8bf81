/** The step benchmark's model in Winnow: its engine, as training and evaluation run it. Gradients are clipped as well. */
import { openGpu } from "../../lib/gpu/device.ts";
import { BCE } from "../../lib/graph/ops/losses.ts";
import { openEngine } from "../../lib/train/engine.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import { ADAMW, LAYER_NORM_EPSILON, type ModelShape, POSITIONS, weights, winnowBatch } from "./encoder_model.ts";
import { type Contender, type Mode, serve } from "./protocol.ts";

async function open(shape: ModelShape, mode: Mode): Promise<Contender> {
  const gpu = await openGpu("auto");
  const { learningRate, weightDecay, beta1, beta2, epsilon } = ADAMW;
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
  const batch = winnowBatch(shape);
  const lambdas = { lambdaClass: 1, lambdaSpan: 1 };
  let done = 0;
  return {
    device: gpu.name,
    async run(steps) {
      if (mode === "forward") {
        const { criteriaLoss, spanLoss } = await engine.evaluate(new Array(steps).fill(batch), lambdas);
        return criteriaLoss + spanLoss;
      }
      for (let i = 0; i < steps; i++) {
        done++;
        engine.step([batch], { seed: 1, step: done, learningRate, draw: done, ...lambdas });
      }
      return (await engine.drain()).at(-1)!.loss;
    },
  };
}

await serve(open);
