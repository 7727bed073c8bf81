/** The memory plan on random programs: what is alive at the same time never shares bytes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { align, ALIGNMENT, type ArenaSlot, layoutSequential } from "../../lib/gpu/arena.ts";
import { defineKernel } from "../../lib/gpu/kernel.ts";
import { createGraph, type Graph, type Target } from "../../lib/graph/graph.ts";
import { layoutParameters } from "../../lib/graph/parameters.ts";
import { type MemoryPlan, planMemory, unionLayout } from "../../lib/graph/plan.ts";
import { rowWindows, type Tensor } from "../../lib/graph/tensor.ts";

const KERNEL = defineKernel("none", "");
const targetWith = (maxBufferBytes: number): Target => ({
  preset: "tiled",
  subgroupSize: 0,
  maxBindingBytes: maxBufferBytes,
  maxBufferBytes,
  alignment: ALIGNMENT,
});

/** A program as drawn: element counts of tensors, the tensors of each call, and those kept. */
const programs = fc.record({
  sizes: fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 12 }),
  calls: fc.array(fc.array(fc.nat({ max: 11 }), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 14 }),
  kept: fc.array(fc.nat({ max: 11 }), { maxLength: 3 }),
  limit: fc.constantFrom(8192, 8448, 12288, 2 ** 30),
});

interface Life {
  readonly tensor: Tensor;
  readonly first: number;
  readonly last: number;
}

/** Builds the graph of a program; lives are worked out from the drawing, not from the graph. */
function build({ sizes, calls, kept, limit }: typeof programs extends fc.Arbitrary<infer T> ? T : never) {
  const g = createGraph(targetWith(limit), true);
  const tensors = sizes.map((size, i) => g.tensor(`t${i}`, [size]));
  const used = calls.map((call) => call.map((index) => index % sizes.length));
  const fixed = g.fixed("parameter", [4], "parameter", { chunk: 0, offset: 0, size: 16 });
  for (const call of used) {
    const bindings = Object.fromEntries(call.map((index, i) => [`b${i}`, tensors[index]!]));
    g.emit({ kernel: KERNEL, constants: {}, bindings: { ...bindings, fixed }, dims: {}, grid: [1, 1, 1] });
  }
  const keptIndices = new Set(kept.map((index) => index % sizes.length));
  for (const index of keptIndices) g.keep(tensors[index]!);
  const lives = tensors.flatMap((tensor, index): Life[] => {
    const first = used.findIndex((call) => call.includes(index));
    const last = keptIndices.has(index) ? Infinity : used.findLastIndex((call) => call.includes(index));
    return first < 0 ? [] : [{ tensor, first, last }];
  });
  return { g, lives, calls: used.length };
}

const end = ({ offset, size }: ArenaSlot) => offset + align(size);

function assertSound(plan: MemoryPlan, lives: readonly Life[], limit: number) {
  for (const { tensor } of lives) {
    const slot = plan.slots.get(tensor)!;
    assert.ok(slot.size >= tensor.bytes, "a tensor has all its bytes");
    assert.equal(slot.offset % ALIGNMENT, 0);
    assert.ok(end(slot) <= plan.layout.chunkBytes[slot.chunk]!, "a tensor lies in one chunk");
  }
  for (const bytes of plan.layout.chunkBytes) assert.ok(bytes <= limit, `a chunk of ${bytes} is over ${limit}`);
  lives.forEach((a, i) => {
    for (const b of lives.slice(i + 1)) {
      if (a.last < b.first || b.last < a.first) continue;
      const [p, q] = [plan.slots.get(a.tensor)!, plan.slots.get(b.tensor)!];
      assert.ok(
        p.chunk !== q.chunk || end(p) <= q.offset || end(q) <= p.offset,
        `${a.tensor.name} and ${b.tensor.name} are alive together and share bytes`,
      );
    }
  });
}

Deno.test("tensors alive together never overlap, kept ones to the end, chunks stay below the limit", () => {
  fc.assert(
    fc.property(programs, (program) => {
      const { g, lives } = build(program);
      const plan = planMemory(g);
      assert.deepEqual(new Set(plan.slots.keys()), new Set(lives.map(({ tensor }) => tensor)));
      assertSound(plan, lives, program.limit);
    }),
    { numRuns: 500 },
  );
});

Deno.test("the arena is at least what is alive at once and at most what all tensors take", () => {
  fc.assert(fc.property(programs, (program) => {
    const { g, lives, calls } = build(program);
    const { layout } = planMemory(g);
    const bytes = (some: readonly Life[]) => some.reduce((sum, { tensor }) => sum + align(tensor.bytes), 0);
    const peak = Math.max(
      ...Array.from(
        { length: calls + 1 },
        (_, at) => bytes(lives.filter((life) => life.first <= at && at <= life.last)),
      ),
    );
    assert.ok(layout.totalBytes >= peak, `${layout.totalBytes} of at least ${peak}`);
    assert.ok(layout.totalBytes <= bytes(lives));
    assert.equal(layout.totalBytes, layout.chunkBytes.reduce((sum, chunk) => sum + chunk, 0));
  }));
});

Deno.test("the same program gets the same plan", () => {
  fc.assert(fc.property(programs, (program) => {
    const slots = () => [...planMemory(build(program).g).slots].map(([tensor, slot]) => [tensor.name, slot]);
    assert.deepEqual(slots(), slots());
  }));
});

/** A chain in which each call reads the last tensor and writes the next. */
function chain(g: Graph, length: number, elements: number): Tensor[] {
  const tensors = Array.from({ length }, (_, i) => g.tensor(`t${i}`, [elements]));
  tensors.slice(1).forEach((y, i) =>
    g.emit({ kernel: KERNEL, constants: {}, bindings: { x: tensors[i]!, y }, dims: {}, grid: [1, 1, 1] })
  );
  return tensors;
}

