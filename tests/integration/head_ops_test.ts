/** What golden files cannot say of the ops that heads are made of: extremes, padding, draws, many parts, wrong shapes. */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import { createGraph, type Graph, targetOf } from "../../lib/graph/graph.ts";
import { activation as activate, type ActivationName, ACTIVATIONS } from "../../lib/graph/ops/activation.ts";
import { addColumns, concat, slice } from "../../lib/graph/ops/columns.ts";
import { add, gate, multiply } from "../../lib/graph/ops/combine.ts";
import { dropout } from "../../lib/graph/ops/elementwise.ts";
import { pool } from "../../lib/graph/ops/pool.ts";
import { segmentMean } from "../../lib/graph/ops/segment_mean.ts";
import { softmax } from "../../lib/graph/ops/softmax.ts";
import { attentionPool, broadcastTokens, tokenAttention, tokenDot } from "../../lib/graph/ops/tokens.ts";
import { weightedSum } from "../../lib/graph/ops/weighted_sum.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { philox4x32, randomStream } from "../../lib/support/rng.ts";
import { activation, constant, type Leaf, parameter, runGraph, VARIANTS } from "../support/graph_runner.ts";

const gpu = await openGpu();

type Lookup = Readonly<Record<string, Tensor>>;

/** Standard normal numbers that depend on the label alone. */
function normal(label: string, count: number): Float32Array<ArrayBuffer> {
  const random = randomStream(1, "head ops", label);
  return Float32Array.from({ length: count }, () => random.normal());
}

/** Far from 0, on either side, the limits of each function and of its derivative. */
const LIMITS: Record<ActivationName, (x: number) => { y: number; dy: number }> = {
  ...Object.fromEntries(
    (["gelu", "silu", "relu", "mish"] as const).map((name) => [
      name,
      (x: number) => x > 0 ? { y: x, dy: 1 } : { y: 0, dy: 0 },
    ]),
  ) as Record<"gelu" | "silu" | "relu" | "mish", (x: number) => { y: number; dy: number }>,
  leakyrelu: (x) => x > 0 ? { y: x, dy: 1 } : { y: 0.01 * x, dy: 0.01 },
  tanh: (x) => ({ y: Math.sign(x), dy: 0 }),
  sigmoid: (x) => ({ y: x > 0 ? 1 : 0, dy: 0 }),
};

for (const name of Object.keys(ACTIVATIONS) as ActivationName[]) {
  Deno.test(`${name} has its limits from ±80 to the largest numbers`, async () => {
    const x = Float32Array.from([80, 104, 200, 1e4, 1e20, 1e38].flatMap((value) => [value, -value]));
    const { outputs, gradients } = await runGraph(gpu, {
      inputs: { x: activation([x.length], x), dy: activation([x.length], x.map(() => 1)) },
      build: (g, { x, dy }) => {
        const y = activate(g, x, name);
        return { outputs: { y }, seeds: [[y, dy]] };
      },
    });
    x.forEach((value, i) => {
      const { y, dy } = LIMITS[name](value);
      assert.ok(Math.abs(outputs.y[i]! - y) <= 1e-6 * Math.abs(y) + 1e-30, `${name}(${value}) is ${outputs.y[i]}`);
      assert.ok(Math.abs(gradients.x[i]! - dy) <= 1e-6 * dy + 1e-30, `${name}'(${value}) is ${gradients.x[i]}`);
    });
  });
}

