/**
 * Recomputation in the backward pass: every level gives the bits of a graph that keeps everything, with dropout, and
 * plans less memory.
 */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import { createGraph, RECOMPUTE_LEVELS, targetOf } from "../../lib/graph/graph.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import { linearAgents } from "../support/agents.ts";
import { largestDifference, norm } from "../support/golden.ts";
import { constant, parameter, runGraph } from "../support/graph_runner.ts";
import { dropout, tanh } from "../../lib/graph/ops/elementwise.ts";
import { linear } from "../../lib/graph/ops/linear.ts";
import type { Graph } from "../../lib/graph/graph.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import {
  openSmall,
  planSmall,
  randomBatch,
  readArray,
  type SmallOptions,
  stepOptions,
} from "../support/small_engine.ts";

const gpu = await openGpu();

/** Models that differ in family, activation, head size and depth; all drop out everywhere. */
const MODELS: Record<string, SmallOptions> = {
  "BERT of four layers, erf GELU": { encoder: { num_hidden_layers: 4 } },
  "RoBERTa of three layers, tanh GELU": {
    encoder: { model_type: "roberta", num_hidden_layers: 3, hidden_act: "gelu_new", type_vocab_size: 1 },
    model: { pooling: "mean" },
  },
  "DistilBERT of two layers, ReLU, odd widths": {
    encoder: {
      model_type: "distilbert",
      type_vocab_size: 0,
      hidden_act: "relu",
      hidden_size: 24,
      num_attention_heads: 3,
      intermediate_size: 40,
    },
  },
};

for (const [name, model] of Object.entries(MODELS)) {
  const options = { ...model, dropout: 0.2, batchSize: 8 };
  const train = async (recompute: (typeof RECOMPUTE_LEVELS)[number]) => {
    const engine = await openSmall(gpu, { ...options, recompute });
    try {
      engine.gradient(randomBatch("recompute", { rows: 8 }), stepOptions(1));
      const gradients = await readArray(engine, "gradient");
      for (let step = 1; step <= 3; step++) {
        engine.step([randomBatch(`recompute ${step}`, { rows: 8, length: 13 })], stepOptions(step));
      }
      const metrics = await engine.drain();
      return { gradients, metrics, parameters: await readArray(engine, "parameter") };
    } finally {
      engine.close();
    }
  };

  Deno.test(`recomputation changes no bit of the gradient: ${name}`, async () => {
    const kept = await train("none");
    assert.ok(norm([...kept.gradients.values()].map(norm)) > 0);
    for (const level of RECOMPUTE_LEVELS.slice(1)) {
      const again = await train(level);
      for (const array of ["gradients", "parameters"] as const) {
        assert.deepEqual([...again[array].keys()], [...kept[array].keys()]);
        for (const [tensor, values] of kept[array]) {
          assert.equal(largestDifference(again[array].get(tensor)!, values), 0, `${level}: ${array} of ${tensor}`);
        }
      }
      assert.deepEqual(again.metrics, kept.metrics);
    }
  });

  Deno.test(`recomputation lowers the planned memory: ${name}`, () => {
    const bytes = (recompute: (typeof RECOMPUTE_LEVELS)[number]) => {
      const { memory } = planSmall(gpu, { ...options, recompute, lengths: [64] });
      return memory;
    };
    const [kept, ...levels] = RECOMPUTE_LEVELS.map(bytes);
    for (const { activations, total, buffers } of levels) {
      assert.ok(activations < 0.9 * kept!.activations, `${activations} of ${kept!.activations}`);
      assert.equal(total - activations - buffers, kept!.total - kept!.activations - kept!.buffers);
    }
  });
}

Deno.test("BERT-base with texts of 512 tokens: each level plans less than the one before", () => {
  const bytes = RECOMPUTE_LEVELS.map((recompute) =>
    planEngine(gpu, {
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
    }, { ...targetOf(gpu), preset: "tiled" }).memory.activations
  );
  const [kept, feedForward, layer] = bytes as [number, number, number];
  // Of a layer's 16 units of M x C: feed_forward keeps 8, layer 1.
  assert.ok(feedForward < 0.6 * kept && layer < 0.25 * kept, bytes.join(", "));
});

Deno.test("recomputed ops drop out the same elements, and draws behind them are not disturbed", async () => {
  const [rows, columns] = [5, 8];
  const values = (scale: number, count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i * scale));
  const run = (wrap: (g: Graph, body: () => Tensor) => Tensor) =>
    runGraph(
      gpu,
      {
        inputs: {
          x: parameter([rows, columns], values(0.7, rows * columns)),
          weight: parameter([columns, columns], values(1.3, columns * columns)),
          dy: constant([rows, columns], values(0.4, rows * columns)),
        },
        build: (g, { x, weight, dy }) => {
          // A segment in a segment, whose input is used again behind it.
          const inner = (input: Tensor) => wrap(g, () => dropout(g, tanh(g, input), 0.4));
          const middle = wrap(g, () => linear(g, { x: inner(dropout(g, x, 0.3)), weight }));
          const y = dropout(g, linear(g, { x: middle, weight }), 0.5);
          return { outputs: { y }, seeds: [[y, dy]] };
        },
        training: true,
      },
      {},
      { seed: 3, draw: 4 },
    );
  const kept = await run((_, body) => body());
  assert.ok(norm(kept.gradients.x) > 0 && norm(kept.gradients.weight) > 0);
  assert.deepEqual(await run((g, body) => g.recomputed("segment", body)), kept);
});

Deno.test("what needs no gradient is not computed again", () => {
  const g = createGraph(targetOf(gpu), true);
  const x = g.fixed("x", [4, 8], "input", { chunk: 0, offset: 0, size: 128 });
  g.recomputed("frozen", () => tanh(g, x));
  assert.equal(g.tape.length, 0);
});
