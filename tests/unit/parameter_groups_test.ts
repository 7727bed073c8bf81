/** Learning rates by depth, and the groups that come of them. */
import assert from "node:assert/strict";
import { linearAgents } from "../support/agents.ts";
import { dualAgentParameters } from "../../lib/model/dual_agent.ts";
import { depthOf, parameterGroups, scaleLearningRates } from "../../lib/model/parameter_groups.ts";
import type { ParameterSpec } from "../../lib/graph/parameters.ts";

const LAYERS = 3;
const specs = dualAgentParameters(linearAgents({
  encoder: {
    model_type: "distilbert",
    vocab_size: 20,
    hidden_size: 8,
    num_hidden_layers: LAYERS,
    num_attention_heads: 2,
    intermediate_size: 8,
    max_position_embeddings: 16,
    type_vocab_size: 0,
    layer_norm_eps: 1e-12,
    hidden_act: "gelu",
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    pad_token_id: 0,
  },
  criteria: 2,
}));

Deno.test("depth counts from the heads down to the embeddings", () => {
  for (
    const [name, depth] of [
      ["criteria_head.weight", 0],
      ["coupling.gate.encoder.layer.0.weight", 0],
      ["encoder.layer.11.output.LayerNorm.bias", 1],
      ["encoder.layer.10.attention.self.qkv.weight", 2],
      ["encoder.layer.1.intermediate.dense.weight", 11],
      ["encoder.layer.0.attention.self.qkv.lora_a", 12],
      ["embeddings.LayerNorm.weight", 13],
      ["embeddings.word_embeddings.weight", 13],
    ] as const
  ) assert.equal(depthOf(name, 12), depth, name);
});

Deno.test("every encoder parameter is slower by ratio × decay^depth, whatever its family calls it; heads are not", () => {
  const scaled = scaleLearningRates(specs, LAYERS, { differentialRatio: 0.5, layerDecay: 0.9 });
  assert.deepEqual(scaled.map(({ name }) => name), specs.map(({ name }) => name));
  for (const { name, learningRateScale } of scaled) {
    const depth = depthOf(name, LAYERS);
    assert.equal(learningRateScale ?? 1, depth === 0 ? 1 : 0.5 * 0.9 ** depth, name);
  }
  const groups = parameterGroups(scaled);
  // Heads, three layers and the embeddings, each with and without weight decay.
  assert.equal(groups.length, 2 * (LAYERS + 2));
  const rates = groups.map(({ learningRateScale }) => learningRateScale);
  assert.deepEqual(rates, rates.toSorted((a, b) => b - a));
  assert.deepEqual(groups.map(({ decay }) => decay), groups.map((_, i) => i % 2 === 0));
  assert.equal(groups.flatMap(({ names }) => names).length, specs.length);
});

Deno.test("with ratio and decay 1 there are the two groups of weight decay, and what is frozen is in none", () => {
  const scaled = scaleLearningRates(specs, LAYERS, { differentialRatio: 1, layerDecay: 1 });
  assert.deepEqual(parameterGroups(scaled).map(({ learningRateScale }) => learningRateScale), [1, 1]);
  const frozen = scaled.map((spec): ParameterSpec => ({ ...spec, trained: spec.name.endsWith("head.bias") }));
  assert.deepEqual(parameterGroups(frozen), [
    { learningRateScale: 1, decay: false, names: ["criteria_head.bias", "evidence_head.bias"] },
  ]);
});
