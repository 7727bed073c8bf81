/**
 * The masks of dropout: bit for bit what the CPU's Philox says, the same forward and backward, others for another draw,
 * seed or place in the model, and of the right rate.
 */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import type { StepScalars } from "../../lib/gpu/program.ts";
import { attention } from "../../lib/graph/ops/attention.ts";
import { dropout } from "../../lib/graph/ops/elementwise.ts";
import { layerNorm } from "../../lib/graph/ops/layer_norm.ts";
import { philox4x32, randomStream } from "../../lib/support/rng.ts";
import { largestDifference } from "../support/golden.ts";
import { activation, constant, parameter, runGraph, VARIANTS } from "../support/graph_runner.ts";

const gpu = await openGpu();
const P = 0.3;
const KEEP = Math.fround(1 / (1 - P));
type Draw = Pick<StepScalars, "seed" | "draw">;
const DRAW: Draw = { seed: 0x9e3779b9, draw: 5 };

/** The mask element number `index` of a site: counter (index / 4, site, 0, 0), key (seed, draw). */
function kept(index: number, site: number, { seed, draw }: Draw, probability = P): boolean {
  return philox4x32([Math.floor(index / 4), site, 0, 0], [seed, draw])[index % 4]! >=
    Math.round(probability * 2 ** 32);
}

const ones = (count: number) => new Float32Array(count).fill(1);
const normal = (count: number) => {
  const random = randomStream(3, "dropout test");
  return Float32Array.from({ length: count }, () => random.normal());
};

/** Two dropouts in a row on ones: the first mask, and both. [ROWS, COLUMNS] */
const [ROWS, COLUMNS] = [37, 45];
async function masks(scalars: Draw, probability = P) {
  const { outputs, gradients } = await runGraph(
    gpu,
    {
      inputs: { x: activation([ROWS, COLUMNS], ones(ROWS * COLUMNS)), dy: activation([ROWS, COLUMNS], normal(1665)) },
      build: (g, { x, dy }) => {
        const once = dropout(g, x, probability);
        const twice = dropout(g, once, probability);
        return { outputs: { once, twice }, seeds: [[twice, dy]] };
      },
      training: true,
    },
    {},
    scalars,
  );
  return { ...outputs, dx: gradients.x };
}

Deno.test("dropout equals the CPU's Philox, forward and backward", async () => {
  const { once, twice, dx } = await masks(DRAW);
  const dy = normal(ROWS * COLUMNS);
  for (let i = 0; i < ROWS * COLUMNS; i++) {
    const first = kept(i, 0, DRAW) ? KEEP : 0;
    const both = Math.fround(first * (kept(i, 1, DRAW) ? KEEP : 0));
    assert.equal(once[i], first, `element ${i}`);
    assert.equal(twice[i], both, `element ${i} after two`);
    assert.ok(Math.abs(dx[i]! - dy[i]! * both) <= 1e-6 * Math.abs(dy[i]! * both), `gradient ${i}`);
  }
});

Deno.test("dropout differs by draw, by seed and by site, and comes back with both", async () => {
  const base = await masks(DRAW);
  const share = (a: Float32Array, b: Float32Array) => a.filter((value, i) => value === b[i]).length / a.length;
  const alike = P ** 2 + (1 - P) ** 2;
  for (const other of [{ ...DRAW, draw: DRAW.draw + 1 }, { ...DRAW, seed: DRAW.seed + 1 }]) {
    assert.ok(Math.abs(share(base.once, (await masks(other)).once) - alike) < 0.05, JSON.stringify(other));
  }
  const second = base.twice.map((value, i) => value === 0 && base.once[i] !== 0 ? 0 : KEEP);
  assert.ok(share(base.once, second) < 0.9, "two sites share a mask");
  assert.deepEqual(await masks(DRAW), base);
});

for (const probability of [0.1, 0.5, 0.9]) {
  Deno.test(`dropout drops ${100 * probability} % and keeps the mean`, async () => {
    const { once } = await masks(DRAW, probability);
    const count = once.length;
    const dropped = once.filter((value) => value === 0).length / count;
    const deviation = Math.sqrt(probability * (1 - probability) / count);
    assert.ok(Math.abs(dropped - probability) < 4 * deviation, `${dropped} dropped`);
    assert.ok(once.every((value) => value === 0 || value === Math.fround(1 / (1 - probability))));
  });
}

Deno.test("dropout is off outside training", async () => {
  const x = normal(20);
  const { outputs } = await runGraph(gpu, {
    inputs: { x: activation([4, 5], x) },
    build: (g, { x }) => ({ outputs: { y: dropout(g, x, P) } }),
  });
  assert.deepEqual(outputs.y, x);
});

