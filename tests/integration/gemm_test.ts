/**
 * Every GEMM kernel against products in f64: layouts x presets x epilogues, with sizes that fit no tile. Outputs start as
 * NaN, so that an element left out shows; so do the padding rows of the inputs, so that a row too many shows.
 */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import { bindStep, encodeSteps, readBuffer, storageBuffer } from "../../bench/gpu.ts";
import {
  type ActivationKind,
  type GemmDispatch,
  gemmDispatch,
  type GemmEpilogue,
  type GemmLayout,
  type GemmRequest,
  generalDispatch,
  ROW_PADDING,
  sumPartials,
} from "../../lib/gpu/gemm.ts";
import { BROADCAST_VARIANT_NAMES, TILED_VARIANT_NAMES, TILED_VARIANTS } from "../../lib/gpu/gemm_variants.ts";
import { specialise } from "../../lib/gpu/kernel.ts";
import { randomStream } from "../../lib/support/rng.ts";

const gpu = await openGpu();
// lavapipe's subgroup is a native vector: 8 lanes, or 4 and 16 under LP_NATIVE_VECTOR_WIDTH=128 and 512.
const subgroupSize = gpu.subgroupSize;

/** Normal numbers for the first `length` of `padded` elements, NaN after them. */
function normals(label: string, length: number, padded = length): Float32Array<ArrayBuffer> {
  const random = randomStream(7, label);
  return new Float32Array(padded).fill(NaN).map((nothing, i) => i < length ? random.normal() : nothing);
}

/** Complementary error function by its continued fraction, error function by its series: 1e-15 in f64. */
function erf(x: number): number {
  if (x < 0) return -erf(-x);
  if (x < 3) {
    let term = x, sum = x;
    for (let n = 1; Math.abs(term) > 1e-17; n++) {
      term *= -x * x / n;
      sum += term / (2 * n + 1);
    }
    return 2 / Math.sqrt(Math.PI) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (x + fraction);
  return 1 - Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}

const gaussian = (x: number) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
const ACTIVATIONS: Record<ActivationKind, { value: (x: number) => number; derivative: (x: number) => number }> = {
  gelu_erf: {
    value: (x) => x * (1 + erf(x / Math.SQRT2)) / 2,
    derivative: (x) => (1 + erf(x / Math.SQRT2)) / 2 + x * gaussian(x),
  },
  gelu_tanh: {
    value: (x) => x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))) / 2,
    derivative: (x) => {
      const t = Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));
      return (1 + t) / 2 + x * (1 - t * t) / 2 * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x);
    },
  },
  relu: { value: (x) => Math.max(x, 0), derivative: (x) => Number(x > 0) },
};

interface Operands {
  readonly a: Float32Array<ArrayBuffer>;
  readonly b: Float32Array<ArrayBuffer>;
  readonly bias: Float32Array<ArrayBuffer>;
  readonly aux: Float32Array<ArrayBuffer>;
  readonly c: Float32Array<ArrayBuffer>;
}

const padded = (rows: number) => Math.ceil(rows / ROW_PADDING) * ROW_PADDING;

function operands({ layout, m, n, k, epilogue }: GemmRequest): Operands {
  const rows = layout === "tn" ? m : padded(m);
  const poison = new Float32Array(rows * n).fill(NaN);
  return {
    a: layout === "tn" ? normals("a", k * m, padded(k) * m) : normals("a", m * k, rows * k),
    b: layout === "tn" ? normals("b", k * n, padded(k) * n) : normals("b", k * n),
    bias: normals("bias", n),
    aux: epilogue.startsWith("d") ? normals("aux", m * n, rows * n).map((x) => 2 * x) : poison,
    c: epilogue === "accumulate" ? normals("c", m * n, rows * n) : poison,
  };
}

/** Runs the dispatches of a plan on fresh buffers; C and aux come back with their padding rows. */
async function run(plan: GemmDispatch, data: Operands): Promise<{ c: Float32Array; aux: Float32Array }> {
  const { device } = gpu;
  const buffers = {
    a: storageBuffer(device, data.a),
    b: storageBuffer(device, data.b),
    bias: storageBuffer(device, data.bias),
    aux: storageBuffer(device, data.aux),
    c: storageBuffer(device, data.c),
  };
  const scratch = plan.scratch?.reduce((x, y) => x * y) ?? 4;
  const partials = storageBuffer(device, new Float32Array(scratch).fill(NaN));
  const steps = plan.second
    ? [bindStep(gpu, plan, { ...buffers, c: partials }), bindStep(gpu, plan.second, { c: buffers.c, partials })]
    : [plan, ...plan.later ?? []].map((step) => bindStep(gpu, step, buffers));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  encodeSteps(pass, steps);
  pass.end();
  device.queue.submit([encoder.finish()]);
  const c = await readBuffer(device, buffers.c);
  const aux = await readBuffer(device, buffers.aux);
  gpu.check();
  for (const buffer of [...Object.values(buffers), partials]) buffer.destroy();
  return { c, aux };
}

