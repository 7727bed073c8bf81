/**
 * Graphs that only compute: parameters without gradients, and programs run for what they leave. The programs of one model
 * share their memory, which grows to what the largest of those that have run needs.
 */
import { type Arena, createArena, uploadLarge } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/device.ts";
import { createStepRing, type Program } from "../gpu/program.ts";
import { createReadback, type Readback } from "../gpu/readback.ts";
import { compile, resolve } from "../graph/compile.ts";
import { type Graph, type Target, targetOf } from "../graph/graph.ts";
import { layoutParameters, type ParameterSet, type ParameterSpec } from "../graph/parameters.ts";
import { type MemoryPlan, planMemory, unionLayout } from "../graph/plan.ts";
import { elementCount, type Tensor } from "../graph/tensor.ts";
import { inputError } from "../support/errors.ts";
import { checkpointTensors } from "./parameter_arrays.ts";

/** A graph to be run. */
export interface InferenceProgram {
  /**
   * Runs once and reads the wanted tensors. One run at a time.
   *
   * @param fill queues the writes to the buffer of the graph's inputs
   * @throws an input error when the GPU refuses the memory
   */
  run(fill: (input: GPUBuffer) => void): Promise<Float32Array[]>;
}

/** Parameters on the GPU and the programs that read them. */
export interface Inference {
  readonly target: Target;
  readonly parameters: ParameterSet;
  /** Where the parameters are. */
  readonly arena: Arena;
  /**
   * Plans a graph; it is compiled when it first runs.
   *
   * @param inputBytes size of its input arena
   * @param wanted what `run` returns, in this order; the graph must keep them
   */
  program(label: string, graph: Graph, inputBytes: number, wanted: readonly Tensor[]): InferenceProgram;
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

/** What programs share. */
interface Shared {
  readonly input: Arena;
  readonly activation: Arena;
  readonly readback: Readback;
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
  const compiled = new Map<Graph, Program>();
  let shared: Shared | undefined;
  const release = () => {
    for (const program of compiled.values()) program.destroy();
    compiled.clear();
    shared?.input.destroy();
    shared?.activation.destroy();
    shared?.readback.destroy();
    shared = undefined;
  };
  const close = () => {
    release();
    arena.destroy();
    ring.destroy();
  };
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

  /** The shared memory, made anew where it is too small. */
  const memoryFor = async (plan: MemoryPlan, inputBytes: number, readBytes: number): Promise<Shared> => {
    const present = shared?.activation.layout.chunkBytes ?? [];
    const fits = plan.layout.chunkBytes.every((bytes, chunk) => bytes <= (present[chunk] ?? 0));
    if (shared && fits && inputBytes <= shared.input.layout.totalBytes && readBytes <= shared.readback.capacity) {
      return shared;
    }
    const layout = unionLayout([plan.layout, ...(shared ? [shared.activation.layout] : [])]);
    const bytes = Math.max(inputBytes, shared?.input.layout.totalBytes ?? 0);
    const capacity = Math.max(readBytes, shared?.readback.capacity ?? 0);
    release();
    return shared = await allocating(gpu, "a batch of texts", () => ({
      input: createArena(gpu, { label: "inputs", chunkBytes: [bytes], totalBytes: bytes }),
      activation: createArena(gpu, layout),
      readback: createReadback(gpu, capacity),
    }));
  };
  return {
    target,
    parameters,
    arena,
    close,
    program(label, graph, inputBytes, wanted) {
      const plan = planMemory(graph);
      const sizes = wanted.map(({ shape }) => 4 * elementCount(shape));
      return {
        async run(fill) {
          const { input, activation, readback } = await memoryFor(plan, inputBytes, sizes.reduce((a, b) => a + b, 0));
          let program = compiled.get(graph);
          if (!program) {
            program = compile(gpu, label, graph, plan, { parameter: arena, input, activation }, ring);
            compiled.set(graph, program);
          }
          fill(input.buffers[0]!);
          const encoder = gpu.device.createCommandEncoder({ label });
          const pass = encoder.beginComputePass();
          program.encode(pass, ring.push(NO_SCALARS));
          pass.end();
          gpu.device.queue.submit([encoder.finish()]);
          wanted.forEach((tensor, i) => {
            readback.enqueue({ ...resolve(tensor, plan, { activation }), size: sizes[i]! });
          });
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

/** One call after the other: the programs' memory serves one run at a time. */
export function oneAtATime<A extends unknown[], R>(call: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
  let last: Promise<unknown> = Promise.resolve();
  return (...args) => {
    const next = last.then(() => call(...args));
    last = next.catch(() => {});
    return next;
  };
}
