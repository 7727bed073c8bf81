/** One op of the graph as a contender: its forward pass, or forward and backward, as training runs them. */
import { createArena, layoutSequential } from "../lib/gpu/arena.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { createStepRing, runInOnePass } from "../lib/gpu/program.ts";
import { createReadback } from "../lib/gpu/readback.ts";
import { differentiate } from "../lib/graph/autodiff.ts";
import { compile, resolve } from "../lib/graph/compile.ts";
import { createGraph, type Graph, targetOf } from "../lib/graph/graph.ts";
import { planMemory } from "../lib/graph/plan.ts";
import { elementCount, type Tensor } from "../lib/graph/tensor.ts";
import type { Contender } from "./contenders.ts";
import { SCALARS } from "./gpu.ts";

/** A tensor that the op reads. */
export interface OpInput {
  readonly shape: readonly number[];
  readonly values: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
  /** Whether the backward pass makes its gradient. */
  readonly learned?: boolean;
}

/** An op on named inputs. */
export interface Op<Name extends string> {
  readonly inputs: Readonly<Record<Name, OpInput>>;
  readonly build: (g: Graph, t: Readonly<Record<Name, Tensor>>) => Tensor;
  /** Derivative with respect to the output; the forward pass alone unless given. */
  readonly dout?: Float32Array<ArrayBuffer>;
}

/** Compiles an op; its result is the output, then the gradients of the learned inputs in their order. */
export function openOp<Name extends string>(gpu: Gpu, { inputs, build, dout }: Op<Name>): Contender {
  const names = Object.keys(inputs) as Name[];
  const arrays = [...names.map((name) => inputs[name].values), ...(dout ? [dout] : [])];
  const places = layoutSequential("inputs", arrays.map(({ byteLength }) => byteLength), Infinity);
  const g = createGraph(targetOf(gpu), dout !== undefined);
  const tensors = Object.fromEntries(names.map((name, i) => {
    const { shape, learned = false } = inputs[name];
    return [name, g.fixed(name, shape, "input", places.slots[i]!, learned && dout !== undefined)];
  })) as Record<Name, Tensor>;
  const output = build(g, tensors);
  const results = [output];
  if (dout) {
    const seed = g.fixed("dout", output.shape, "input", places.slots.at(-1)!);
    const gradients = differentiate(g, new Map([[output, seed]]), (tensor) => {
      throw new Error(`Expected no parameters but found ${tensor.name}`);
    });
    results.push(...names.filter((name) => inputs[name].learned).map((name) => gradients.get(tensors[name])!));
  }
  for (const tensor of results) g.keep(tensor);

  const plan = planMemory(g);
  const arenas = { input: createArena(gpu, places.layout), activation: createArena(gpu, plan.layout) };
  arrays.forEach((values, i) => {
    const { buffer, offset } = arenas.input.slice(places.slots[i]!);
    gpu.device.queue.writeBuffer(buffer, offset, values);
  });
  const ring = createStepRing(gpu);
  const program = compile(gpu, "op", g, plan, arenas, ring);
  const slices = results.map((tensor) => ({
    ...resolve(tensor, plan, arenas),
    size: elementCount(tensor.shape) * 4,
  }));
  const readback = createReadback(gpu, slices.reduce((sum, { size }) => sum + size, 4));
  const encode = (count: number) => runInOnePass(gpu, new Array(count).fill(program), ring.push(SCALARS));
  return {
    name: "winnow",
    async run(count) {
      encode(count);
      readback.enqueue({ ...slices[0]!, size: 4 });
      await readback.flush();
      gpu.check();
    },
    async result() {
      encode(1);
      for (const slice of slices) readback.enqueue(slice);
      return (await readback.flush()).map((bytes) => new Float32Array(bytes));
    },
  };
}
