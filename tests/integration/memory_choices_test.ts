/**
 * Recomputation and storage in 16 bits with everything else that is chosen: every evidence head with its loss, poolings and
 * couplings, weighted and adaptive losses, attacked words, tuning modes. Recomputation changes no bit; 16 bits give
 * gradients near those of 32, and the loss that is recorded is never scaled.
 */
import assert from "node:assert/strict";
import type { Batch } from "../../lib/data/batches.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { RECOMPUTE_LEVELS } from "../../lib/graph/graph.ts";
import { LOSS_SCALE } from "../../lib/graph/optimizer.ts";
import type { DualAgentConfig } from "../../lib/model/dual_agent.ts";
import { EVIDENCE_HEADS, type EvidenceHeadName } from "../../lib/model/evidence_heads/registry.ts";
import { LORA_TARGETS, type LoraTarget } from "../../lib/model/lora.ts";
import type { Tuning } from "../../lib/model/tuning.ts";
import { largestDifference, norm, relativeDifference } from "../support/golden.ts";
import {
  openSmall,
  planSmall,
  randomBatch,
  readArray,
  type SmallOptions,
  stepOptions,
} from "../support/small_engine.ts";

const gpu = await openGpu();
/** Sizes whose products the kernels store in 16 bits on every adapter. */
const ENCODER = { hidden_size: 32, num_attention_heads: 2, intermediate_size: 64, num_hidden_layers: 3 };
const NO_SENTENCE = 0xffffffff;

const evidence = (type: EvidenceHeadName): Partial<DualAgentConfig> => ({
  evidenceHead: { type, hidden: 16, dropout: 0.1, maxSpanTokens: 8, maxSpans: 3 },
});
const tuned = (tuning: Tuning): SmallOptions => ({ model: { tuning } });
const lora = (lora_targets: LoraTarget[], lora_dropout: number): SmallOptions =>
  tuned({ mode: "lora", freeze_layers: 1, lora_rank: 4, lora_alpha: 8, lora_dropout, lora_targets });

const CASES: Record<string, SmallOptions> = {
  ...Object.fromEntries(
    (Object.keys(EVIDENCE_HEADS) as EvidenceHeadName[]).map((type) => [type, { model: evidence(type) }]),
  ),
  "states of several layers, coupled agents": {
    model: {
      ...evidence("bio_crf"),
      pooling: "last_2_layer_mix",
      coupling: { method: "cross_attention", pooling: "mean", poolBeforeCombination: true },
    },
  },
  "weighted and adaptive focal loss": {
    model: { loss: { form: { alpha: 0.3, gamma: 2, smoothing: 0.1 }, weighted: true, adaptive: true } },
  },
  "attacked words": { adversarialEpsilon: 0.5, model: evidence("bio_crf") },
  "LoRA on every projection": lora(Object.keys(LORA_TARGETS) as LoraTarget[], 0.1),
  "LoRA on two projections": lora(["query", "attention_output"], 0),
  "BitFit": tuned({ mode: "bitfit", freeze_layers: 0 }),
  "frozen layers": tuned({ mode: "freeze", freeze_layers: 2 }),
};

/** A batch whose texts have sentences of three tokens. */
function sentencesOf(label: string, length: number): Batch {
  const batch = randomBatch(label, { length });
  const sentences = batch.mask.map((inside, i) =>
    inside && i % length > 0 ? Math.floor((i % length - 1) / 3) : NO_SENTENCE
  );
  return { ...batch, sentences };
}

/** The gradient of one batch, divided by the loss scale, and what a step of two micro-batches records and leaves. */
async function train(options: SmallOptions) {
  const engine = await openSmall(gpu, { encoder: ENCODER, dropout: 0.1, ...options });
  try {
    engine.gradient(sentencesOf("choices", 13), stepOptions(1));
    const scale = (await engine.lossScale())?.scale ?? 1;
    const gradients = new Map(
      [...await readArray(engine, "gradient")].map(([name, values]) => [name, values.map((value) => value / scale)]),
    );
    engine.load("gradient", (_, shape) => new Float32Array(shape.reduce((product, size) => product * size, 1)));
    engine.step([sentencesOf("a", 8), sentencesOf("b", 13)], stepOptions(1));
    const metrics = (await engine.drain()).at(-1)!;
    return { gradients, metrics, parameters: await readArray(engine, "parameter") };
  } finally {
    engine.close();
  }
}

for (const [name, options] of Object.entries(CASES)) {
  Deno.test(`recomputation and 16 bits go with ${name}`, async () => {
    const exact = await train(options);
    const size = norm([...exact.gradients.values()].map(norm));
    assert.ok(size > 0);
    const half = await train({ ...options, precision: "f16" });
    for (const [tensor, values] of half.gradients) {
      const expected = exact.gradients.get(tensor)!;
      if (norm(expected) > 1e-4 * size) {
        const difference = relativeDifference(values, expected);
        assert.ok(difference <= 1e-2, `${tensor} differs by ${difference}`);
      } else {
        assert.ok(norm(values) <= 1e-3 * size, `${tensor}: ${norm(values)} of ${size}`);
      }
    }
    for (const field of ["criteriaLoss", "spanLoss", "gradientNorm"] as const) {
      const [found, expected] = [half.metrics[field], exact.metrics[field]];
      assert.ok(Math.abs(found / expected - 1) <= 1e-2, `${field} ${found}, not ${expected}`);
    }
    assert.deepEqual([half.metrics.lossScale, half.metrics.skippedSteps], [LOSS_SCALE.initial, 0]);

    for (const precision of ["f32", "f16"] as const) {
      const kept = precision === "f32" ? exact : half;
      for (const recompute of RECOMPUTE_LEVELS.slice(1)) {
        const again = await train({ ...options, precision, recompute });
        for (const array of ["gradients", "parameters"] as const) {
          for (const [tensor, values] of kept[array]) {
            const where = `${precision} ${recompute}: ${array} of ${tensor}`;
            assert.equal(largestDifference(again[array].get(tensor)!, values), 0, where);
          }
        }
        assert.deepEqual(again.metrics, kept.metrics);
      }
    }
  });
}

Deno.test("recomputation and 16 bits save memory with adapters on the feed-forward block, too", () => {
  const bytes = (options: SmallOptions) =>
    planSmall(gpu, { encoder: ENCODER, ...lora(["intermediate", "output"], 0.1), lengths: [64], ...options })
      .memory.activations;
  const kept = bytes({});
  const [feedForward, layer, half] = [
    bytes({ recompute: "feed_forward" }),
    bytes({ recompute: "layer" }),
    bytes({ precision: "f16" }),
  ];
  assert.ok(Math.max(feedForward, layer, half) < 0.95 * kept, [kept, feedForward, layer, half].join(", "));
});
