/**
 * The forms of the criteria loss against PyTorch autograd in float64 (`tests/peers/golden_losses.py`), in every variant
 * of the kernels, and the running confidence of the adaptive focal loss. Tolerances: docs/numerics.md.
 */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import { addConfidence, criteriaLoss, foldConfidence } from "../../lib/graph/ops/losses.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { largestDifference, readGolden, readGoldenJson } from "../support/golden.ts";
import { activation, constant, type Leaf, runGraph, VARIANTS } from "../support/graph_runner.ts";

interface LossCase {
  readonly name: string;
  readonly alpha: number;
  readonly gamma: number;
  readonly smoothing: number;
  readonly float32Error?: number;
}

const gpu = await openGpu();
const golden = readGolden("losses");
const sum = (values: ArrayLike<number>) => Array.from(values).reduce((total, value) => total + value, 0);

for (const [variant, target] of Object.entries(VARIANTS).slice(0, 3)) {
  for (const { name, alpha, gamma, smoothing, float32Error = 0 } of readGoldenJson("losses").cases as LossCase[]) {
    Deno.test(`criteria loss ${name} equals PyTorch (${variant})`, async () => {
      const get = (tensor: string) => golden.get(`${name}.${tensor}`)!;
      const leaf = (tensor: string) => constant(get(tensor).shape, get(tensor).data);
      const criteria = get("logits").shape[1]!;
      const confidence = golden.get(`${name}.confidence`)?.data;
      const inputs: Record<string, Leaf> = {
        logits: activation(get("logits").shape, get("logits").data),
        labels: leaf("labels"),
        weight: leaf("sampleWeight"),
        positiveWeight: leaf("positiveWeight"),
      };
      if (confidence) {
        const state = Float32Array.from({ length: 3 * criteria }, (_, i) => confidence[i] ?? NaN);
        inputs["confidence"] = constant([3 * criteria], state);
      }
      const { outputs } = await runGraph<string, "items" | "dlogits">(
        gpu,
        {
          inputs,
          build: (g, t) => ({
            outputs: {
              ...criteriaLoss(g, {
                logits: t["logits"]!,
                labels: t["labels"]!,
                weight: t["weight"]!,
                positiveWeight: t["positiveWeight"]!,
                ...(confidence ? { confidence: t["confidence"]! } : {}),
              }, { alpha, gamma, smoothing }),
            },
          }),
        },
        target,
        { criteriaScale: 1 / (criteria * sum(get("sampleWeight").data)) },
      );
      const tolerance = Math.max(1e-5, 4 * float32Error);
      for (const [tensor, actual] of [["y", [sum(outputs.items)]], ["dlogits", outputs.dlogits]] as const) {
        const expected = get(tensor).data;
        const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        assert.ok(largestDifference(actual, expected) <= tolerance * largest, tensor);
      }
    });
  }
}

Deno.test("the running confidence takes in the mean of a step's rows, whole or in parts", async () => {
  const logits = Float32Array.of(2, -1, 80, -80, 0.5, 3);
  const labels = Float32Array.of(1, 0, 1, 1, 0, 1);
  const weight = Float32Array.of(1, 1, 0);
  const probability = (z: number) => 1 / (1 + Math.exp(-z));
  const expected = [0.5 + 0.1 * ((probability(2) + 1) / 2 - 0.5), 0.5 + 0.1 * (probability(1) / 2 - 0.5)];
  for (const parts of [[[0, 1, 2]], [[0], [1, 2]]]) {
    const { outputs } = await runGraph(gpu, {
      inputs: { start: activation([6], Float32Array.of(0.5, 0.5, 0, 0, 0, 0)), ...rows(parts) },
      build: (g, t: Record<string, Tensor>) => {
        const confidence = t["start"]!;
        parts.forEach((_, i) =>
          addConfidence(g, confidence, { logits: t[`logits${i}`]!, labels: t[`labels${i}`]!, weight: t[`weight${i}`]! })
        );
        foldConfidence(g, confidence, 0.1);
        return { outputs: { confidence } };
      },
    });
    assert.ok(largestDifference(outputs.confidence, [...expected, 0, 0, 0, 0]) < 1e-6, `${outputs.confidence}`);
  }

  function rows(parts: number[][]) {
    const take = (values: Float32Array, width: number, part: number[]) =>
      Float32Array.from(part.flatMap((row) => [...values.subarray(row * width, (row + 1) * width)]));
    return Object.fromEntries(parts.flatMap((part, i) => [
      [`logits${i}`, constant([part.length, 2], take(logits, 2, part))],
      [`labels${i}`, constant([part.length, 2], take(labels, 2, part))],
      [`weight${i}`, constant([part.length], take(weight, 1, part))],
    ]));
  }
});

Deno.test("a step without weighted rows leaves the confidence as it was", async () => {
  const { outputs } = await runGraph(gpu, {
    inputs: {
      start: activation([3], Float32Array.of(0.25, 0, 0)),
      logits: constant([1, 1], Float32Array.of(NaN)),
      labels: constant([1, 1], Float32Array.of(1)),
      weight: constant([1], Float32Array.of(0)),
    },
    build: (g, { start, logits, labels, weight }) => {
      addConfidence(g, start, { logits, labels, weight });
      foldConfidence(g, start, 0.1);
      return { outputs: { start } };
    },
  });
  assert.deepEqual([...outputs.start], [0.25, 0, 0]);
});
