/**
 * GEMM of a BERT-base linear layer, 512 x 768 x 768 in f32 and its two gradients, against the matmul of jax-js and of
 * TensorFlow.js on their WebGPU backends, and against a kernel of fused multiply-adds alone, the most that the adapter can
 * do: same process, same adapter, repetitions interleaved, medians. Every side runs as many products between two awaited
 * readbacks as take `--milliseconds`, so that Deno's 11 ms of a readback do not count, and the results are compared before
 * anything is timed.
 *
 *   deno task bench:gemm [--json] [--preset broadcast|tiled] [--repetitions 5] [--milliseconds 250] [--shape 512,768,768]
 *
 * The last line of output is one JSON object; with --json it is the only one.
 */
import { parseArgs } from "node:util";
import { blockUntilReady, numpy } from "@jax-js/jax";
import * as tf from "@tensorflow/tfjs-core";
import { gemmDispatch, type GemmLayout, type GemmPreset } from "../lib/gpu/gemm.ts";
import { randomStream } from "../lib/support/rng.ts";
import { openGpu } from "../lib/gpu/device.ts";
import { type Contender, differences, measure } from "./contenders.ts";
import { fastestFma, fma, fmaFlops } from "./fma.ts";
import { bindStep, encodeSteps, readBuffer, storageBuffer } from "./gpu.ts";
import { openLibraries } from "./peers/libraries.ts";

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    preset: { type: "string" },
    repetitions: { type: "string", default: "5" },
    milliseconds: { type: "string", default: "250" },
    shape: { type: "string", default: "512,768,768" },
  },
});
const timing = { repetitions: Number(options.repetitions), milliseconds: Number(options.milliseconds) };
const [TOKENS, OUTPUTS, INPUTS] = options.shape.split(",").map(Number) as [number, number, number];
if (![...Object.values(timing), TOKENS, OUTPUTS, INPUTS].every((value) => Number.isInteger(value) && value >= 1)) {
  console.error("error: Expected --repetitions, --milliseconds and the three sizes of --shape to be integers above 0");
  Deno.exit(2);
}
const FLOPS = 2 * TOKENS * OUTPUTS * INPUTS;

const gpu = await openGpu((options.preset ?? "auto") as GemmPreset | "auto");
const { preset } = gpu;
await openLibraries(gpu.name);

const say = (line: string) => options.json || console.log(line);

/** Standard normal floats. */
function normals(label: string, length: number): Float32Array<ArrayBuffer> {
  const random = randomStream(0, label);
  return new Float32Array(length).map(() => random.normal());
}

/** Operand shapes as stored and [M, N, K] of C: y = x·Wᵀ, dx = dy·W, dW = dyᵀ·x. */
const SHAPES: Record<GemmLayout, { a: [number, number]; b: [number, number]; c: [number, number, number] }> = {
  nt: { a: [TOKENS, INPUTS], b: [OUTPUTS, INPUTS], c: [TOKENS, OUTPUTS, INPUTS] },
  nn: { a: [TOKENS, OUTPUTS], b: [OUTPUTS, INPUTS], c: [TOKENS, INPUTS, OUTPUTS] },
  tn: { a: [TOKENS, OUTPUTS], b: [TOKENS, INPUTS], c: [OUTPUTS, INPUTS, TOKENS] },
};

function winnow(layout: GemmLayout, a: Float32Array<ArrayBuffer>, b: Float32Array<ArrayBuffer>): Contender {
  const [m, n, k] = SHAPES[layout].c;
  const { device } = gpu;
  const subgroupSize = gpu.subgroupSize;
  const plan = gemmDispatch({ layout, m, n, k, epilogue: "none", preset, subgroupSize });
  const buffers = { a: storageBuffer(device, a), b: storageBuffer(device, b), c: storageBuffer(device, m * n) };
  const partials = storageBuffer(device, plan.splits * m * n);
  const steps = plan.second
    ? [bindStep(gpu, plan, { ...buffers, c: partials }), bindStep(gpu, plan.second, { partials, c: buffers.c })]
    : [plan, ...plan.later ?? []].map((step) => bindStep(gpu, step, buffers));
  const token = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
  return {
    name: "winnow",
    async run(count) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (let product = 0; product < count; product++) encodeSteps(pass, steps);
      pass.end();
      encoder.copyBufferToBuffer(buffers.c, 0, token, 0, 4);
      device.queue.submit([encoder.finish()]);
      await readBuffer(device, token);
      gpu.check();
    },
    result: async () => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      encodeSteps(pass, steps);
      pass.end();
      device.queue.submit([encoder.finish()]);
      return [await readBuffer(device, buffers.c)];
    },
  };
}

