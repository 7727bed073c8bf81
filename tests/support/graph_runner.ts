/**
 * Runs a small graph on the adapter: named inputs in, outputs and gradients out. Before every run all activation memory
 * is filled with NaN, and so is what lies between inputs, so that a kernel that reads what nothing has written shows.
 */
import { createArena, layoutSequential } from "../../lib/gpu/arena.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { TILED_VARIANT_NAMES } from "../../lib/gpu/gemm_variants.ts";
import { createStepRing, type StepScalars } from "../../lib/gpu/program.ts";
import { createReadback } from "../../lib/gpu/readback.ts";
import { tuningKey } from "../../lib/gpu/tune.ts";
import { differentiate } from "../../lib/graph/autodiff.ts";
import { compile, resolve } from "../../lib/graph/compile.ts";
import { createGraph, defineOp, type Graph, type Target, targetOf } from "../../lib/graph/graph.ts";
import { accumulate, copy } from "../../lib/graph/ops/elementwise.ts";
import { planMemory } from "../../lib/graph/plan.ts";
import { elementCount, type ElementType, type Tensor } from "../../lib/graph/tensor.ts";
import { SCALARS } from "../../bench/gpu.ts";

/** The values of an input; numbers become f32. */
export type Values = Float32Array | Uint32Array;

/**
 * An input of a graph and where it lies:
 *
 * - `constant`: in the input arena as a batch is, no gradient
 * - `parameter`: in the parameter arena, its gradient added to the gradient arena
 * - `activation`: copied into activation memory first, where rows are padded; its gradient is made as between ops
 */
export interface Leaf {
  readonly kind: "constant" | "parameter" | "activation";
  readonly shape: readonly number[];
  readonly values: Values;
}

/** An input without a gradient. */
export const constant = (shape: readonly number[], values: Values): Leaf => ({ kind: "constant", shape, values });

/** An input with a gradient, as a model's parameter. */
export const parameter = (shape: readonly number[], values: Float32Array): Leaf => ({
  kind: "parameter",
  shape,
  values,
});

/** An input with a gradient, as the output of another op. */
export const activation = (shape: readonly number[], values: Float32Array): Leaf => ({
  kind: "activation",
  shape,
  values,
});

/** The kernels' variants: what each adapter would run, all of them right on this one; and tables cut into windows. */
export const VARIANTS: Readonly<Record<string, Partial<Target>>> = {
  "as chosen for this adapter": {},
  "tiled, as on NVIDIA": { preset: "tiled" },
  "tiled without subgroups": { preset: "tiled", subgroupSize: 0 },
  "tables in windows": { maxBindingBytes: 1280 },
};

/**
 * Variants of the tiled preset in turn by product, another one first for another `first`: what a tuner might choose, with a
 * different one for each product.
 */
export function variantsInTurn(first: number): NonNullable<Target["variantOf"]> {
  const places = new Map<string, number>();
  return (request) => {
    const key = tuningKey(request);
    if (!places.has(key)) places.set(key, places.size);
    return TILED_VARIANT_NAMES[(places.get(key)! + first) % TILED_VARIANT_NAMES.length];
  };
}

/** What a graph is made of: its inputs and the ops on them. */
export interface GraphCase<Name extends string, Output extends string> {
  readonly inputs: Readonly<Record<Name, Leaf>>;
  /** Builds the graph; `seeds` pairs an output with its gradient, from which the backward pass starts. */
  readonly build: (
    g: Graph,
    t: Readonly<Record<Name, Tensor>>,
  ) => { outputs: Readonly<Record<Output, Tensor>>; seeds?: readonly (readonly [Tensor, Tensor])[] };
  /** Whether dropout is on; false unless given. */
  readonly training?: boolean;
  /** How ops store what they keep; f32 unless given. */
  readonly precision?: ElementType;
}

/** What a run returns. */
export interface GraphResult<Name extends string, Output extends string> {
  readonly outputs: Readonly<Record<Output, Float32Array>>;
  /** Of every parameter and activation; all zero where no op asked for it. */
  readonly gradients: Readonly<Record<Name, Float32Array>>;
}

/** A compiled graph. */
export interface RunnableGraph<Name extends string, Output extends string> {
  /** Runs once; `replaced` gives other values to some inputs, `scalars` to some step scalars. */
  run(
    replaced?: Readonly<Record<string, Values>>,
    scalars?: Partial<StepScalars>,
  ): Promise<GraphResult<Name, Output>>;
  close(): void;
}

/** A copy in activation memory, with a place on the tape so that gradients pass through. */
const toActivation = defineOp<{ x: Tensor }, undefined, undefined>("to_activation", {
  forward: (g, { x }) => ({ output: copy(g, x), saved: undefined }),
  backward: (g, _, dy) => ({
    x: (into) => {
      accumulate(g, dy, into!);
      return into!;
    },
  }),
});