/** Three texts: whole, with a padded end, and fully padded. */
const [TEXTS, LENGTH, WIDTH] = [3, 7, 5];
const MASK = Uint32Array.of(1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
const SEGMENTS = MASK.map((real, i) => real ? Math.floor(i % LENGTH / 3) : 0xffffffff);

const POOLINGS: Record<string, { inputs: string[]; op: (g: Graph, t: Lookup) => Tensor; rows?: number }> = {
  "pool mean": { inputs: ["x"], op: (g, t) => pool(g, t["x"]!, "mean", t["mask"]!) },
  "pool max": { inputs: ["x"], op: (g, t) => pool(g, t["x"]!, "max", t["mask"]!) },
  attentionPool: {
    inputs: ["x", "scores"],
    op: (g, t) => attentionPool(g, t["x"]!, t["scores"]!, t["mask"]!),
  },
  tokenAttention: {
    inputs: ["keys", "values", "query"],
    op: (g, t) => tokenAttention(g, t["query"]!, t["keys"]!, t["values"]!, t["mask"]!),
  },
  segmentMean: { inputs: ["x"], op: (g, t) => segmentMean(g, t["x"]!, t["segments"]!, 3), rows: TEXTS * 3 },
};

for (const [variant, target] of Object.entries(VARIANTS).slice(0, 3)) {
  for (const [name, { inputs, op, rows = TEXTS }] of Object.entries(POOLINGS)) {
    Deno.test(`what padding holds has no effect, NaN included: ${name} (${variant})`, async () => {
      const run = (padding: number) => {
        const leaf = (input: string): Leaf => {
          if (input === "query") return activation([TEXTS, WIDTH], normal("query", TEXTS * WIDTH));
          const columns = input === "scores" ? 1 : WIDTH;
          const values = normal(input, TEXTS * LENGTH * columns);
          const shape = [TEXTS, LENGTH, columns];
          return activation(shape, values.map((value, i) => MASK[Math.floor(i / columns)] ? value : padding));
        };
        return runGraph(gpu, {
          inputs: {
            ...Object.fromEntries(inputs.map((input) => [input, leaf(input)])),
            mask: constant([TEXTS, LENGTH], MASK),
            segments: constant([TEXTS, LENGTH], SEGMENTS),
            dy: activation([rows, WIDTH], normal("dy", rows * WIDTH)),
          } as Record<string, Leaf>,
          build: (g, t: Lookup) => {
            const y = op(g, t);
            return { outputs: { y }, seeds: [[y, t["dy"]!]] as const };
          },
        }, target);
      };
      const [zero, broken] = [await run(0), await run(NaN)];
      assert.deepEqual(broken, zero);
      assert.ok([zero.outputs.y, ...Object.values(zero.gradients)].every((values) => values.every(Number.isFinite)));
      const last = zero.outputs.y.slice(-zero.outputs.y.length / TEXTS);
      assert.ok(last.every((value) => value === 0), "a fully padded text gives 0");
    });
  }

  // 9000 elements are two partial sums as vec4, 2051 as f32: 5 tensors are more than one dispatch binds.
  for (const shape of [[3, 3000], [7, 293]]) {
    Deno.test(`a weighted sum of five tensors of ${shape.join(" x ")} equals the CPU's (${variant})`, async () => {
      const count = shape[0]! * shape[1]!;
      const weights = normal("weights", 5);
      const xs = Array.from(weights, (_, i) => normal(`x${i}`, count));
      const dy = normal("dy", count);
      const { outputs: { y }, gradients } = await runGraph(gpu, {
        inputs: {
          ...Object.fromEntries(xs.map((x, i) => [`x${i}`, activation(shape, x)])),
          weights: parameter([5], weights),
          dy: activation(shape, dy),
        } as Record<string, Leaf>,
        build: (g, t: Lookup) => {
          const y = weightedSum(g, xs.map((_, i) => t[`x${i}`]!), t["weights"]!, { softmax: false });
          return { outputs: { y }, seeds: [[y, t["dy"]!]] as const };
        },
      }, target);
      y.forEach((value, j) => {
        const expected = xs.reduce((sum, x, i) => sum + weights[i]! * x[j]!, 0);
        assert.ok(Math.abs(value - expected) < 1e-5, `element ${j}`);
      });
      xs.forEach((x, i) => {
        const expected = x.reduce((sum, value, j) => sum + value * dy[j]!, 0);
        assert.ok(Math.abs(gradients["weights"]![i]! - expected) < 1e-5 * Math.sqrt(count), `weight ${i}`);
        assert.deepEqual(gradients[`x${i}`], dy.map((value) => Math.fround(weights[i]! * value)), `x${i}`);
      });
    });
  }
}

Deno.test("dropouts of one tensor have masks of their own, and their gradients add", async () => {
  const [count, samples, probability] = [333, 5, 0.5];
  const dy = normal("dy", count);
  const scalars = { seed: 11, draw: 4 };
  const { outputs, gradients } = await runGraph(
    gpu,
    {
      inputs: { x: activation([count], new Float32Array(count).fill(1)), dy: activation([count], dy) },
      build: (g, { x, dy }) => {
        const ys = Array.from({ length: samples }, () => dropout(g, x, probability));
        return { outputs: Object.fromEntries(ys.map((y, i) => [i, y])), seeds: ys.map((y) => [y, dy] as const) };
      },
      training: true,
    },
    {},
    scalars,
  );
  for (let i = 0; i < count; i++) {
    let kept = 0;
    for (let site = 0; site < samples; site++) {
      const drawn = philox4x32([Math.floor(i / 4), site, 0, 0], [scalars.seed, scalars.draw])[i % 4]! >= 2 ** 31;
      assert.equal(outputs[site]![i], drawn ? 2 : 0, `element ${i} of sample ${site}`);
      kept += drawn ? 2 : 0;
    }
    assert.ok(Math.abs(gradients.x[i]! - kept * dy[i]!) <= 1e-6 * Math.abs(kept * dy[i]!), `gradient ${i}`);
  }
});

Deno.test("wrong shapes are refused, naming the op, what it expected and what it found", () => {
  const g = createGraph(targetOf(gpu), false);
  const tensor = (...shape: number[]) => g.tensor("x", shape);
  const [x, vector] = [tensor(2, 3, 4), tensor(2, 4)];
  for (
    const [op, message] of [
      [() => add(g, x, vector), "add: expected b of shape [2, 3, 4] but found [2, 4]"],
      [() => multiply(g, x, vector), "multiply: expected b of shape [2, 3, 4] but found [2, 4]"],
      [() => gate(g, x, x, vector), "gate: expected z of shape [2, 3, 4] but found [2, 4]"],
      [() => concat(g, [x]), "concat: expected at least 2 tensors but found 1"],
      [() => concat(g, [x, vector]), "concat: expected tensor 1 of shape [2, 3, 4] but found [2, 4]"],
      [() => slice(g, x, 2, 3), "slice: expected columns within 0 and 4 but found 2 to 5"],
      [() => slice(g, x, -1, 2), "slice: expected columns within 0 and 4 but found -1 to 1"],
      [() => slice(g, x, 0, 0), "slice: expected columns within 0 and 4 but found 0 to 0"],
      [() => weightedSum(g, [], vector, { softmax: true }), "weightedSum: expected at least one tensor but found none"],
      [
        () => weightedSum(g, [x, x], vector, { softmax: true }),
        "weightedSum: expected weights of shape [2] but found [2, 4]",
      ],
      [() => pool(g, x, "max", vector), "pool: expected mask of shape [2, 3] but found [2, 4]"],
      [() => attentionPool(g, x, vector, tensor(2, 3)), "tokenSoftmax: expected scores of shape [2, 3, 1] but found"],
      [() => tokenDot(g, tensor(2, 5), x), "tokenDot: expected query of shape [2, 4] but found [2, 5]"],
      [() => broadcastTokens(g, x, 5), "broadcastTokens: expected x of shape [2, 4] but found [2, 3, 4]"],
      [() => segmentMean(g, x, vector, 5), "segmentMean: expected segments of shape [2, 3] but found [2, 4]"],
    ] as const
  ) {
    assert.throws(op, (error) => error instanceof RangeError && error.message.startsWith(message), message);
  }
});

for (const count of [1, 2, 3, 5, 6, 7, 8]) {
  Deno.test(`the gradient of a parameter of ${count} elements leaves what lies behind it 0`, async () => {
    const values = Float32Array.from({ length: count }, (_, i) => i / 3);
    const { outputs, gradients } = await runGraph(gpu, {
      inputs: { w: parameter([count], values), dy: activation([count], values) },
      build: (g, { w, dy }) => {
        const y = softmax(g, w);
        // The gradient arena is laid out as the parameter arena is, in steps of 256 bytes.
        const slot = { ...w.slot!, size: 256 };
        return { outputs: { all: g.fixed("gradient with padding", [64], "gradient", slot) }, seeds: [[y, dy]] };
      },
    });
    assert.deepEqual([...outputs.all], [...gradients.w, ...new Array(64 - count).fill(0)]);
  });
}

for (const [part, widths] of Object.entries({ "rows of vec4": [4, 8, 4], "odd rows": [3, 5, 2] })) {
  Deno.test(`addColumns adds to the columns from its start on, and its gradients are slices (${part})`, async () => {
    const rows = 5, [first, second, rest] = widths as [number, number, number], whole = first + second + rest;
    const x = normal("x", rows * whole), a = normal("a", rows * first), b = normal("b", rows * rest);
    const dy = normal("dy", rows * whole);
    const { outputs, gradients } = await runGraph(gpu, {
      inputs: {
        x: activation([rows, whole], x),
        a: activation([rows, first], a),
        b: parameter([rows, rest], b),
        dy: activation([rows, whole], dy),
      },
      build: (g, { x, a, b, dy }) => {
        // x twice, so that its gradient is added to.
        const y = add(g, addColumns(g, x, [{ start: 0, delta: a }, { start: first + second, delta: b }]), x);
        return { outputs: { y }, seeds: [[y, dy]] };
      },
    });
    for (let i = 0; i < rows * whole; i++) {
      const row = Math.floor(i / whole), column = i % whole;
      const delta = column < first
        ? a[row * first + column]!
        : column >= first + second
        ? b[row * rest + column - first - second]!
        : 0;
      assert.equal(outputs.y[i], Math.fround(Math.fround(x[i]! + delta) + x[i]!), `y[${row}, ${column}]`);
      assert.equal(gradients.x[i], 2 * dy[i]!);
      if (column < first) assert.equal(gradients.a[row * first + column], dy[i]);
      if (column >= first + second) assert.equal(gradients.b[row * rest + column - first - second], dy[i]);
    }
  });
}

Deno.test("addColumns refuses deltas that do not fit", () => {
  const g = createGraph(targetOf(gpu), true);
  const x = g.tensor("x", [4, 8]);
  const add = (shape: number[], start: number) => () => addColumns(g, x, [{ start, delta: g.tensor("d", shape) }]);
  assert.throws(add([4, 4], 5), { name: "RangeError", message: /columns within 0 and 8 but found 5 to 9/ });
  assert.throws(add([3, 4], 0), { name: "RangeError", message: /delta 0 of shape \[4, 4\] but found \[3, 4\]/ });
});