/**
 * Checks a plan's C (and aux) against f64; `exactStores` also that nothing past row M was written.
 *
 * @returns the bits of C
 */
async function check(request: GemmRequest, plan: GemmDispatch, exactStores: boolean): Promise<Uint32Array> {
  const { layout, m, n, k, epilogue } = request;
  const data = operands(request);
  const found = await run(plan, data);
  const [, kind, form] = /^(bias|d|)_?(gelu_erf|gelu_tanh|relu|)/.exec(epilogue) as unknown as [
    string,
    "bias" | "d" | "",
    ActivationKind | "",
  ];
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      const index = i * n + j;
      let sum = 0, magnitude = 1;
      for (let l = 0; l < k; l++) {
        const x = data.a[layout === "tn" ? l * m + i : i * k + l]!;
        const y = data.b[layout === "nt" ? j * k + l : l * n + j]!;
        sum += x * y;
        magnitude += Math.abs(x * y);
      }
      let expected = sum;
      if (kind === "bias") expected += data.bias[j]!;
      if (epilogue === "accumulate") expected += data.c[index]!;
      if (kind === "d" && form) expected *= ACTIVATIONS[form].derivative(data.aux[index]!);
      // gelu' has the error of the driver's exp (3.7e-6 on lavapipe).
      const tolerance = (kind === "d" ? 3e-6 : 1e-6) * magnitude;
      if (kind === "bias" && form) {
        assertClose(found.aux[index]!, expected, tolerance, `aux[${i}, ${j}]`);
        expected = ACTIVATIONS[form].value(expected);
      }
      assertClose(found.c[index]!, expected, tolerance, `c[${i}, ${j}]`);
    }
  }
  if (exactStores) {
    assert.deepEqual(found.c.subarray(m * n), data.c.subarray(m * n), "rows past M were written");
  }
  return new Uint32Array(found.c.buffer, 0, m * n);
}

function assertClose(found: number, expected: number, tolerance: number, where: string): void {
  if (!(Math.abs(found - expected) <= tolerance)) {
    assert.fail(`Expected ${where} to be ${expected} within ${tolerance} but found ${found}`);
  }
}

const EPILOGUES: readonly GemmEpilogue[] = [
  "none",
  "bias",
  "bias_gelu_erf",
  "bias_gelu_tanh",
  "bias_relu",
  "accumulate",
  "dgelu_erf",
  "dgelu_tanh",
  "drelu",
];

/** [M, N, K] with odd token counts: K counts tokens in tn. N a multiple of 128 fits every subgroup size. */
const ALIGNED: Record<GemmLayout, [number, number, number][]> = {
  nt: [[13, 128, 36], [399, 128, 64], [1, 128, 128], [32, 384, 4]],
  nn: [[13, 128, 36], [399, 128, 64], [1, 128, 128], [32, 384, 4]],
  tn: [[96, 128, 13], [32, 128, 399], [64, 128, 1], [384, 128, 32]],
};
const ODD: Record<GemmLayout, [number, number, number][]> = {
  nt: [[13, 9, 384], [399, 18, 35], [1, 1, 1], [6, 33, 36]],
  nn: [[13, 384, 9], [399, 35, 18], [1, 1, 1], [6, 33, 36]],
  tn: [[9, 384, 13], [18, 35, 399], [1, 1, 1], [6, 33, 36]],
};

const LAYOUTS = ["nt", "nn", "tn"] as const;
const VARIANTS = TILED_VARIANT_NAMES.length;

