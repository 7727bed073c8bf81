/**
 * The arrays that share the parameters' layout (weights, gradients, both moments), read and written under the names
 * that checkpoints have for them.
 */
import { type Arena, uploadLarge } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/device.ts";
import { type Readback, readLarge } from "../gpu/readback.ts";
import { momentSlot } from "../graph/optimizer.ts";
import { isTrained, type ParameterSpec } from "../graph/parameters.ts";
import { elementCount } from "../graph/tensor.ts";
import type { EnginePlan } from "./engine_plan.ts";

/** Which of the arrays that share the parameters' layout. */
export type ParameterArray = "parameter" | "gradient" | "first_moment" | "second_moment";

/** A tensor as checkpoints name it. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: () => Promise<Float32Array<ArrayBuffer>>;
}

/** Which tensors of an array: all, or those that are trained. Gradients and moments have only these. */
export type TensorChoice = "all" | "trained";

/** Access to the arrays of an engine. */
export interface ParameterArrays {
  /** Fills one array; `read` gives a tensor by checkpoint name. */
  load(
    array: ParameterArray,
    read: (name: string, shape: readonly number[]) => Float32Array<ArrayBuffer>,
    choice?: TensorChoice,
  ): void;
  /** The tensors of one array under their checkpoint names. */
  tensors(array: ParameterArray, choice?: TensorChoice): NamedTensor[];
}

/** Names and shapes of the checkpoint tensors that a parameter stands for. */
export function checkpointTensors(spec: ParameterSpec): { name: string; shape: number[]; offset: number }[] {
  if (!spec.parts) return [{ name: spec.name, shape: [...spec.shape], offset: 0 }];
  const shape = [spec.shape[0]! / spec.parts.length, ...spec.shape.slice(1)];
  return spec.parts.map((name, i) => ({ name, shape, offset: i * elementCount(shape) * 4 }));
}

/** The arrays behind a plan's arenas. */
export function createParameterArrays(
  gpu: Gpu,
  plan: EnginePlan,
  arenas: Readonly<Record<"parameter" | "gradient" | "moment", Arena>>,
  readback: Readback,
): ParameterArrays {
  const place = (array: ParameterArray, name: string) => {
    const slot = plan.parameters.slot(name);
    if (array === "first_moment") return arenas.moment.slice(momentSlot(plan.parameters, 0, slot));
    if (array === "second_moment") return arenas.moment.slice(momentSlot(plan.parameters, 1, slot));
    return arenas[array].slice(slot);
  };
  const chosen = (array: ParameterArray, choice: TensorChoice) =>
    plan.parameters.specs.filter((spec) => isTrained(spec) || (array === "parameter" && choice === "all"));
  return {
    load(array, read, choice = "all") {
      for (const spec of chosen(array, choice)) {
        const slice = place(array, spec.name);
        for (const { name, shape, offset } of checkpointTensors(spec)) {
          const size = elementCount(shape) * 4;
          uploadLarge(gpu, { buffer: slice.buffer, offset: slice.offset + offset, size }, read(name, shape));
        }
      }
    },
    tensors(array, choice = "all") {
      const entries = chosen(array, choice).flatMap((spec) => {
        const { buffer, offset: start } = place(array, spec.name);
        return checkpointTensors(spec).map(({ name, shape, offset }) => ({
          name,
          shape,
          slice: { buffer, offset: start + offset, size: elementCount(shape) * 4 },
        }));
      });
      const fetched = new Map<number, Float32Array<ArrayBuffer>>();
      // One wait for the GPU costs 11 ms whatever it brings: tensors that follow are fetched along.
      const fetch = async (first: number) => {
        const along: number[] = [];
        for (let i = first; i < entries.length && readback.free >= entries[i]!.slice.size; i++) {
          readback.enqueue(entries[i]!.slice);
          along.push(i);
        }
        if (along.length === 0) return await readLarge(readback, entries[first]!.slice);
        (await readback.flush()).forEach((bytes, i) => fetched.set(along[i]!, new Float32Array(bytes)));
        return fetched.get(first)!;
      };
      return entries.map(({ name, shape }, i) => ({
        name,
        shape,
        data: async () => {
          const data = fetched.get(i) ?? await fetch(i);
          fetched.delete(i);
          return data;
        },
      }));
    },
  };
}