Deno.test("a chain takes the memory of two tensors, and of one more for each that is kept", () => {
  const g = createGraph(targetWith(2 ** 20), true);
  const tensors = chain(g, 10, 1024);
  assert.equal(planMemory(g).layout.totalBytes, 2 * 4096);
  g.keep(tensors[2]!);
  assert.equal(planMemory(g).layout.totalBytes, 3 * 4096);
});

Deno.test("keepAll gives every activation bytes of its own", () => {
  const g = createGraph(targetWith(2 ** 20), true, { keepAll: true });
  chain(g, 10, 1024);
  assert.equal(planMemory(g).layout.totalBytes, 10 * 4096);
});

Deno.test("a tensor larger than the largest buffer is refused by name", () => {
  const g = createGraph(targetWith(4096), true);
  chain(g, 2, 1025);
  assert.throws(() => planMemory(g), /t0: 4352 bytes are over the adapter's buffer limit of 4096/);
});

Deno.test("activations have rows up to a multiple of 32", () => {
  const g = createGraph(targetWith(2 ** 20), true);
  assert.equal(g.tensor("x", [2, 5, 12]).bytes, 32 * 12 * 4);
  assert.equal(g.tensor("x", [33, 12]).bytes, 64 * 12 * 4);
  assert.equal(g.tensor("x", [13]).bytes, 13 * 4);
});

Deno.test("the union of plans holds each of them", () => {
  fc.assert(fc.property(fc.array(programs, { minLength: 1, maxLength: 4 }), (drawn) => {
    const plans = drawn.map((program) => planMemory(build(program).g));
    const union = unionLayout(plans.map(({ layout }) => layout));
    for (const { layout } of plans) {
      layout.chunkBytes.forEach((bytes, chunk) => assert.ok(union.chunkBytes[chunk]! >= bytes));
    }
    assert.ok(union.totalBytes <= plans.reduce((sum, { layout }) => sum + layout.totalBytes, 0));
    assert.equal(union.totalBytes, union.chunkBytes.reduce((sum, bytes) => sum + bytes, 0));
  }));
});

Deno.test("a sequential layout keeps tensors apart, aligned and within chunks", () => {
  fc.assert(fc.property(fc.array(fc.nat({ max: 4096 }), { maxLength: 20 }), (sizes) => {
    const { slots, layout } = layoutSequential("test", sizes, 4096);
    let [chunk, free] = [0, 0];
    slots.forEach((slot, i) => {
      assert.equal(slot.size, sizes[i]);
      assert.equal(slot.offset % ALIGNMENT, 0);
      assert.ok(slot.chunk === chunk ? slot.offset >= free : slot.chunk === chunk + 1 && slot.offset === 0);
      [chunk, free] = [slot.chunk, slot.offset + Math.max(1, slot.size)];
      assert.ok(free <= layout.chunkBytes[chunk]!);
    });
    assert.ok(layout.chunkBytes.every((bytes) => bytes <= 4096));
  }));
  assert.throws(() => layoutSequential("test", [4097], 4096), /test: a tensor of 4352 bytes is over .* limit of 4096/);
});

Deno.test("windows of a table cover its rows once, aligned and within the binding limit", () => {
  const tables = fc.record({
    rows: fc.integer({ min: 1, max: 300 }),
    width: fc.integer({ min: 1, max: 24 }).map((columns) => 4 * columns),
    limit: fc.integer({ min: 6144, max: 40000 }),
  });
  fc.assert(fc.property(tables, ({ rows, width, limit }) => {
    const g = createGraph(targetWith(2 ** 20), true);
    const table = g.fixed("table", [rows, width], "parameter", { chunk: 0, offset: 0, size: rows * width * 4 });
    let next = 0;
    for (const { window, firstRow, rows: count } of rowWindows(table, limit, ALIGNMENT)) {
      assert.equal(firstRow, next);
      assert.equal(window.offset, firstRow * width * 4);
      assert.equal(window.offset % ALIGNMENT, 0);
      assert.equal(window.size, count * width * 4);
      assert.ok(window.size <= limit);
      next += count;
    }
    assert.equal(next, rows);
  }));
  const wide = createGraph(targetWith(2 ** 20), true).fixed("word", [9, 300], "parameter", {
    chunk: 0,
    offset: 0,
    size: 10800,
  });
  assert.throws(() => rowWindows(wide, 1024, ALIGNMENT), /word: a row of 1200 bytes cannot be windowed to 1024 bytes/);
});

Deno.test("parameters with one weight decay form one run per buffer, without gaps between decay and none", () => {
  const spec = (name: string, elements: number, decay: boolean) => ({
    name,
    shape: [elements],
    initialisation: "zeros" as const,
    decay,
  });
  const specs = [
    spec("a.bias", 3, false),
    spec("a.weight", 100, true),
    spec("b.bias", 5, false),
    spec("b.weight", 7, true),
  ];
  const set = layoutParameters(specs, targetWith(2 ** 20));
  assert.deepEqual(set.runs, [
    { slot: { chunk: 0, offset: 0, size: 768 }, decay: true },
    { slot: { chunk: 0, offset: 768, size: 512 }, decay: false },
  ]);
  for (const { name, decay } of specs) {
    const slot = set.slot(name);
    const run: ArenaSlot = set.runs.find((run) => run.decay === decay)!.slot;
    assert.ok(run.offset <= slot.offset && end(slot) <= run.offset + run.size, name);
  }
  assert.equal(layoutParameters(specs, targetWith(512)).runs.length, 4);
  assert.throws(() => set.slot("c.weight"), /Expected a parameter named "c.weight"/);
});
