/** Runs clipping and an optimizer on given gradients and reads back parameters and moments after every step. */
import { createArena, layoutSequential } from "../../lib/gpu/arena.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { createStepRing } from "../../lib/gpu/program.ts";
import { createReadback } from "../../lib/gpu/readback.ts";
import { compile } from "../../lib/graph/compile.ts";
import { createGraph, type Target, targetOf } from "../../lib/graph/graph.ts";
import {
  clipAndUpdate,
  momentLayout,
  momentSlot,
  type OptimizerOptions,
  OPTIMIZERS,
} from "../../lib/graph/optimizer.ts";
import { layoutParameters } from "../../lib/graph/parameters.ts";
import { planMemory } from "../../lib/graph/plan.ts";
import { SCALARS } from "../../bench/gpu.ts";

/** A parameter to be optimized. */
export interface OptimizedParameter {
  readonly shape: readonly number[];
  readonly decay: boolean;
  readonly trained?: boolean;
  readonly learningRateScale?: number;
  readonly initial: Float32Array<ArrayBuffer>;
}

/** One step: its rate and the gradient of every parameter. */
export interface OptimizerStep {
  readonly learningRate: number;
  readonly gradients: Readonly<Record<string, Float32Array<ArrayBuffer>>>;
}

/** What stands on the GPU after a step. */
export interface OptimizerState {
  readonly norm: number;
  /** Factor on the gradient, 0 when the step was skipped. */
  readonly clip: number;
  readonly skipped: number;
  readonly arrays: Readonly<
    Record<string, {
      parameter: Float32Array;
      gradient: Float32Array;
      first: Float32Array;
      /** Empty where the optimizer has no second moment. */
      second: Float32Array;
      /** Empty where no average is kept. */
      average: Float32Array;
    }>
  >;
}

/** Takes the steps in turn; step i has the bias corrections of t = i + 1. */
export async function runOptimizer(
  gpu: Gpu,
  parameters: Readonly<Record<string, OptimizedParameter>>,
  options: OptimizerOptions,
  steps: readonly OptimizerStep[],
  overrides: Partial<Target> = {},
): Promise<OptimizerState[]> {
  const target = { ...targetOf(gpu), ...overrides };
  const names = Object.keys(parameters);
  const set = layoutParameters(
    names.map((name) => {
      const { initial: _, ...spec } = parameters[name]!;
      return { name, initialisation: "zeros" as const, ...spec };
    }),
    target,
  );
  const isTrained = (name: string) => parameters[name]!.trained ?? true;
  const { totalBytes } = set.layout;
  const metrics = layoutSequential("metrics", [16, 32], Infinity);
  const g = createGraph(target, true);
  const control = g.fixed("control", [4], "metrics", metrics.slots[0]!);
  const metricsRing = g.fixed("ring", [1, 8], "metrics", metrics.slots[1]!);
  clipAndUpdate(g, set, options, control, metricsRing);
  const plan = planMemory(g);
  const arenas = {
    parameter: createArena(gpu, set.layout),
    gradient: createArena(gpu, { ...set.trainedLayout, label: "gradients" }),
    moment: createArena(gpu, momentLayout(set, options.name)),
    average: createArena(gpu, { ...set.trainedLayout, label: "averages" }),
    metrics: createArena(gpu, metrics.layout),
    activation: createArena(gpu, plan.layout),
  };
  const ring = createStepRing(gpu);
  const program = compile(gpu, "optimizer", g, plan, arenas, ring);
  const readback = createReadback(gpu, 5 * totalBytes + 256);
  const states: OptimizerState[] = [];
  const write = (arena: "parameter" | "gradient" | "average", name: string, data: Float32Array<ArrayBuffer>) => {
    const { buffer, offset } = arenas[arena].slice(set.slot(name));
    gpu.device.queue.writeBuffer(buffer, offset, data);
  };
  for (const name of names) {
    write("parameter", name, parameters[name]!.initial);
    if (isTrained(name)) write("average", name, parameters[name]!.initial);
  }
  for (const [i, { learningRate, gradients }] of steps.entries()) {
    for (const chunk of arenas.activation.buffers) {
      gpu.device.queue.writeBuffer(chunk, 0, new Float32Array(chunk.size / 4).fill(NaN));
    }
    for (const name of names.filter(isTrained)) write("gradient", name, gradients[name]!);
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    program.encode(
      pass,
      ring.push({
        ...SCALARS,
        learningRate,
        biasCorrection1: 1 - options.beta1 ** (i + 1),
        biasCorrection2: 1 - options.beta2 ** (i + 1),
      }),
    );
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
    readback.enqueue(arenas.metrics.slice(metrics.slots[0]!));
    const wanted = names.flatMap((name) => {
      const slot = set.slot(name);
      if (!isTrained(name)) return [{ name, array: "parameter", slice: arenas.parameter.slice(slot) }];
      return [
        { name, array: "parameter", slice: arenas.parameter.slice(slot) },
        { name, array: "gradient", slice: arenas.gradient.slice(slot) },
        { name, array: "first", slice: arenas.moment.slice(momentSlot(set, 0, slot)) },
        ...(OPTIMIZERS[options.name].moments === 2
          ? [{ name, array: "second", slice: arenas.moment.slice(momentSlot(set, 1, slot)) }]
          : []),
        ...(options.averageDecay === undefined ? [] : [{ name, array: "average", slice: arenas.average.slice(slot) }]),
      ];
    });
    for (const { slice } of wanted) readback.enqueue(slice);
    const [decision, ...values] = (await readback.flush()).map((range) => new Float32Array(range));
    const none = new Float32Array();
    const arrays = Object.fromEntries(
      names.map((name) => [name, { parameter: none, gradient: none, first: none, second: none, average: none }]),
    );
    wanted.forEach(({ name, array }, at) => Object.assign(arrays[name]!, { [array]: values[at]! }));
    states.push({ clip: decision![0]!, norm: decision![2]!, skipped: decision![3]!, arrays });
  }
  for (const arena of Object.values(arenas)) arena.destroy();
  program.destroy();
  ring.destroy();
  readback.destroy();
  return states;
}
