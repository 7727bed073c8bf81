/**
 * How the cost of a training step grows with the model and the batch: its GPU time, attention's part of it, and the memory
 * planned and allocated, along one axis at a time from a base shape, with the exponent fitted to each axis (the slope of the
 * least squares line of log time over log size).
 *
 *   deno task bench:growth [--steps 5] [--axes layers,hidden,length,batch] [--json]
 *
 * The last line of output is one JSON object.
 */
import { parseArgs } from "node:util";
import { openGpu } from "../lib/gpu/device.ts";
import { profileStep } from "../lib/train/profile.ts";
import { type ModelShape, winnowBatch } from "./peers/encoder_model.ts";
import { openStepEngine } from "./step_engine.ts";

/** Two layers of the width of a small BERT, 512 tokens. */
const BASE: ModelShape = {
  layers: 2,
  hidden: 256,
  heads: 4,
  ffn: 1024,
  vocab: 2000,
  batch: 4,
  length: 128,
  criteria: 9,
};

const AXES = {
  layers: [1, 2, 4, 8].map((layers) => ({ ...BASE, layers })),
  // Heads of 64 and a feed-forward block of four times the width, as in BERT.
  hidden: [128, 256, 512].map((hidden) => ({ ...BASE, hidden, heads: hidden / 64, ffn: 4 * hidden })),
  length: [64, 128, 256, 512].map((length) => ({ ...BASE, length })),
  batch: [1, 2, 4, 8, 16].map((batch) => ({ ...BASE, batch })),
} satisfies Record<string, ModelShape[]>;
type Axis = keyof typeof AXES;

const { values } = parseArgs({
  options: {
    steps: { type: "string", default: "5" },
    axes: { type: "string", default: Object.keys(AXES).join(",") },
    json: { type: "boolean", default: false },
  },
});
const steps = Number(values.steps);
const axes = values.axes.split(",") as Axis[];
const unknown = axes.find((axis) => !Object.hasOwn(AXES, axis));
if (!(Number.isInteger(steps) && steps > 0) || unknown !== undefined) {
  console.error(
    unknown === undefined
      ? `error: Expected --steps to be an integer above 0 but found ${JSON.stringify(values.steps)}`
      : `error: Expected --axes to be some of ${Object.keys(AXES).join(", ")} but found ${unknown}`,
  );
  Deno.exit(2);
}
const gpu = await openGpu();

/** What a step of a shape costs. */
async function costOf(shape: ModelShape) {
  const before = gpu.allocatedBytes;
  const engine = await openStepEngine(gpu, shape);
  const batch = winnowBatch(shape);
  const lambdas = { lambdaClass: 1, lambdaSpan: 1 };
  const { dispatches, onePassMs } = await profileStep(engine, { batches: () => [batch], lambdas, steps });
  await engine.evaluate([batch], lambdas);
  const sum = (ofKernel: (name: string) => boolean) =>
    dispatches.reduce((all, { call, milliseconds }) => all + (ofKernel(call.kernel.name) ? milliseconds : 0), 0);
  const cost = {
    step_ms: Number(onePassMs.toFixed(2)),
    attention_share: Number((sum((name) => name.startsWith("attention_")) / sum(() => true)).toFixed(4)),
    gemm_share: Number((sum((name) => name.startsWith("gemm_")) / sum(() => true)).toFixed(4)),
    planned_bytes: engine.plan.memory.total,
    allocated_bytes: gpu.allocatedBytes - before,
  };
  engine.close();
  return cost;
}

/** The slope of the line of least squares through (log x, log y). */
function exponent(points: readonly (readonly [number, number])[]): number {
  const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)] as const);
  const mean = (at: 0 | 1) => logs.reduce((all, point) => all + point[at], 0) / logs.length;
  const [x, y] = [mean(0), mean(1)];
  return logs.reduce((all, point) => all + (point[0] - x) * (point[1] - y), 0) /
    logs.reduce((all, point) => all + (point[0] - x) ** 2, 0);
}

const found = [];
for (const axis of axes) {
  const points = [];
  for (const shape of AXES[axis]) {
    const cost = await costOf(shape);
    points.push({ [axis]: shape[axis], ...cost });
    if (!values.json) console.log(`${axis} ${shape[axis]}: ${JSON.stringify(cost)}`);
  }
  const fitted = exponent(points.map(({ step_ms }, i) => [AXES[axis][i]![axis], step_ms]));
  found.push({ axis, exponent: Number(fitted.toFixed(2)), points });
}
console.log(JSON.stringify({ bench: "growth", adapter: gpu.name, preset: gpu.preset, base: BASE, steps, axes: found }));
Deno.exit(0);
