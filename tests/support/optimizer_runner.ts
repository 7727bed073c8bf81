/** Runs clipping and AdamW on given gradients and reads back parameters and moments after every step. */
import { createArena, layoutSequential } from "../../lib/gpu/arena.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { createStepRing } from "../../lib/gpu/program.ts";
import { createReadback } from "../../lib/gpu/readback.ts";
import { compile } from "../../lib/graph/compile.ts";
import { createGraph, type Target, targetOf } from "../../lib/graph/graph.ts";
import { clipAndUpdate, momentSlot, type OptimizerOptions } from "../../lib/graph/optimizer.ts";
import { layoutParameters } from "../../lib/graph/parameters.ts";
import { planMemory } from "../../lib/graph/plan.ts";
import { SCALARS } from "./graph_runner.ts";

/** A parameter to be optimized. */
export interface OptimizedParameter {
  readonly shape: readonly number[];
  readonly decay: boolean;
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
    Record<string, { parameter: Float32Array; gradient: Float32Array; first: Float32Array; second: Float32Array }>
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
    names.map((name) => ({
      name,
      shape: parameters[name]!.shape,
      initialisation: "zeros" as const,
      decay: parameters[name]!.decay,
    })),
    target,
  );
  const { chunkBytes, totalBytes } = set.layout;
  const metrics = layoutSequential("metrics", [16, 32], Infinity);
  const g = createGraph(target, true);
  const control = g.fixed("control", [4], "metrics", metrics.slots[0]!);
  const metricsRing = g.fixed("ring", [1, 8], "metrics", metrics.slots[1]!);
  clipAndUpdate(g, set, options, control, metricsRing);
  const plan = planMemory(g);
  const arenas = {
    parameter: createArena(gpu, set.layout),
    gradient: createArena(gpu, { ...set.layout, label: "gradients" }),
    moment: createArena(gpu, {
      label: "moments",
      chunkBytes: [...chunkBytes, ...chunkBytes],
      totalBytes: 2 * totalBytes,
    }),
    metrics: createArena(gpu, metrics.layout),
    activation: createArena(gpu, plan.layout),
  };
  const ring = createStepRing(gpu);
  const program = compile(gpu, "optimizer", g, plan, arenas, ring);
  const readback = createReadback(gpu, 4 * totalBytes + 256);
  const states: OptimizerState[] = [];
  const write = (arena: "parameter" | "gradient", name: string, data: Float32Array<ArrayBuffer>) => {
    const { buffer, offset } = arenas[arena].slice(set.slot(name));
    gpu.device.queue.writeBuffer(buffer, offset, data);
  };
  for (const name of names) write("parameter", name, parameters[name]!.initial);
  for (const [i, { learningRate, gradients }] of steps.entries()) {
    for (const chunk of arenas.activation.buffers) {
      gpu.device.queue.writeBuffer(chunk, 0, new Float32Array(chunk.size / 4).fill(NaN));
    }
    for (const name of names) write("gradient", name, gradients[name]!);
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
    for (const name of names) {
      const slot = set.slot(name);
      readback.enqueue(arenas.parameter.slice(slot));
      readback.enqueue(arenas.gradient.slice(slot));
      readback.enqueue(arenas.moment.slice(momentSlot(set, 0, slot)));
      readback.enqueue(arenas.moment.slice(momentSlot(set, 1, slot)));
    }
    const [decision, ...arrays] = (await readback.flush()).map((range) => new Float32Array(range));
    states.push({
      clip: decision![0]!,
      norm: decision![2]!,
      skipped: decision![3]!,
      arrays: Object.fromEntries(names.map((name, j) => {
        const [parameter, gradient, first, second] = arrays.slice(4 * j, 4 * j + 4);
        return [name, { parameter: parameter!, gradient: gradient!, first: first!, second: second! }];
      })),
    });
  }
  for (const arena of Object.values(arenas)) arena.destroy();
  program.destroy();
  ring.destroy();
  readback.destroy();
  return states;
}
