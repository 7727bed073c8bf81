/**
 * Span scores, losses against several gold spans, and the best spans of a text, against PyTorch
 * (`tests/peers/golden_spans.py`), in every variant of the kernels.
 */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import type { Loss } from "../../lib/graph/ops/losses.ts";
import { bandScores, boundaryLoss, sentenceLoss, spanGridLoss, topSpans } from "../../lib/graph/ops/spans.ts";
import type { Graph } from "../../lib/graph/graph.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import {
  activationOf,
  constantOf,
  differentiated,
  type GoldenOp,
  testGoldenOps,
  wordsOf,
} from "../support/golden_ops.ts";
import { activation, constant, type Leaf, runGraph, VARIANTS } from "../support/graph_runner.ts";

const gpu = await openGpu();
const sum = (values: ArrayLike<number>) => Array.from(values).reduce((total, value) => total + value, 0);

/** Runs a loss with the scale that makes it a mean over weighted pairs. */
const lossOp =
  (words: readonly string[], op: (g: Graph, t: Record<string, Tensor>) => Loss): GoldenOp =>
  async (get, { inputs }, target) => {
    const leaf = (name: string): Leaf =>
      name === "logits" ? activationOf(get(name)) : words.includes(name) ? wordsOf(get(name)) : constantOf(get(name));
    const { outputs } = await runGraph(
      gpu,
      {
        inputs: Object.fromEntries(inputs.map((name): [string, Leaf] => [name, leaf(name)])),
        build: (g, t: Record<string, Tensor>) => {
          const { items, dlogits } = op(g, t);
          return { outputs: { items, dlogits } };
        },
      },
      target,
      { spanScale: 1 / Math.max(1, sum(get("weight").data)) },
    );
    return { y: Float32Array.of(sum(outputs.items)), dlogits: outputs.dlogits };
  };

const targets = (t: Record<string, Tensor>) => ({ tags: t["tags"]!, limits: t["limits"]!, weight: t["weight"]! });

testGoldenOps("spans", {
  boundaryLoss: lossOp(["tags", "limits"], (g, t) => boundaryLoss(g, t["logits"]!, targets(t))),
  spanGridLoss: lossOp(["tags", "limits"], (g, t) => spanGridLoss(g, t["logits"]!, targets(t))),
  sentenceLoss: lossOp(
    ["tags", "segments"],
    (g, t) => sentenceLoss(g, t["logits"]!, { tags: t["tags"]!, weight: t["weight"]!, segments: t["segments"]! }),
  ),
  bandScores: (get, { band }, target) =>
    differentiated(
      gpu,
      target,
      {
        q: activationOf(get("q")),
        e: activationOf(get("e")),
        ends: activationOf(get("ends")),
        dy: activationOf(get("dy")),
      },
      (g, t) => bandScores(g, { q: t["q"]!, e: t["e"]!, ends: t["ends"]! }, band),
    ),
  topSpans: async (get, { grid, band, count }, target) => {
    const { outputs } = await runGraph(gpu, {
      inputs: {
        logits: activationOf(get("logits")),
        begins: wordsOf(get("begins")),
        limits: wordsOf(get("limits")),
      },
      build: (g, { logits, begins, limits }) => ({
        outputs: { spans: topSpans(g, logits, { begins, limits, criteria: 3, band, count, grid }) },
      }),
    }, target);
    const words = new Uint32Array(outputs.spans.buffer);
    // Where no span is left, the score is the lowest number; the file has 0 there, which is no span's score.
    const score = (value: number) => value < -1e38 ? 0 : value;
    return { spans: outputs.spans.map((value, i) => (i % (1 + 3 * count)) % 3 === 0 ? score(value) : words[i]!) };
  },
}, Object.fromEntries(Object.entries(VARIANTS).slice(0, 3)));

Deno.test("what has no weight in a span loss may be NaN", async () => {
  const logits = new Float32Array(12).fill(NaN);
  const { outputs } = await runGraph(gpu, {
    inputs: {
      logits: activation([1, 3, 4], logits),
      tags: constant([1, 3, 2], new Uint32Array(6)),
      limits: constant([1], Uint32Array.of(3)),
      weight: constant([1, 2], new Float32Array(2)),
      segments: constant([1, 3], new Uint32Array(3)),
    },
    build: (g, { logits, tags, limits, weight, segments }) => {
      const boundary = boundaryLoss(g, logits, { tags, limits, weight });
      const spans = spanGridLoss(g, logits, { tags, limits, weight });
      const sentences = sentenceLoss(g, g.tensor("sentences", [1, 1, 2]), { tags, weight, segments });
      return {
        outputs: {
          a: boundary.items,
          b: boundary.dlogits,
          c: spans.items,
          d: spans.dlogits,
          e: sentences.items,
          f: sentences.dlogits,
        },
      };
    },
  });
  for (const values of Object.values(outputs)) assert.ok(values.every((value) => value === 0), `${values}`);
});
