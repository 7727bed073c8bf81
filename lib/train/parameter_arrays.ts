/**
 * The arrays that share the parameters' layout (weights, gradients, moments, averages), read and written under the
 * names that checkpoints have for them.
 */
import { type Arena, uploadLarge } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/device.ts";
import { type Readback, readLarge, readRanges } from "../gpu/readback.ts";
import { momentSlot, OPTIMIZERS } from "../graph/optimizer.ts";
import { isTrained, type ParameterSpec } from "../graph/parameters.ts";
import { elementCount } from "../graph/tensor.ts";
import type { EnginePlan } from "./engine_plan.ts";

/**
 * Which of the arrays that share the parameters' layout. `average` is what evaluation runs on: the moving average of what
 * is trained where one is kept, else the parameter itself.
 */
export type ParameterArray = "parameter" | "gradient" | "first_moment" | "second_moment" | "average";

/** A tensor as checkpoints name it. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: () => Promise<Float32Array<ArrayBuffer>>;
}

/** A tensor that was read, as checkpoints name it. */
export interface CopiedTensor {
  readonly array: ParameterArray;
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/** Which tensors of an array. */
export interface ArraySelection {
  /** Leaves out what is frozen, which gradients and moments have no place for anyway. */
  readonly trainedOnly?: boolean;
}

/** Access to the arrays of an engine. */
export interface ParameterArrays {
  /**
   * Fills one array; `read` gives a tensor by checkpoint name. A moving average starts at the parameters: what is loaded
   * into them is loaded into it as well.
   */
  load(
    array: ParameterArray,
    read: (name: string, shape: readonly number[]) => Float32Array<ArrayBuffer>,
    selection?: ArraySelection,
  ): void;
  /** The tensors of one array under their checkpoint names. */
  tensors(array: ParameterArray, selection?: ArraySelection): NamedTensor[];
  /** Reads all tensors of several arrays, as they are behind the steps queued so far: the fastest way to all of them. */
  copy(arrays: readonly ParameterArray[], selection?: ArraySelection): Promise<CopiedTensor[]>;
}

/**
 * The arrays of what is trained that a run needs to go on, besides the weights that it evaluates: the optimizer's
 * moments, and the parameters themselves where an average of them is evaluated.
 */
export function resumeArrays({ optimizer }: Pick<EnginePlan["options"], "optimizer">): ParameterArray[] {
  const moments = (["first_moment", "second_moment"] as const).slice(0, OPTIMIZERS[optimizer.name].moments);
  return optimizer.averageDecay === undefined ? moments : [...moments, "parameter"];
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
  arenas: Readonly<Record<"parameter" | "gradient" | "moment" | "average", Arena>>,
  readback: Readback,
): ParameterArrays {
  const { optimizer } = plan.options;
  const isAveraged = (spec: ParameterSpec) => optimizer.averageDecay !== undefined && isTrained(spec);
  const select = (array: ParameterArray, { trainedOnly = false }: ArraySelection) => {
    if (array === "second_moment" && OPTIMIZERS[optimizer.name].moments < 2) return [];
    const whole = !trainedOnly && (array === "parameter" || array === "average");
    return whole ? plan.parameters.specs : plan.parameters.specs.filter(isTrained);
  };
  const place = (array: ParameterArray, spec: ParameterSpec) => {
    const slot = plan.parameters.slot(spec.name);
    if (array === "average") return arenas[isAveraged(spec) ? "average" : "parameter"].slice(slot);
    if (array === "first_moment") return arenas.moment.slice(momentSlot(plan.parameters, 0, slot));
    if (array === "second_moment") return arenas.moment.slice(momentSlot(plan.parameters, 1, slot));
    return arenas[array].slice(slot);
  };
  const entriesOf = (array: ParameterArray, selection: ArraySelection) =>
    select(array, selection).flatMap((spec) => {
      const { buffer, offset: start } = place(array, spec);
      return checkpointTensors(spec).map(({ name, shape, offset }) => ({
        array,
        name,
        shape,
        slice: { buffer, offset: start + offset, size: elementCount(shape) * 4 },
      }));
    });
  return {
    load(array, read, selection = {}) {
      for (const spec of select(array, selection)) {
        const places = [place(array, spec)];
        if (array === "parameter" && isAveraged(spec)) places.push(place("average", spec));
        for (const { name, shape, offset } of checkpointTensors(spec)) {
          const values = read(name, shape);
          for (const { buffer, offset: start } of places) {
            uploadLarge(gpu, { buffer, offset: start + offset, size: elementCount(shape) * 4 }, values);
          }
        }
      }
    },
    async copy(arrays, selection = {}) {
      const entries = arrays.flatMap((array) => entriesOf(array, selection));
      const read = await readRanges(gpu, entries.map(({ slice }) => slice));
      return entries.map(({ array, name, shape }, i) => ({ array, name, shape, data: read[i]! }));
    },
    tensors(array, selection = {}) {
      const entries = entriesOf(array, selection);
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
