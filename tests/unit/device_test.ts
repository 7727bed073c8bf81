/** The open adapter, its buffers, and transfers to and from it. */
import assert from "node:assert/strict";
import { createArena, layoutSequential, uploadLarge } from "../../lib/gpu/arena.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { createReadback, readLarge, readRanges } from "../../lib/gpu/readback.ts";
import { targetOf } from "../../lib/graph/graph.ts";

const gpu = await openGpu();

/** An arena of one slot. */
function slotOf(bytes: number) {
  const { slots, layout } = layoutSequential("test", [bytes], Infinity);
  const arena = createArena(gpu, layout);
  return { slice: arena.slice(slots[0]!), destroy: arena.destroy };
}

Deno.test("the adapter is named, its limits are taken, and its preset follows from what it is", async () => {
  const adapter = (await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }))!;
  assert.ok(gpu.name.length > 0);
  for (const limit of ["maxBufferSize", "maxStorageBufferBindingSize", "maxComputeWorkgroupStorageSize"] as const) {
    assert.equal(gpu.limits[limit], adapter.limits[limit], limit);
  }
  assert.equal(gpu.preset, gpu.isSoftware && gpu.subgroupSize > 0 ? "broadcast" : "tiled");
  assert.ok(gpu.subgroupSize === 0 || [4, 8, 16, 32, 64].includes(gpu.subgroupSize), `${gpu.subgroupSize} lanes`);
  const target = targetOf(gpu);
  assert.equal(target.maxBindingBytes, gpu.limits.maxStorageBufferBindingSize);
  assert.ok(target.alignment >= 256);
});

Deno.test("a preset can be forced", async () => {
  const tiled = await openGpu("tiled");
  assert.equal(tiled.preset, "tiled");
  assert.equal(tiled.name, gpu.name);
  tiled.device.destroy();
});

Deno.test("allocated bytes count buffers until they are destroyed, once each", () => {
  const before = gpu.allocatedBytes;
  const buffers = [256, 1024].map((size) => gpu.createBuffer("test", size, GPUBufferUsage.STORAGE));
  assert.equal(gpu.allocatedBytes, before + 1280);
  gpu.destroyBuffer(buffers[0]!);
  gpu.destroyBuffer(buffers[0]!);
  assert.equal(gpu.allocatedBytes, before + 1024);
  gpu.destroyBuffer(buffers[1]!);
  assert.equal(gpu.allocatedBytes, before);
});

Deno.test("an upload larger than the staging limit arrives whole, and is read in pieces", async () => {
  const count = (33 * 2 ** 20) / 4 + 3;
  const { slice, destroy } = slotOf(count * 4);
  const readback = createReadback(gpu, 2 ** 24);
  const data = Float32Array.from({ length: count }, (_, i) => i);
  uploadLarge(gpu, slice, data);
  const read = await readLarge(readback, slice);
  assert.equal(read.length, count);
  assert.ok(read.every((value, i) => value === data[i]), "a value differs");
  readback.destroy();
  destroy();
});

Deno.test("ranges larger and smaller than the staging buffers come back whole, and nothing is left allocated", async () => {
  const count = 100_003;
  const { slice, destroy } = slotOf(count * 4);
  uploadLarge(gpu, slice, Float32Array.from({ length: count }, (_, i) => i));
  const before = gpu.allocatedBytes;
  const range = (first: number, length: number) => ({ ...slice, offset: slice.offset + 4 * first, size: 4 * length });
  // 4096 bytes are 1024 floats: pieces end at, before and behind the ends of staging buffers; more than three loads.
  const wanted = [[0, 1], [1, 1023], [5, 1024], [7, 3000], [99_999, 4], [0, count], [3, 0], [17, 2]] as const;
  const read = await readRanges(gpu, wanted.map(([first, length]) => range(first, length)), 4096);
  assert.deepEqual(read.map(({ length }) => length), wanted.map(([, length]) => length));
  wanted.forEach(([first], i) => assert.ok(read[i]!.every((value, at) => value === first + at), `range ${i}`));
  assert.equal(gpu.allocatedBytes, before);
  assert.deepEqual((await readRanges(gpu, [range(2, 3), range(0, 1)])).map((one) => [...one]), [[2, 3, 4], [0]]);
  assert.deepEqual(await readRanges(gpu, []), []);
  destroy();
});

Deno.test("ranges come back in their order, whatever their sizes, and room is given back", async () => {
  const { slice, destroy } = slotOf(1024);
  const readback = createReadback(gpu, 512);
  gpu.device.queue.writeBuffer(slice.buffer, slice.offset, Uint8Array.from({ length: 1024 }, (_, i) => i % 251));
  const range = (start: number, size: number) => ({ ...slice, offset: slice.offset + start, size });
  for (let round = 0; round < 2; round++) {
    assert.equal(readback.free, 512);
    assert.ok(readback.enqueue(range(0, 7)));
    assert.ok(readback.enqueue(range(300, 256)));
    assert.equal(readback.free, 512 - 8 - 256);
    assert.equal(readback.enqueue(range(0, 252)), false);
    const [first, second, ...others] = await readback.flush();
    assert.deepEqual([...new Uint8Array(first!)], [0, 1, 2, 3, 4, 5, 6]);
    assert.deepEqual(new Uint8Array(second!), Uint8Array.from({ length: 256 }, (_, i) => (300 + i) % 251));
    assert.deepEqual(others, []);
  }
  assert.deepEqual(await readback.flush(), []);
  assert.throws(() => readback.enqueue(range(0, 516)), /Expected at most 512 bytes to read but found 516/);
  readback.destroy();
  destroy();
});

Deno.test("what was read stays as it was when the GPU goes on", async () => {
  const { slice, destroy } = slotOf(16);
  const readback = createReadback(gpu, 64);
  const write = (value: number) =>
    gpu.device.queue.writeBuffer(slice.buffer, slice.offset, new Float32Array(4).fill(value));
  write(1);
  readback.enqueue(slice);
  write(2);
  readback.enqueue(slice);
  const [first, second] = (await readback.flush()).map((bytes) => new Float32Array(bytes));
  assert.deepEqual([first![0], second![0]], [1, 2]);
  readback.destroy();
  destroy();
});
