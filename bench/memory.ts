/**
 * GPU memory that a training step is planned to take, by precision and recompute level: `deno task bench:memory [--json]`. BERT-base
 * with batches of 8 texts of 512 tokens; nothing is allocated.
 */
import { parseArgs } from "node:util";
import { openGpu } from "../lib/gpu/device.ts";
import { RECOMPUTE_LEVELS } from "../lib/graph/graph.ts";
import { linearAgents } from "../tests/support/agents.ts";
import { planEngine } from "../lib/train/engine_plan.ts";

const { values } = parseArgs({ options: { json: { type: "boolean", default: false } } });
const gpu = await openGpu();
const levels = (["f32", "f16"] as const).flatMap((precision) =>
  RECOMPUTE_LEVELS.map((recompute) => ({ precision, recompute }))
);
const rows = levels.map(({ precision, recompute }) => {
  const { memory } = planEngine(gpu, {
    model: linearAgents({
      encoder: {
        model_type: "bert",
        vocab_size: 30522,
        hidden_size: 768,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        intermediate_size: 3072,
        max_position_embeddings: 512,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        hidden_act: "gelu",
        hidden_dropout_prob: 0.1,
        attention_probs_dropout_prob: 0.1,
        pad_token_id: 0,
      },
      criteria: 9,
      dropout: 0.1,
    }),
    optimizer: { name: "adamw", weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
    batchSize: 8,
    lengths: [512],
    recompute,
    precision,
  });
  return { precision, recompute, ...memory };
});
if (values.json) {
  console.log(JSON.stringify({ bench: "memory", adapter: gpu.name, rows }));
} else {
  console.table(rows);
}
Deno.exit(0);
