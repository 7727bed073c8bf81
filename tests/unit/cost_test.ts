/** What kernel calls cost: against shapes and bytes worked out by hand. */
import assert from "node:assert/strict";
import { gemmDispatch, type GemmLayout } from "../../lib/gpu/gemm.ts";
import { accessOf, callCost, callName, callShape, isGemm } from "../../lib/graph/cost.ts";
import { createGraph, type Graph, type KernelCall, type Target } from "../../lib/graph/graph.ts";
import { attention } from "../../lib/graph/ops/attention.ts";
import { embedding } from "../../lib/graph/ops/embedding.ts";
import { KERNELS } from "../../lib/graph/ops/kernels.ts";
import { differentiate } from "../../lib/graph/autodiff.ts";

const broadcast: Target = {
  preset: "broadcast",
  subgroupSize: 8,
  maxBindingBytes: 2 ** 27,
  maxBufferBytes: 2 ** 30,
  alignment: 256,
};
const tiled: Target = { ...broadcast, preset: "tiled", subgroupSize: 0 };

/** A parameter, or an input, of a size. */
function fixed(g: Graph, name: string, shape: number[], requiresGradient = false) {
  const size = 4 * shape.reduce((product, one) => product * one, 1);
  return g.fixed(name, shape, "parameter", { chunk: 0, offset: 0, size }, requiresGradient);
}

function product(layout: GemmLayout, { preset, subgroupSize }: Target, m: number, n: number, k: number): KernelCall {
  const g = createGraph(broadcast, true);
  const { kernel, constants, dims, grid } = gemmDispatch({
    ...{ layout, m, n, k, preset, subgroupSize },
    epilogue: layout === "tn" ? "accumulate" : "bias_relu",
  });
  const shapes = { nt: [[m, k], [n, k]], nn: [[m, k], [k, n]], tn: [[k, m], [k, n]] }[layout];
  const bindings = { a: fixed(g, "a", shapes[0]!), b: fixed(g, "b", shapes[1]!), c: fixed(g, "c", [m, n]) };
  const more = { bias: fixed(g, "bias", [n]), aux: fixed(g, "aux", [m, n]) };
  return { kernel, constants, dims, grid, bindings: layout === "tn" ? bindings : { ...bindings, ...more } };
}

Deno.test("a product costs 2·M·N·K in every layout and kernel, and its name says what it is", () => {
  for (const target of [broadcast, tiled]) {
    for (const layout of ["nt", "nn", "tn"] as const) {
      // 9 columns are no multiple of 4: the general kernel.
      for (const n of [64, 9]) {
        const call = product(layout, target, 96, n, 32);
        const kernel = n === 9 ? "gemm_general" : `gemm_${target.preset}`;
        assert.equal(callCost(call).flops, 2 * 96 * n * 32, `${kernel} ${layout}`);
        assert.equal(callShape(call), `96×${n}×32`);
        assert.equal(callName(call), `${kernel} ${layout} ${layout === "tn" ? "accumulate" : "bias_relu"}`);
        assert.ok(isGemm(call));
      }
    }
  }
});

Deno.test("bytes are those bound, once for reading and once for writing", () => {
  const [m, n, k] = [96, 64, 32];
  // C is read and written where it is added to.
  assert.equal(callCost(product("tn", broadcast, m, n, k)).bytes, 4 * (k * m + k * n + 2 * m * n));
  // bias_relu: u is written and read again, f(u) written.
  assert.equal(callCost(product("nt", broadcast, m, n, k)).bytes, 4 * (m * k + n * k + n + 2 * m * n + m * n));
  const g = createGraph(broadcast, true);
  const optimizer = (constants: Record<string, number>, names: string[]): KernelCall => ({
    kernel: KERNELS.optimizer,
    constants: { ADAMW: 0, ADAM: 0, SGD: 0, LION: 0, EMA: 0, ...constants },
    bindings: Object.fromEntries([...names.map((name) => [name, fixed(g, name, [1000])]), [
      "control",
      fixed(g, "control", [4]),
    ]]),
    dims: {},
    grid: [1, 1, 1],
  });
  const adamw = optimizer({ ADAMW: 1 }, ["p", "g", "m", "v"]);
  assert.deepEqual(callCost(adamw), { flops: 0, bytes: 4 * (2 * 4 * 1000 + 4) });
  const averaged = optimizer({ SGD: 1, EMA: 1 }, ["p", "g", "m", "shadow"]);
  assert.equal(callCost(averaged).bytes, 4 * (2 * 4 * 1000 + 4));
  assert.equal(callName(adamw), "optimizer");
  assert.equal(callShape(adamw), "");
});