for (const layout of LAYOUTS) {
  Deno.test(`gemm broadcast ${layout} equals the f64 product at aligned sizes`, async () => {
    for (const [m, n, k] of ALIGNED[layout]) {
      const request: GemmRequest = { layout, m, n, k, epilogue: "none", preset: "broadcast", subgroupSize };
      const plan = gemmDispatch(request);
      assert.equal(plan.kernel.name, "gemm_broadcast");
      await check(request, plan, false);
    }
  });

  Deno.test(`gemm tiled ${layout} equals the f64 product in every variant, all with the same bits`, async () => {
    const cut: [number, number, number] = layout === "tn" ? [36, 132, 70] : [130, 132, 36];
    const bits = new Set<string>();
    for (const [i, variant] of TILED_VARIANT_NAMES.entries()) {
      // Those that run untried meet every size; two slices, so that all cut them at the same place.
      for (const [m, n, k] of i < 2 ? [...ALIGNED[layout], cut] : [cut]) {
        const splits = layout === "tn" && m === cut[0] ? 2 : 1;
        const request: GemmRequest = {
          ...{ layout, m, n, k, epilogue: "none", preset: "tiled", subgroupSize },
          ...{ variant, splits },
        };
        const plan = gemmDispatch(request);
        assert.equal(plan.kernel.name, "gemm_tiled");
        assert.deepEqual([plan.constants.TILE_ROWS, plan.constants.TILE_COLUMNS], TILED_VARIANTS[variant].tile);
        const found = await check(request, plan, true);
        if (m === cut[0]) bits.add(found.join());
      }
    }
    assert.equal(bits.size, 1);
  });

  Deno.test(`gemm broadcast ${layout} has the same bits in every variant, and those of the tiled preset`, async () => {
    const [m, n, k] = layout === "tn" ? [96, 128, 45] as const : [45, 128, 64] as const;
    const bits = new Set<string>();
    for (const variant of BROADCAST_VARIANT_NAMES) {
      const request: GemmRequest = {
        ...{ layout, m, n, k, epilogue: "none", preset: "broadcast", subgroupSize, variant },
      };
      bits.add((await check(request, gemmDispatch(request), false)).join());
    }
    const tiled: GemmRequest = { layout, m, n, k, epilogue: "none", preset: "tiled", subgroupSize, splits: 1 };
    bits.add((await check(tiled, gemmDispatch(tiled), true)).join());
    assert.equal(bits.size, 1);
  });

  Deno.test(`gemm ${layout} takes odd sizes by the general kernel in both presets`, async () => {
    for (const [m, n, k] of ODD[layout]) {
      for (const preset of ["broadcast", "tiled"] as const) {
        const request: GemmRequest = { layout, m, n, k, epilogue: "none", preset, subgroupSize };
        const plan = gemmDispatch(request);
        assert.equal(plan.kernel.name, "gemm_general");
        if (preset === "broadcast") await check(request, plan, true);
      }
    }
  });

  Deno.test(`gemm ${layout} fuses each epilogue`, async (test) => {
    const [m, n, k] = layout === "tn" ? [64, 128, 45] as const : [45, 128, 64] as const;
    for (const epilogue of EPILOGUES) {
      const request: GemmRequest = { layout, m, n, k, epilogue, preset: "broadcast", subgroupSize };
      // A variant each, so that all of them meet an activation: pairs, not the product.
      const variant = TILED_VARIANT_NAMES[(EPILOGUES.indexOf(epilogue) + LAYOUTS.indexOf(layout)) % VARIANTS]!;
      const tiled: GemmRequest = { ...request, preset: "tiled", variant };
      await test.step(`broadcast ${epilogue}`, async () => void await check(request, gemmDispatch(request), false));
      await test.step(`tiled ${epilogue}`, async () => void await check(tiled, gemmDispatch(tiled), true));
      await test.step(`general ${epilogue}`, async () => void await check(request, generalDispatch(request), true));
    }
  });
}

Deno.test("gemm tiled tn sums its slices in fixed order, whatever their number", async () => {
  for (const [splits, k] of [[2, 399], [3, 70], [7, 65], [5, 13]] as const) {
    for (const epilogue of ["none", "accumulate"] as const) {
      const request: GemmRequest = {
        layout: "tn",
        m: 36,
        n: 96,
        k,
        epilogue,
        preset: "tiled",
        subgroupSize,
        splits,
      };
      const plan = gemmDispatch(request);
      assert.deepEqual(plan.scratch, [splits, 36, 96]);
      await check(request, plan, true);
    }
  }
});

Deno.test("gemm broadcast tn adds slices of many tokens in their order", async () => {
  for (const k of [513, 1100]) {
    for (const epilogue of ["none", "accumulate"] as const) {
      const request: GemmRequest = { layout: "tn", m: 96, n: 160, k, epilogue, preset: "broadcast", subgroupSize };
      const plan = gemmDispatch(request);
      assert.deepEqual(
        [plan, ...plan.later!].map(({ dims, constants }) => [dims["first"], dims["rows"], constants["ACCUMULATE"]]),
        Array.from(
          { length: Math.ceil(k / 512) },
          (_, i) => [512 * i, Math.min(512, k - 512 * i), Number(i > 0 || epilogue === "accumulate")],
        ),
      );
      await check(request, plan, true);
    }
  }
});