function jaxJs(layout: GemmLayout, a: Float32Array<ArrayBuffer>, b: Float32Array<ArrayBuffer>): Contender {
  const x = numpy.array(a).reshape(SHAPES[layout].a), y = numpy.array(b).reshape(SHAPES[layout].b);
  const product = () =>
    numpy.matmul(
      layout === "tn" ? numpy.transpose(x.ref) : x.ref,
      layout === "nt" ? numpy.transpose(y.ref) : y.ref,
    );
  return {
    name: "jax-js",
    async run(count) {
      const products = Array.from({ length: count }, product);
      await blockUntilReady(products);
      for (const array of products) array.dispose();
    },
    result: async () => [await product().data() as Float32Array],
  };
}

/** The faster of two forms: the transposed operand by a flag of the product, or copied first. */
async function tfjs(
  layout: GemmLayout,
  a: Float32Array<ArrayBuffer>,
  b: Float32Array<ArrayBuffer>,
): Promise<Contender> {
  const x = tf.tensor2d(a, SHAPES[layout].a), y = tf.tensor2d(b, SHAPES[layout].b);
  const forms = [
    () => tf.matMul(x, y, layout === "tn", layout === "nt"),
    () => tf.tidy(() => tf.matMul(layout === "tn" ? tf.transpose(x) : x, layout === "nt" ? tf.transpose(y) : y)),
  ];
  const contender = (product: () => tf.Tensor): Contender => ({
    name: "tfjs",
    async run(count) {
      for (let i = 1; i < count; i++) product().dispose();
      const last = product();
      const corner = tf.slice(last as tf.Tensor2D, [0, 0], [1, 1]);
      await corner.data();
      tf.dispose([last, corner]);
    },
    result: async () => [await product().data() as Float32Array],
  });
  const times: number[] = [];
  for (const form of forms) {
    await contender(form).run(1);
    const start = performance.now();
    await contender(form).run(2);
    times.push(performance.now() - start);
  }
  return contender(forms[times.indexOf(Math.min(...times))]!);
}

const form = await fastestFma(gpu);
const bound = { ...fma(gpu, form), name: "fma" };

const layouts: Record<string, Record<string, number>> = {};
for (const layout of ["nt", "nn", "tn"] as const) {
  const { a: [aRows, aColumns], b: [bRows, bColumns] } = SHAPES[layout];
  const a = normals("a", aRows * aColumns), b = normals("b", bRows * bColumns);
  const products = [winnow(layout, a, b), jaxJs(layout, a, b), await tfjs(layout, a, b)];
  // Sums of 512-768 products of normal numbers are about 25, with rounding errors of a few 1e-5.
  const off = await differences(products, 1e-3);
  const times = await measure([...products, bound], timing);
  const flops = (name: string) => name === "fma" ? fmaFlops(form) : FLOPS;
  const gflops = (name: string) => flops(name) / times.get(name)!.wall / 1e6;
  const perCore = (name: string) => flops(name) / times.get(name)!.cpu / 1e6;
  const two = (value: number) => Number(value.toFixed(2));
  const ours = gflops("winnow"), oursPerCore = perCore("winnow");
  layouts[layout] = {
    winnow_gflops: two(ours),
    jax_js_gflops: two(gflops("jax-js")),
    tfjs_gflops: two(gflops("tfjs")),
    fma_gflops: two(gflops("fma")),
    ratio_jax_js: two(ours / gflops("jax-js")),
    ratio_tfjs: two(ours / gflops("tfjs")),
    share_of_fma: Number((ours / gflops("fma")).toFixed(3)),
    difference: Math.max(...off.values()),
    // By CPU time: of CPU adapters alone.
    ...(gpu.isSoftware
      ? {
        winnow_gflops_per_core: two(oursPerCore),
        ratio_cpu_jax_js: two(oursPerCore / perCore("jax-js")),
        ratio_cpu_tfjs: two(oursPerCore / perCore("tfjs")),
        share_of_fma_cpu: Number((oursPerCore / perCore("fma")).toFixed(3)),
      }
      : {}),
  };
  const { ratio_jax_js, ratio_tfjs, share_of_fma } = layouts[layout]!;
  say(
    `${layout}  winnow ${ours.toFixed(1)} GFLOP/s  jax-js ${gflops("jax-js").toFixed(1)}, x${ratio_jax_js}  ` +
      `tfjs ${gflops("tfjs").toFixed(1)}, x${ratio_tfjs}  FMA alone ${gflops("fma").toFixed(0)}, ` +
      `of which ${(100 * share_of_fma!).toFixed(0)} %`,
  );
}

const smallest = (figure: string) => Math.min(...Object.values(layouts).map((of) => of[figure]!));
console.log(JSON.stringify({
  bench: "gemm",
  adapter: gpu.name,
  preset,
  shape: [TOKENS, OUTPUTS, INPUTS],
  fma_form: form,
  layouts,
  min_ratio: Math.min(smallest("ratio_jax_js"), smallest("ratio_tfjs")),
  min_share_of_fma: smallest("share_of_fma"),
}));
// The libraries keep their devices open.
Deno.exit(0);