Deno.test("of a half-precision tensor there are half the bytes, of a table the rows of the batch's tokens", () => {
  const g = createGraph(broadcast, true);
  const x = g.tensor("x", [8, 64], "f16");
  const y = g.tensor("y", [8, 64]);
  const half = { X_TYPE: "vec2u", X_READ: "from_half", Y_TYPE: "vec4f", Y_READ: "", Y_WRITE: "", HALF: 1 };
  const call = { kernel: KERNELS.elementwise, bindings: { x, y }, dims: {}, grid: [1, 1, 1] as const };
  assert.equal(callCost({ ...call, constants: { ...half, FUNCTION: 0, ACCUMULATE: 0 } }).bytes, 8 * 64 * (2 + 4));
  assert.equal(
    callCost({ ...call, constants: { ...half, FUNCTION: 0, ACCUMULATE: 1, TAIL: 0 } }).bytes,
    8 * 64 * (2 + 8),
  );

  const tokens = 6, hidden = 8;
  const segments = { order: fixed(g, "order", [tokens]), runs: fixed(g, "runs", [tokens + 1, 2]) };
  const word = fixed(g, "word", [5000, hidden], true), position = fixed(g, "position", [4, hidden], true);
  const ids = fixed(g, "ids", [2, 3]);
  const out = embedding(g, { word, position }, {
    ...{ ids, positions: fixed(g, "positions", [2, 3]), types: ids },
    wordSegments: segments,
    positionSegments: segments,
  });
  const rows = 4 * tokens * hidden;
  // ids, positions, rows of words, the whole of 4 positions, the sum.
  assert.equal(callCost(g.calls[0]!).bytes, 2 * 4 * tokens + rows + 4 * 4 * hidden + rows);
  differentiate(g, new Map([[out, g.tensor("dout", out.shape)]]), (parameter) => parameter);
  // dx, order, runs, and each row of the gradient read and written.
  assert.equal(callCost(g.calls[1]!).bytes, rows + 4 * tokens + 8 * (tokens + 1) + 2 * rows);
});

Deno.test("attention costs the products that its kernels compute, up to the last key of each text", () => {
  const [batch, length, hidden, heads] = [3, 40, 64, 4];
  for (const target of [broadcast, tiled]) {
    const g = createGraph(target, true);
    const qkv = g.tensor("qkv", [batch, length, 3 * hidden]);
    qkv.requiresGradient = true;
    const mask = fixed(g, "mask", [batch, length]), limits = fixed(g, "limits", [batch]);
    const out = attention(g, qkv, { heads, mask, limits });
    differentiate(g, new Map([[out, g.tensor("dout", out.shape)]]), (parameter) => parameter);
    assert.deepEqual(g.calls.map(({ kernel }) => kernel.name), [
      "attention_forward",
      "attention_backward_query",
      "attention_backward_key",
    ]);
    assert.deepEqual(g.calls.map((call) => g.backwardCalls.has(call)), [false, true, true]);
    // A product of one text and head: [T, D] · [D, T].
    const one = 2 * length * length * (hidden / heads);
    const flops = g.calls.map((call) => callCost(call).flops);
    assert.deepEqual(flops, [2, 3, 4].map((products) => products * one * batch * heads));
    // Texts of 40, 10 and 1 tokens.
    const padded = g.calls.map((call) => callCost(call, 51).flops);
    assert.deepEqual(padded, [2, 3, 4].map((products) => products * 2 * length * 51 * hidden));
  }
});

Deno.test("what a kernel's text does with a binding: reads, writes, or both", () => {
  const both = { reads: true, writes: true }, reads = { reads: true, writes: false };
  const writes = { reads: false, writes: true };
  assert.deepEqual(accessOf("c[i] = a[i];", "c"), writes);
  assert.deepEqual(accessOf("c[i] = a[i];", "a"), reads);
  assert.deepEqual(accessOf("c[index[i]] += 1;", "c"), both);
  assert.deepEqual(accessOf("c[index[i]] += 1;", "index"), reads);
  assert.deepEqual(accessOf("c[i].x = 2; if (c[j] == 2) {}", "c"), both);
  assert.deepEqual(accessOf("c[i] = f(c[i]) + abc[i];", "c"), both);
  assert.deepEqual(accessOf("abc[i] = 1;", "c"), { reads: false, writes: false });
});