Deno.test("dropout refuses a probability of 1 or below 0", async () => {
  for (const probability of [1, -0.1, NaN]) {
    await assert.rejects(masks(DRAW, probability), /Expected a dropout probability from 0 to below 1/);
  }
});

for (const [variant, target] of Object.entries(VARIANTS).slice(0, 3)) {
  Deno.test(`LayerNorm's dropout is the mask of its elements, forward and backward (${variant})`, async () => {
    const [rows, columns] = [5, 36];
    const shape = [rows, columns];
    const [x, residual, dy] = [normal(180), normal(180).map((value) => value - 1), normal(180).reverse()];
    const gain = { gamma: parameter([columns], ones(columns)), beta: parameter([columns], new Float32Array(columns)) };
    const run = (dropped: Float32Array, probability: number) =>
      runGraph(
        gpu,
        {
          inputs: {
            x: activation(shape, dropped),
            residual: activation(shape, residual),
            ...gain,
            dy: activation(shape, dy),
          },
          build: (g, { x, residual, gamma, beta, dy }) => {
            const y = layerNorm(g, { x, residual, gamma, beta }, { epsilon: 1e-5, dropout: probability });
            return { outputs: { y }, seeds: [[y, dy]] };
          },
          training: true,
        },
        target,
        DRAW,
      );
    const mask = x.map((_, i) => kept(i, 0, DRAW) ? KEEP : 0);
    const actual = await run(x, P);
    // The same op on what the CPU has dropped.
    const expected = await run(x.map((value, i) => value * mask[i]!), 0);
    assert.deepEqual(actual.outputs.y, expected.outputs.y);
    assert.deepEqual(actual.gradients.residual, expected.gradients.residual);
    const dx = expected.gradients.x.map((value, i) => value * mask[i]!);
    assert.equal(largestDifference(actual.gradients.x, dx), 0);
  });

  // With equal scores, one-hot values and one-hot gradients the mask itself is what comes out on both sides:
  // out[q] = Σ_k mask[q, k] / T · e_k and dV[k] = Σ_q mask[q, k] / T · e_q.
  Deno.test(`attention drops the same probabilities forward and backward (${variant})`, async () => {
    const [texts, heads, length, size] = [2, 3, 13, 16];
    const hidden = heads * size;
    const qkv = new Float32Array(texts * length * 3 * hidden);
    const dy = new Float32Array(texts * length * hidden);
    for (let b = 0; b < texts; b++) {
      for (let t = 0; t < length; t++) {
        for (let head = 0; head < heads; head++) {
          qkv[((b * length + t) * 3 + 2) * hidden + head * size + t] = 1;
          dy[(b * length + t) * hidden + head * size + t] = 1;
        }
      }
    }
    const { outputs, gradients } = await runGraph(
      gpu,
      {
        inputs: {
          qkv: activation([texts, length, 3 * hidden], qkv),
          mask: constant([texts, length], new Uint32Array(texts * length).fill(1)),
          limits: constant([texts], new Uint32Array(texts).fill(length)),
          dy: activation([texts, length, hidden], dy),
        },
        build: (g, { qkv, mask, limits, dy }) => {
          const y = attention(g, qkv, { heads, mask, limits, dropout: P });
          return { outputs: { y }, seeds: [[y, dy]] };
        },
        training: true,
      },
      target,
      DRAW,
    );
    let dropped = 0;
    for (let pair = 0; pair < texts * heads; pair++) {
      const [b, head] = [Math.floor(pair / heads), pair % heads];
      for (let q = 0; q < length; q++) {
        for (let k = 0; k < length; k++) {
          const block = (pair * length + q) * Math.ceil(length / 4) + Math.floor(k / 4);
          const expected = kept(4 * block + k % 4, 0, DRAW) ? KEEP / length : 0;
          dropped += expected === 0 ? 1 : 0;
          const forward = outputs.y[(b * length + q) * hidden + head * size + k]!;
          const backward = gradients.qkv[((b * length + k) * 3 + 2) * hidden + head * size + q]!;
          const where = `text ${b}, head ${head}, query ${q}, key ${k}`;
          assert.ok(Math.abs(forward - expected) < 1e-7, `${where}: forward ${forward}, expected ${expected}`);
          assert.ok(Math.abs(backward - expected) < 1e-7, `${where}: backward ${backward}, expected ${expected}`);
        }
      }
    }
    assert.ok(dropped > 0);
  });
}
