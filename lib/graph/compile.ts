/** Turns a planned graph into a program: tensors become buffer ranges, kernel calls become dispatches. */
import type { Arena, BufferSlice } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, type Program, recordProgram, type StepRing } from "../gpu/program.ts";
import type { Graph } from "./graph.ts";
import type { MemoryPlan } from "./plan.ts";
import type { ArenaName, Tensor, TensorWindow } from "./tensor.ts";

/** The allocated arenas that a graph's tensors live in. */
export type Arenas = Readonly<Partial<Record<ArenaName, Arena>>>;

/** Kernels that work on four columns at a time see an array of vec4. */
const VECTOR_BYTES = 16;

/**
 * The buffer range behind a tensor or a window of one, up to a whole vec4: the last of a tensor of 3 elements would
 * otherwise lie outside the binding. Arenas are laid out in steps of 256 bytes, so this meets no other tensor.
 */
export function resolve(bound: Tensor | TensorWindow, plan: MemoryPlan, arenas: Arenas): BufferSlice {
  const tensor = "tensor" in bound ? bound.tensor : bound;
  const slot = tensor.slot ?? plan.slots.get(tensor);
  const arena = arenas[tensor.arena];
  if (!slot || !arena) {
    throw new TypeError(`Expected tensor "${tensor.name}" to have a place in the ${tensor.arena} arena`);
  }
  const { buffer, offset } = arena.slice(slot);
  const [start, size] = "tensor" in bound ? [bound.offset, bound.size] : [0, slot.size];
  return { buffer, offset: offset + start, size: Math.ceil(size / VECTOR_BYTES) * VECTOR_BYTES };
}

/** Compiles the kernel calls of a graph. */
export function compile(
  gpu: Gpu,
  label: string,
  g: Graph,
  plan: MemoryPlan,
  arenas: Arenas,
  ring: StepRing,
): Program {
  const dispatches: Dispatch[] = g.calls.map((call) => ({
    kernel: call.kernel,
    constants: call.constants,
    bindings: Object.fromEntries(
      Object.entries(call.bindings).map(([name, bound]) => [name, resolve(bound, plan, arenas)]),
    ),
    dims: call.dims,
    grid: call.grid,
  }));
  return recordProgram(gpu, label, ring, dispatches);
}
