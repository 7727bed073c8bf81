/**
 * GEMM of a BERT-base linear layer, 512 x 768 x 768 in f32 and its two gradients, against the matmul of jax-js, the
 * nearest relative, on its WebGPU backend: same process, same adapter, repetitions interleaved, medians. Either side
 * runs `PRODUCTS` products between two awaited readbacks, so that both carry Deno's 11 ms of a readback, and the results
 * are compared before anything is timed.
 *
 *   deno task bench:gemm [--json] [--preset broadcast|tiled] [--repetitions 5]
 *
 * The last line of output is one JSON object; with --json it is the only one.
 */
import { parseArgs } from "node:util";
import { blockUntilReady, defaultDevice, getWebGPUDevice, init, numpy } from "@jax-js/jax";
import { gemmDispatch, type GemmLayout, type GemmPreset } from "../lib/gpu/gemm.ts";
import { randomStream } from "../lib/support/rng.ts";
import { openGpu } from "../lib/gpu/device.ts";
import { bindStep, encodeSteps, readBuffer, storageBuffer } from "./gpu.ts";

const TOKENS = 512, WIDTH = 768;
const FLOPS = 2 * TOKENS * WIDTH * WIDTH;
const PRODUCTS = 8;

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    preset: { type: "string" },
    repetitions: { type: "string", default: "5" },
  },
});

const gpu = await openGpu((options.preset ?? "auto") as GemmPreset | "auto");
const { preset } = gpu;
const backends = await init("webgpu");
if (!backends.includes("webgpu")) throw new Error("jax-js found no WebGPU adapter");
defaultDevice("webgpu");
const peer = getWebGPUDevice().adapterInfo;
if (peer.description !== gpu.name) {
  throw new Error(`Expected one adapter but found "${gpu.name}" and, for jax-js, "${peer.description}"`);
}

const say = (line: string) => options.json || console.log(line);

/** Standard normal floats. */
function normals(label: string, length: number): Float32Array<ArrayBuffer> {
  const random = randomStream(0, label);
  return new Float32Array(length).map(() => random.normal());
}

/** One contender: runs `PRODUCTS` products and resolves when the last is done; `result` is C. */
interface Contender {
  run(): Promise<void>;
  result(): Promise<Float32Array>;
}

/** Operand shapes as stored and the shape of C. */
const SHAPES: Record<GemmLayout, { a: [number, number]; b: [number, number]; c: [number, number, number] }> = {
  nt: { a: [TOKENS, WIDTH], b: [WIDTH, WIDTH], c: [TOKENS, WIDTH, WIDTH] },
  nn: { a: [TOKENS, WIDTH], b: [WIDTH, WIDTH], c: [TOKENS, WIDTH, WIDTH] },
  tn: { a: [TOKENS, WIDTH], b: [TOKENS, WIDTH], c: [WIDTH, WIDTH, TOKENS] },
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
    async run() {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (let product = 0; product < PRODUCTS; product++) encodeSteps(pass, steps);
      pass.end();
      encoder.copyBufferToBuffer(buffers.c, 0, token, 0, 4);
      device.queue.submit([encoder.finish()]);
      await readBuffer(device, token);
      gpu.check();
    },
    result: () => readBuffer(device, buffers.c),
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
    async run() {
      const products = Array.from({ length: PRODUCTS }, product);
      await blockUntilReady(products);
      for (const array of products) array.dispose();
    },
    async result() {
      return await product().data() as Float32Array;
    },
  };
}

/** Largest absolute difference, which for NaN is NaN. */
function largestDifference(x: Float32Array, y: Float32Array): number {
  return x.reduce((largest, value, i) => Math.max(largest, Math.abs(value - y[i]!)), x.length === y.length ? 0 : NaN);
}

const median = (values: number[]) => values.sort((x, y) => x - y)[values.length >> 1]!;

async function milliseconds(contender: Contender): Promise<number> {
  const start = performance.now();
  await contender.run();
  return performance.now() - start;
}

const layouts: Record<string, { winnow_gflops: number; jax_js_gflops: number; ratio: number; difference: number }> = {};
for (const layout of ["nt", "nn", "tn"] as const) {
  const { a: [aRows, aColumns], b: [bRows, bColumns] } = SHAPES[layout];
  const a = normals("a", aRows * aColumns), b = normals("b", bRows * bColumns);
  const contenders = [winnow(layout, a, b), jaxJs(layout, a, b)] as const;
  for (const contender of contenders) await contender.run();
  const difference = largestDifference(await contenders[0].result(), await contenders[1].result());
  // Sums of 512-768 products of normal numbers are about 25, with rounding errors of a few 1e-5.
  if (!(difference < 1e-3)) throw new Error(`The ${layout} products differ by ${difference}`);
  const times: [number[], number[]] = [[], []];
  for (let repetition = 0; repetition < Number(options.repetitions); repetition++) {
    for (const which of [0, 1] as const) times[which].push(await milliseconds(contenders[which]));
  }
  const [ours, theirs] = times.map((list) => FLOPS * PRODUCTS / median(list) / 1e6) as [number, number];
  layouts[layout] = {
    winnow_gflops: Number(ours.toFixed(2)),
    jax_js_gflops: Number(theirs.toFixed(2)),
    ratio: Number((ours / theirs).toFixed(2)),
    difference,
  };
  say(
    `${layout}  winnow ${ours.toFixed(1)} GFLOP/s  jax-js ${theirs.toFixed(1)} GFLOP/s  x${(ours / theirs).toFixed(1)}`,
  );
}

console.log(JSON.stringify({
  bench: "gemm",
  adapter: gpu.name,
  preset,
  shape: [TOKENS, WIDTH, WIDTH],
  layouts,
  min_ratio: Math.min(...Object.values(layouts).map(({ ratio }) => ratio)),
}));
// jax-js keeps its device open.
Deno.exit(0);
