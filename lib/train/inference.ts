/** Graphs that only compute: parameters without gradients, and programs run for what they leave. */
import { type Arena, createArena, uploadLarge } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/device.ts";
import { createStepRing } from "../gpu/program.ts";
import { createReadback } from "../gpu/readback.ts";
import { compile, resolve } from "../graph/compile.ts";
import { type Graph, type Target, targetOf } from "../graph/graph.ts";
import { layoutParameters, type ParameterSet, type ParameterSpec } from "../graph/parameters.ts";
import { planMemory } from "../graph/plan.ts";
import { elementCount, type Tensor } from "../graph/tensor.ts";
import { inputError } from "../support/errors.ts";
import { checkpointTensors } from "./parameter_arrays.ts";

/** A compiled graph with inputs of its own. */
export interface InferenceProgram {
  /** The buffer behind the graph's input tensors. */
  readonly input: GPUBuffer;
  /** Runs once on what the input holds, and reads the wanted tensors. */
  run(): Promise<Float32Array[]>;
}

/** Parameters on the GPU and the programs that read them. */
export interface Inference {
  readonly gpu: Gpu;
  readonly target: Target;
  readonly parameters: ParameterSet;
  readonly arena: Arena;
  /**
   * Compiles a graph.
   *
   * @param inputBytes size of its input arena
   * @param wanted what `run` returns, in this order; the graph must keep them
   */
  program(label: string, graph: Graph, inputBytes: number, wanted: readonly Tensor[]): Promise<InferenceProgram>;
  close(): void;
}

/** Runs `allocate`, and turns a refusal of the device into an error for the user. */
async function allocating<T>(gpu: Gpu, what: string, allocate: () => T): Promise<T> {
  const refused = (reason: string, cause?: unknown) =>
    inputError(`${gpu.name} has no room for ${what}: ${reason}`, "Choose a smaller model.id", { cause });
  gpu.device.pushErrorScope("out-of-memory");
  let made: T;
  try {
    made = allocate();
  } catch (error) {
    await gpu.device.popErrorScope();
    if (error instanceof RangeError) throw refused(error.message, error);
    throw error;
  }
  const failure = await gpu.device.popErrorScope();
  if (failure) throw refused(failure.message);
  return made;
}

/**
 * Uploads parameters for inference.
 *
 * @param read a tensor by its checkpoint name
 * @throws an input error when the GPU refuses the memory
 */
export async function openInference(
  gpu: Gpu,
  specs: readonly ParameterSpec[],
  read: (name: string, shape: readonly number[]) => Float32Array<ArrayBuffer>,
): Promise<Inference> {
  const target = targetOf(gpu);
  const { parameters, arena } = await allocating(gpu, "the model's weights", () => {
    const parameters = layoutParameters(specs, target);
    return { parameters, arena: createArena(gpu, parameters.layout) };
  });
  const ring = createStepRing(gpu);
  const owned: { destroy(): void }[] = [arena, ring];
  const close = () => owned.splice(0).forEach((each) => each.destroy());
  try {
    for (const spec of specs) {
      const { buffer, offset: start } = arena.slice(parameters.slot(spec.name));
      for (const { name, shape, offset } of checkpointTensors(spec)) {
        uploadLarge(gpu, { buffer, offset: start + offset, size: 4 * elementCount(shape) }, read(name, shape));
      }
    }
  } catch (error) {
    close();
    throw error;
  }
  return {
    gpu,
    target,
    parameters,
    arena,
    close,
    async program(label, graph, inputBytes, wanted) {
      const plan = planMemory(graph);
      const bytes = wanted.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0);
      const { input, activation, readback } = await allocating(gpu, label, () => ({
        input: createArena(gpu, { label: "inputs", chunkBytes: [inputBytes], totalBytes: inputBytes }),
        activation: createArena(gpu, plan.layout),
        readback: createReadback(gpu, bytes),
      }));
      const program = compile(gpu, label, graph, plan, { parameter: arena, input, activation }, ring);
      owned.push(input, activation, readback, program);
      const slices = wanted.map((tensor) => ({
        ...resolve(tensor, plan, { activation }),
        size: 4 * elementCount(tensor.shape),
      }));
      return {
        input: input.buffers[0]!,
        async run() {
          const encoder = gpu.device.createCommandEncoder({ label });
          const pass = encoder.beginComputePass();
          program.encode(pass, ring.push(NO_SCALARS));
          pass.end();
          gpu.device.queue.submit([encoder.finish()]);
          for (const slice of slices) readback.enqueue(slice);
          return (await readback.flush()).map((range) => new Float32Array(range));
        },
      };
    },
  };
}

/** No kernel of an inference reads them. */
const NO_SCALARS = {
  seed: 0,
  draw: 0,
  slot: 0,
  learningRate: 0,
  biasCorrection1: 1,
  biasCorrection2: 1,
  criteriaScale: 0,
  spanScale: 0,
};

/** One call after the other: a program's buffers serve one run at a time. */
export function oneAtATime<A extends unknown[], R>(call: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
  let last: Promise<unknown> = Promise.resolve();
  return (...args) => {
    const next = last.then(() => call(...args));
    last = next.catch(() => {});
    return next;
  };
}
