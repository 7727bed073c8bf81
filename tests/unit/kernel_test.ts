/** What is read from a kernel's WGSL, and the errors of a dispatch that does not fit it. */
import assert from "node:assert/strict";
import { type BufferSlice, createArena, layoutSequential } from "../../lib/gpu/arena.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { defineKernel, type Kernel, specialise } from "../../lib/gpu/kernel.ts";
import { createStepRing, type Dispatch, recordProgram } from "../../lib/gpu/program.ts";
import { createReadback } from "../../lib/gpu/readback.ts";
import { KERNELS } from "../../lib/graph/ops/kernels.ts";

const NONE: ReadonlySet<string> = new Set();

/** y = factor · x, with an optional third binding. */
const SCALE = defineKernel(
  "scale",
  `struct Dims {
  count: u32, // elements: u32
  factor: f32,
  shift: i32,
}
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(0) var<storage,read> x: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;
//#if EXTRA
@group(0) @binding(5)
var<storage> extra: array<f32>;
//#end
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < dims.count) { y[id.x] = dims.factor * x[id.x] + f32(dims.shift); }
}`,
);

Deno.test("bindings, Dims and their indices are read from the text", () => {
  const { bindings, dims, dimsIndex, usesStep } = specialise(SCALE, { EXTRA: 1 }, NONE);
  assert.deepEqual(bindings, [
    { name: "x", index: 0, access: "read" },
    { name: "y", index: 2, access: "read_write" },
    { name: "extra", index: 5, access: "read" },
  ]);
  assert.deepEqual(dims, [
    { name: "count", type: "u32" },
    { name: "factor", type: "f32" },
    { name: "shift", type: "i32" },
  ]);
  assert.equal(dimsIndex, 3);
  assert.equal(usesStep, false);
});

Deno.test("a binding in a branch that is not kept does not exist", () => {
  const { bindings, code } = specialise(SCALE, { EXTRA: 0 }, NONE);
  assert.deepEqual(bindings.map(({ name }) => name), ["x", "y"]);
  assert.ok(!code.includes("extra"));
});

Deno.test("step scalars are found through an include", () => {
  const { usesStep, dimsIndex } = specialise(
    KERNELS.criteriaLoss,
    { CRITERIA: 9, POSITIVE_WEIGHT: 0, ADAPTIVE: 0 },
    NONE,
  );
  assert.equal(usesStep, true);
  assert.equal(dimsIndex, 5);
});

Deno.test("promotion makes the named read bindings read_write in the text and no others", () => {
  const { code, bindings } = specialise(SCALE, { EXTRA: 1 }, new Set(["extra"]));
  assert.match(code, /@binding\(5\)\s*var<storage, read_write> extra/);
  assert.match(code, /var<storage,read> x/);
  // The access is still what the author wrote: it decides what has to be promoted.
  assert.deepEqual(bindings.map(({ access }) => access), ["read", "read_write", "read"]);
  assert.match(specialise(SCALE, { EXTRA: 0 }, new Set(["x"])).code, /var<storage, read_write> x/);
});

for (
  const [what, text, message] of [
    ["a foreign uniform", "@group(0) @binding(0) var<uniform> sizes: Dims;", /Kernel odd: .*"dims" or "step".*"sizes"/],
    ["dims in group 1", "@group(1) @binding(0) var<uniform> dims: Dims;", /Kernel odd: .*found "dims"/],
    ["storage in group 1", "@group(1) @binding(1) var<storage> x: array<f32>;", /Kernel odd: expected binding "x" in/],
  ] as const
) {
  Deno.test(`${what} is refused, naming kernel and binding`, () => {
    assert.throws(() => specialise(defineKernel("odd", text), {}, NONE), message);
  });
}

const gpu = await openGpu();
const ring = createStepRing(gpu);
const { slots, layout } = layoutSequential("test", [64 * 4, 64 * 4], Infinity);
const arena = createArena(gpu, layout);
const [x, y] = slots.map((slot) => arena.slice(slot)) as [BufferSlice, BufferSlice];