/** Builds, plans and compiles a graph; `target` overrides what the adapter would choose. */
export function compileGraph<Name extends string, Output extends string>(
  gpu: Gpu,
  { inputs, build, training = false, precision = "f32" }: GraphCase<Name, Output>,
  target: Partial<Target> = {},
): RunnableGraph<Name, Output> {
  const names = Object.keys(inputs) as Name[];
  const learned = names.filter((name) => inputs[name].kind !== "constant");
  const constants = names.filter((name) => inputs[name].kind === "constant");
  const bytes = (name: Name) => elementCount(inputs[name].shape) * 4;
  const constantPlaces = layoutSequential("inputs", constants.map(bytes), Infinity);
  const learnedPlaces = layoutSequential("parameters", learned.map(bytes), Infinity);

  const g = createGraph({ ...targetOf(gpu), ...target }, training, { precision });
  const parameterTensors = new Map<Name, Tensor>();
  const tensors = {} as Record<Name, Tensor>;
  constants.forEach((name, i) => {
    tensors[name] = g.fixed(name, inputs[name].shape, "input", constantPlaces.slots[i]!);
  });
  learned.forEach((name, i) => {
    const tensor = g.fixed(name, inputs[name].shape, "parameter", learnedPlaces.slots[i]!, true);
    parameterTensors.set(name, tensor);
    tensors[name] = inputs[name].kind === "parameter" ? tensor : toActivation(g, { x: tensor }, undefined);
  });
  const { outputs, seeds } = build(g, tensors);
  for (const output of Object.values<Tensor>(outputs)) g.keep(output);
  const gradients = new Map(
    learned.map((name, i) => {
      const { shape } = inputs[name];
      return [parameterTensors.get(name)!, g.fixed(`d ${name}`, shape, "gradient", learnedPlaces.slots[i]!)];
    }),
  );
  if (seeds) differentiate(g, new Map(seeds), (tensor) => gradients.get(tensor)!);

  const plan = planMemory(g);
  const arenas = {
    activation: createArena(gpu, plan.layout),
    ...(constants.length ? { input: createArena(gpu, constantPlaces.layout) } : {}),
    ...(learned.length
      ? {
        parameter: createArena(gpu, learnedPlaces.layout),
        gradient: createArena(gpu, { ...learnedPlaces.layout, label: "gradients" }),
      }
      : {}),
  };
  const ring = createStepRing(gpu);
  const program = compile(gpu, "graph", g, plan, arenas, ring);
  const wanted = [
    ...Object.values<Tensor>(outputs),
    ...learned.map((name) => gradients.get(parameterTensors.get(name)!)!),
  ].map((tensor) => ({ ...resolve(tensor, plan, arenas), size: elementCount(tensor.shape) * 4 }));
  const readback = createReadback(gpu, wanted.reduce((sum, { size }) => sum + size, 4));

  const fill = (buffers: readonly GPUBuffer[] | undefined, value: number) => {
    for (const buffer of buffers ?? []) {
      gpu.device.queue.writeBuffer(buffer, 0, new Float32Array(buffer.size / 4).fill(value));
    }
  };
  return {
    async run(replaced: Readonly<Record<string, Values>> = {}, scalars = {}) {
      fill(arenas.activation.buffers, NaN);
      fill(arenas.input?.buffers, NaN);
      fill(arenas.parameter?.buffers, NaN);
      fill(arenas.gradient?.buffers, 0);
      for (
        const [arena, group, places] of [
          [arenas.input, constants, constantPlaces],
          [arenas.parameter, learned, learnedPlaces],
        ] as const
      ) {
        group.forEach((name, i) => {
          const values = replaced[name] ?? inputs[name].values;
          if (values.byteLength !== bytes(name)) {
            throw new RangeError(`${name}: expected ${bytes(name) / 4} values but found ${values.length}`);
          }
          const { buffer, offset } = arena!.slice(places.slots[i]!);
          gpu.device.queue.writeBuffer(buffer, offset, values as Values & { buffer: ArrayBuffer });
        });
      }
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      program.encode(pass, ring.push({ ...SCALARS, ...scalars }));
      pass.end();
      gpu.device.queue.submit([encoder.finish()]);
      for (const slice of wanted) readback.enqueue(slice);
      const arrays = (await readback.flush()).map((range) => new Float32Array(range));
      const results = (keys: readonly string[], first: number) =>
        Object.fromEntries(keys.map((key, i) => [key, arrays[first + i]!]));
      const outputNames = Object.keys(outputs);
      return {
        outputs: results(outputNames, 0) as Record<Output, Float32Array>,
        gradients: results(learned, outputNames.length) as Record<Name, Float32Array>,
      };
    },
    close() {
      for (const arena of Object.values(arenas)) arena.destroy();
      program.destroy();
      ring.destroy();
      readback.destroy();
    },
  };
}

/** Compiles a graph, runs it once and frees it. */
export async function runGraph<Name extends string, Output extends string>(
  gpu: Gpu,
  graphCase: GraphCase<Name, Output>,
  target: Partial<Target> = {},
  scalars: Partial<StepScalars> = {},
): Promise<GraphResult<Name, Output>> {
  const graph = compileGraph(gpu, graphCase, target);
  try {
    return await graph.run({}, scalars);
  } finally {
    graph.close();
  }
}
