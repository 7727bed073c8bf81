/** Tensors that need more workgroups than one row of the grid has: the numbering goes on in the next row. */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import { activation as activate } from "../../lib/graph/ops/activation.ts";
import { attention } from "../../lib/graph/ops/attention.ts";
import { dropout } from "../../lib/graph/ops/elementwise.ts";
import { layerNorm } from "../../lib/graph/ops/layer_norm.ts";
import { tokenDot } from "../../lib/graph/ops/tokens.ts";
import { philox4x32 } from "../../lib/support/rng.ts";
import { activation, constant, parameter, runGraph } from "../support/graph_runner.ts";

const gpu = await openGpu();
/** Workgroups in a row of the grid. */
const GRID_ROW = 32768;

Deno.test("dropout goes on in the next row of the grid, with other draws", async () => {
  const count = 256 * GRID_ROW + 1003;
  const { outputs: { y } } = await runGraph(
    gpu,
    {
      inputs: { x: activation([count], Float32Array.from({ length: count }, (_, i) => 1 + i % 1000)) },
      build: (g, { x }) => ({ outputs: { y: dropout(g, x, 0.5) } }),
      training: true,
    },
    {},
    { seed: 3, draw: 4 },
  );
  for (const first of [0, 256 * GRID_ROW - 500, count - 500]) {
    for (let i = first; i < first + 500; i++) {
      const kept = philox4x32([Math.floor(i / 4), 0, 0, 0], [3, 4])[i % 4]! >= 2 ** 31;
      assert.equal(y[i], kept ? 2 * (1 + i % 1000) : 0, `element ${i}`);
    }
  }
});

Deno.test("LayerNorm goes on in the next row of the grid", async () => {
  const lanes = gpu.subgroupSize || 64;
  const rows = 64 / lanes * GRID_ROW + 77;
  const x = Float32Array.from({ length: rows * 4 }, (_, i) => (i % 4 === 3 ? 1 : 0) + Math.floor(i / 4) % 7);
  const gain = (value: number) => parameter([4], new Float32Array(4).fill(value));
  const { outputs: { y } } = await runGraph(gpu, {
    inputs: { x: activation([rows, 4], x), gamma: gain(1), beta: gain(0) },
    build: (g, { x, gamma, beta }) => ({ outputs: { y: layerNorm(g, { x, gamma, beta }, { epsilon: 0 }) } }),
  });
  // Of three equal numbers and one that is larger by 1: -1/√3 and √3.
  const wrong = y.findIndex((value, i) => !(Math.abs(value - (i % 4 === 3 ? Math.sqrt(3) : -1 / Math.sqrt(3))) < 1e-5));
  assert.equal(wrong, -1);
});

Deno.test("attention goes on in the next row of the grid", async () => {
  const texts = GRID_ROW + 61;
  const { outputs: { y } } = await runGraph(
    gpu,
    {
      inputs: {
        qkv: activation([texts, 1, 12], Float32Array.from({ length: texts * 12 }, (_, i) => i % 9973)),
        mask: constant([texts, 1], new Uint32Array(texts).fill(1)),
        limits: constant([texts], new Uint32Array(texts).fill(1)),
      },
      build: (g, { qkv, mask, limits }) => ({ outputs: { y: attention(g, qkv, { heads: 1, mask, limits }) } }),
    },
    { preset: "tiled" },
  );
  // A text of one token attends to that token.
  const wrong = y.findIndex((value, i) => value !== (12 * Math.floor(i / 4) + 8 + i % 4) % 9973);
  assert.equal(wrong, -1);
});

Deno.test("activations go on in the next row of the grid", async () => {
  const count = 64 * GRID_ROW + 77;
  const x = Float32Array.from({ length: count }, (_, i) => i % 997 - 500);
  const { outputs: { y } } = await runGraph(gpu, {
    inputs: { x: activation([count], x) },
    build: (g, { x }) => ({ outputs: { y: activate(g, x, "relu") } }),
  });
  assert.equal(y.findIndex((value, i) => value !== Math.max(0, x[i]!)), -1);
});

Deno.test("token products go on in the next row of the grid", async () => {
  const [texts, length] = [3, 64 / (gpu.subgroupSize || 64) * GRID_ROW];
  const keys = Float32Array.from({ length: texts * length }, (_, i) => i % 997);
  const { outputs: { y } } = await runGraph(gpu, {
    inputs: { query: activation([texts, 1], Float32Array.of(1, 2, 3)), keys: activation([texts, length, 1], keys) },
    build: (g, { query, keys }) => ({ outputs: { y: tokenDot(g, query, keys) } }),
  });
  assert.equal(y.findIndex((value, i) => value !== keys[i]! * (1 + Math.floor(i / length))), -1);
});