const dispatch = (changes: Partial<Dispatch> = {}): Dispatch => ({
  kernel: SCALE,
  constants: { EXTRA: 0 },
  bindings: { x, y },
  dims: { count: 64, factor: 2, shift: -1 },
  grid: [1, 1, 1],
  ...changes,
});
const record = (changes: Partial<Dispatch>) => recordProgram(gpu, "program", ring, [dispatch(), dispatch(changes)]);

Deno.test("a dispatch without a buffer or a value names program, dispatch, kernel and what lacks", () => {
  const where = "program, dispatch 1 \\(scale\\): ";
  assert.throws(() => record({ bindings: { x } }), new RegExp(`${where}expected a buffer for binding "y"`));
  assert.throws(() => record({ constants: { EXTRA: 1 } }), new RegExp(`${where}.*binding "extra"`));
  assert.throws(
    () => record({ dims: { count: 64, shift: 0 } }),
    new RegExp(`${where}expected a value for Dims\\.factor`),
  );
  assert.throws(() => record({ grid: [70000, 1, 1] }), new RegExp(`${where}grid 70000,1,1 is over 65535`));
  const bindings = { x: { ...x, size: gpu.limits.maxStorageBufferBindingSize + 4 }, y };
  assert.throws(() => record({ bindings }), new RegExp(`${where}binding "x" of \\d+ bytes is over`));
});

/** Runs dispatches in one program and reads 64 floats of y. */
async function run(dispatches: Dispatch[]): Promise<Float32Array> {
  const program = recordProgram(gpu, "program", ring, dispatches);
  const readback = createReadback(gpu, 256);
  gpu.device.queue.writeBuffer(x.buffer, x.offset, Float32Array.from({ length: 64 }, (_, i) => i));
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  program.encode(pass, 0);
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  readback.enqueue(y);
  const [bytes] = await readback.flush();
  program.destroy();
  readback.destroy();
  return new Float32Array(bytes!);
}

Deno.test("dims travel by their types, and one buffer is read and written in one dispatch", async () => {
  // x and y are ranges of one buffer: without promotion WebGPU refuses the bind group.
  assert.equal(x.buffer, y.buffer);
  assert.deepEqual(await run([dispatch()]), Float32Array.from({ length: 64 }, (_, i) => 2 * i - 1));
});

Deno.test("dispatches of a program run in order and see what earlier ones wrote", async () => {
  const again = dispatch({ bindings: { x: y, y: x } });
  const last = dispatch({ dims: { count: 64, factor: 10, shift: 0 } });
  assert.deepEqual(await run([dispatch(), again, last]), Float32Array.from({ length: 64 }, (_, i) => 10 * (4 * i - 3)));
});

Deno.test("a pipeline is compiled once per kernel, constants and promotion", () => {
  const other: Kernel = defineKernel("scale twice", SCALE.source);
  const size = () => gpu.pipelines.size;
  const first = gpu.pipelines.get(other, { EXTRA: 0 }, NONE);
  const before = size();
  assert.equal(gpu.pipelines.get(other, { EXTRA: 0 }, new Set()), first);
  assert.equal(size(), before);
  assert.notEqual(gpu.pipelines.get(other, { EXTRA: 1 }, NONE), first);
  assert.notEqual(gpu.pipelines.get(other, { EXTRA: 0 }, new Set(["x"])), first);
  assert.equal(size(), before + 2);
  gpu.check();
});

Deno.test("a program compiles what it dispatches and nothing else: no variant without the promotion it needs", () => {
  const other: Kernel = defineKernel("scale once", SCALE.source);
  const before = gpu.pipelines.size;
  assert.equal(gpu.pipelines.access(other, { EXTRA: 0 }).get("x"), "read");
  assert.equal(gpu.pipelines.size, before);
  recordProgram(gpu, "program", ring, [dispatch({ kernel: other }), dispatch({ kernel: other })]).destroy();
  assert.equal(gpu.pipelines.size, before + 1);
  gpu.check();
});