Deno.test("gemm tiled tn is split when its tiles are few and its tokens many", () => {
  const request: GemmRequest = {
    layout: "tn",
    m: 768,
    n: 768,
    k: 4096,
    epilogue: "accumulate",
    preset: "tiled",
    subgroupSize: 32,
  };
  const plan = gemmDispatch(request);
  assert.equal(plan.constants.TILE_ROWS, 128);
  assert.equal(plan.constants.ACCUMULATE, 0, "a slice must not add to scratch memory");
  assert.deepEqual(plan.grid, [6, 6, 7]);
  assert.equal(plan.second?.constants.ACCUMULATE, 1);
  assert.equal(gemmDispatch({ ...request, k: 100 }).splits, 1);
  for (const variant of TILED_VARIANT_NAMES) {
    assert.equal(gemmDispatch({ ...request, variant }).splits, 7, "the sum must not depend on the variant");
  }
});

Deno.test("GELU and its derivative keep the accuracy of torch.nn.functional.gelu over [-10, 10]", async () => {
  const m = 4001, ones = new Float32Array(m).fill(1), zero = new Float32Array(m);
  const x = ones.map((_, i) => (i - 2000) / 200);
  const shape = { layout: "nn", m, n: 1, k: 1, preset: "tiled", subgroupSize } as const;
  for (const form of ["erf", "tanh"] as const) {
    const value = await run(
      generalDispatch({ ...shape, epilogue: `bias_gelu_${form}` }),
      { a: x, b: ones, bias: zero, aux: zero, c: zero },
    );
    const derivative = await run(
      generalDispatch({ ...shape, epilogue: `dgelu_${form}` }),
      { a: ones, b: ones, bias: zero, aux: x, c: zero },
    );
    x.forEach((x, i) => {
      assertClose(
        value.c[i]!,
        ACTIVATIONS[`gelu_${form}`].value(x),
        3e-7 * Math.max(1, Math.abs(x)),
        `gelu_${form}(${x})`,
      );
      assertClose(derivative.c[i]!, ACTIVATIONS[`gelu_${form}`].derivative(x), 2e-6, `gelu_${form}'(${x})`);
    });
  }
});

Deno.test("gemm gives the same bits on every run", async () => {
  const requests: GemmRequest[] = [
    { layout: "nt", m: 45, n: 96, k: 64, epilogue: "bias_gelu_erf", preset: "broadcast", subgroupSize },
    { layout: "tn", m: 36, n: 96, k: 399, epilogue: "none", preset: "tiled", subgroupSize, splits: 3 },
    { layout: "nn", m: 45, n: 9, k: 64, epilogue: "none", preset: "broadcast", subgroupSize },
  ];
  for (const request of requests) {
    const data = operands(request), plan = gemmDispatch(request);
    const length = request.m * request.n;
    const [first, second] = [await run(plan, data), await run(plan, data)];
    assert.deepEqual(new Uint32Array(first.c.buffer, 0, length), new Uint32Array(second.c.buffer, 0, length));
  }
});

Deno.test("gemm broadcast is valid WGSL for every subgroup size it takes", async () => {
  for (const layout of ["nt", "nn", "tn"] as const) {
    for (const subgroupSize of [4, 8, 16, 32]) {
      const { kernel, constants } = gemmDispatch({
        layout,
        m: 128,
        n: 128,
        k: 128,
        epilogue: "none",
        preset: "broadcast",
        subgroupSize,
      });
      assert.equal(kernel.name, "gemm_broadcast");
      const shader = gpu.device.createShaderModule({ code: specialise(kernel, constants, new Set()).code });
      assert.deepEqual((await shader.getCompilationInfo()).messages, []);
    }
  }
});

Deno.test("gemm pipelines are shared by all sizes of a layout and epilogue", () => {
  const request: GemmRequest = {
    layout: "nt",
    m: 512,
    n: 768,
    k: 768,
    epilogue: "bias",
    preset: "broadcast",
    subgroupSize,
  };
  assert.deepEqual(gemmDispatch(request).constants, gemmDispatch({ ...request, m: 13, n: 3072, k: 384 }).constants);
});

Deno.test("gemmDispatch() and sumPartials() refuse impossible sizes", () => {
  const request: GemmRequest = {
    layout: "nt",
    m: 0,
    n: 768,
    k: 768,
    epilogue: "bias",
    preset: "broadcast",
    subgroupSize,
  };
  assert.throws(() => gemmDispatch(request), /Expected m to be a positive integer but found 0/);
  assert.throws(() => sumPartials(2, 9, false, 4), /multiple of 9/);
});
