/** Turns a planned graph into a program: tensors become buffer ranges, kernel calls become dispatches. */
import type { Arena, BufferSlice } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, type Program, recordProgram, type StepRing } from "../gpu/program.ts";
import type { Graph } from "./graph.ts";
import type { MemoryPlan } from "./plan.ts";
import type { ArenaName, Tensor, TensorWindow } from "./tensor.ts";

/** The allocated arenas that a graph's tensors live in. */
export type Arenas = Readonly<Partial<Record<ArenaName, Arena>>>;

/** The buffer range behind a tensor or a window of one. */
export function resolve(bound: Tensor | TensorWindow, plan: MemoryPlan, arenas: Arenas): BufferSlice {
  const tensor = "tensor" in bound ? bound.tensor : bound;
  const slot = tensor.slot ?? plan.slots.get(tensor);
  const arena = arenas[tensor.arena];
  if (!slot || !arena) {
    throw new TypeError(`Expected tensor "${tensor.name}" to have a place in the ${tensor.arena} arena`);
  }
  const slice = arena.slice(slot);
  if (!("tensor" in bound)) return slice;
  return { buffer: slice.buffer, offset: slice.offset + bound.offset, size: bound.size };
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
