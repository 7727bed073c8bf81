/**
 * The graph builder: ops record themselves on a tape (for autodiff) and emit kernel calls (for the program). Built
 * once per batch shape; nothing here touches the GPU.
 */
import type { ArenaSlot } from "../gpu/arena.ts";
import type { Gpu, Preset } from "../gpu/device.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Constants } from "../gpu/template.ts";
import { type GemmRequest, ROW_PADDING } from "../gpu/gemm.ts";
import type { GemmVariant } from "../gpu/gemm_variants.ts";
import {
  type ArenaName,
  elementCount,
  type ElementType,
  rowCount,
  type Tensor,
  type TensorWindow,
  width,
} from "./tensor.ts";

/** What kernels are specialised for: the part of an adapter that a graph needs to know. */
export interface Target {
  readonly preset: Preset;
  /** Lanes per subgroup, 0 when kernels must do without subgroups. */
  readonly subgroupSize: number;
  readonly maxBindingBytes: number;
  readonly maxBufferBytes: number;
  readonly alignment: number;
  /** The fastest variant of a product where it is known; all of them give the same bits. */
  readonly variantOf?: ((request: GemmRequest) => GemmVariant | undefined) | undefined;
}

/** The target of an open device. */
export function targetOf(gpu: Pick<Gpu, "limits" | "preset" | "subgroupSize">): Target {
  return {
    preset: gpu.preset,
    subgroupSize: gpu.subgroupSize,
    maxBindingBytes: gpu.limits.maxStorageBufferBindingSize,
    maxBufferBytes: gpu.limits.maxBufferSize,
    alignment: Math.max(256, gpu.limits.minStorageBufferOffsetAlignment),
  };
}

/** One kernel dispatch on tensors. */
export interface KernelCall {
  readonly kernel: Kernel;
  readonly constants: Constants;
  readonly bindings: Readonly<Record<string, Tensor | TensorWindow>>;
  readonly dims: Readonly<Record<string, number>>;
  readonly grid: readonly [number, number, number];
}

/** Makes a gradient: adds it to `into` when given and returns `into`, else returns a new tensor. */
export type GradientMaker = (into: Tensor | undefined) => Tensor;

/** An op on the tape: `backward` maps the gradient of its output to makers of its inputs' gradients. */
export interface OpEntry {
  readonly name: string;
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly output: Tensor;
  readonly backward: (dy: Tensor) => Readonly<Record<string, GradientMaker>>;
}

/**
 * Ops of which only the output was kept. `again` computes them once more, into new tensors, with the same dropout masks;
 * it returns their entries, and the tensor in which their output then stands.
 */
export interface RecomputedEntry {
  readonly name: string;
  readonly output: Tensor;
  readonly again: () => { readonly tape: readonly TapeEntry[]; readonly output: Tensor };
}

/** What the tape holds, in the order of the forward pass. */
export type TapeEntry = OpEntry | RecomputedEntry;

/** How much of an encoder is computed a second time in the backward pass instead of being kept; see `encoder`. */
export const RECOMPUTATIONS = {
  none: "everything is kept: the fastest",
  feed_forward: "the feed-forward blocks are computed again",
  layer: "whole layers are computed again: the least memory (Chen et al. 2016)",
} as const;

/** One of the names in `RECOMPUTATIONS`. */
export type RecomputeLevel = keyof typeof RECOMPUTATIONS;

/** The names in `RECOMPUTATIONS`, the one that keeps most first. */
export const RECOMPUTE_LEVELS = Object.keys(RECOMPUTATIONS) as RecomputeLevel[];

/** A graph under construction. */
export interface Graph {
  readonly target: Target;
  /** What models are to compute again in the backward pass rather than keep. */
  readonly recompute: RecomputeLevel;
  /** How ops may store what they keep for the backward pass, and the gradients between them. */
  readonly precision: ElementType;
  /** Whether dropout is on. */
  readonly training: boolean;
  readonly calls: KernelCall[];
  /** Those of `calls` that belong to the backward pass. */
  readonly backwardCalls: Set<KernelCall>;
  /** The matrix products among the calls. */
  readonly products: GemmRequest[];
  readonly tape: TapeEntry[];
  /** A new activation. */
  tensor(name: string, shape: readonly number[], element?: ElementType): Tensor;
  /** A tensor with a fixed place in an arena other than the activations'. */
  fixed(name: string, shape: readonly number[], arena: ArenaName, slot: ArenaSlot, requiresGradient?: boolean): Tensor;
  /** Appends a kernel dispatch. */
  emit(call: KernelCall): void;
  /** Marks an activation as kept to the end of the program, to be read back. */
  keep(tensor: Tensor): void;
  readonly kept: ReadonlySet<Tensor>;
  /** A number that no other random draw of this graph uses: which dropout this is. */
  nextSite(): number;
  /**
   * Runs ops of which nothing but the output is kept for the backward pass: before their gradients are made they are
   * run once more. `body` must build the same ops each time. The kernels, their order and their dropout sites are those
   * of a graph that keeps everything, so gradients have the same bits.
   */
  recomputed(name: string, body: () => Tensor): Tensor;
}

/** Settings of a graph. */
export interface GraphOptions {
  /** Keeps every activation to the end, for tests that read them. */
  readonly keepAll?: boolean;
  readonly recompute?: RecomputeLevel;
  readonly precision?: ElementType;
}

/** Starts a graph. */
export function createGraph(
  target: Target,
  training: boolean,
  { keepAll = false, recompute = "none", precision = "f32" }: GraphOptions = {},
): Graph {
  const calls: KernelCall[] = [];
  const products: GemmRequest[] = [];
  const tape: TapeEntry[] = [];
  const kept = new Set<Tensor>();
  let nextId = 0, nextSite = 0;
  /** Builds ops, and takes them off the tape again. */
  const record = (body: () => Tensor) => {
    const start = tape.length;
    const output = body();
    return { output, tape: tape.splice(start) };
  };
  return {
    target,
    training,
    recompute,
    precision,
    calls,
    backwardCalls: new Set(),
    products,
    tape,
    kept,
    keep: (tensor) => void kept.add(tensor),
    tensor(name, shape, element = "f32") {
      const rows = Math.ceil(rowCount(shape) / ROW_PADDING) * ROW_PADDING;
      const bytes = (shape.length > 1 ? rows * shape.at(-1)! : elementCount(shape)) * (element === "f16" ? 2 : 4);
      const tensor: Tensor = {
        id: nextId++,
        name,
        shape,
        element,
        arena: "activation",
        bytes,
        slot: undefined,
        requiresGradient: false,
      };
      if (keepAll) kept.add(tensor);
      return tensor;
    },
    fixed(name, shape, arena, slot, requiresGradient = false) {
      return { id: nextId++, name, shape, element: "f32", arena, bytes: slot.size, slot, requiresGradient };
    },
    emit(call) {
      for (const [name, bound] of Object.entries(call.bindings)) {
        const type = call.constants[typeConstant(name)];
        if (!("tensor" in bound) && bound.element === "f16" && type !== "vec2u" && type !== "u32") {
          throw new TypeError(`${call.kernel.name}: "${bound.name}" is stored in 16 bits, which "${name}" cannot be`);
        }
      }
      calls.push(call);
    },
    nextSite: () => nextSite++,
    recomputed(name, body) {
      const firstSite = nextSite;
      const first = record(body);
      // Below frozen layers nothing is kept anyhow.
      if (first.tape.length === 0) return first.output;
      const again = () => {
        const lastSite = nextSite;
        nextSite = firstSite;
        const second = record(body);
        nextSite = lastSite;
        return second;
      };
      tape.push({ name, output: first.output, again });
      return first.output;
    },
  };
}

/** An op: its forward dispatches beside the derivative. `saved` carries what the derivative needs. */
export interface OpDefinition<Inputs extends Readonly<Record<string, Tensor | undefined>>, Attributes, Saved> {
  forward(g: Graph, inputs: Inputs, attributes: Attributes): { output: Tensor; saved: Saved };
  backward(
    g: Graph,
    inputs: Inputs,
    dy: Tensor,
    saved: Saved,
    attributes: Attributes,
  ): { [Name in keyof Inputs]?: GradientMaker };
}

/**
 * Makes an op callable on a graph: runs its forward and records it on the tape. Where none of its inputs wants a
 * derivative (below frozen layers), nothing is recorded, so nothing is kept for a backward pass either.
 */
export function defineOp<Inputs extends Readonly<Record<string, Tensor | undefined>>, Attributes, Saved>(
  name: string,
  definition: OpDefinition<Inputs, Attributes, Saved>,
): (g: Graph, inputs: Inputs, attributes: Attributes) => Tensor {
  return (g, inputs, attributes) => {
    const { output, saved } = definition.forward(g, inputs, attributes);
    const given = Object.fromEntries(Object.entries(inputs).filter(([, tensor]) => tensor)) as Record<string, Tensor>;
    output.requiresGradient = Object.values(given).some(({ requiresGradient }) => requiresGradient);
    if (!output.requiresGradient) return output;
    g.tape.push({
      name,
      inputs: given,
      output,
      backward: (dy) => definition.backward(g, inputs, dy, saved, attributes) as Record<string, GradientMaker>,
    });
    return output;
  };
}

/** Workgroups per grid row of the kernels that number their workgroups as y · 32768 + x. */
const GRID_ROW = 32768;

/** The grid of a kernel that needs `count` workgroups in one dimension. */
export function linearGrid(count: number): [number, number, number] {
  const groups = Math.max(1, Math.ceil(count));
  return [Math.min(groups, GRID_ROW), Math.ceil(groups / GRID_ROW), 1];
}

/** Constants and grid of the kernels that give each row to `LANES` threads of a 64-thread workgroup. */
export function rowKernel(target: Target, rows: number): { constants: Constants; grid: [number, number, number] } {
  const lanes = target.subgroupSize || 64;
  return {
    constants: { LANES: lanes, SUBGROUP: target.subgroupSize ? 1 : 0 },
    grid: linearGrid(Math.ceil(rows / (64 / lanes))),
  };
}

/** The element type of kernels that work on vec4 columns where they can: WGSL type and columns per row. */
export function columnType(tensor: Tensor): { T: string; WIDTH: number } {
  const columns = width(tensor);
  return columns % 4 === 0 ? { T: "vec4f", WIDTH: columns / 4 } : { T: "f32", WIDTH: columns };
}

const typeConstant = (binding: string) => `${binding.toUpperCase()}_TYPE`;

/**
 * How a kernel sees bindings that may be stored in 16 bits. For a binding x: X_TYPE, the element of its array; X_READ and
 * X_WRITE, the functions of `half.wgsl` that turn it into `type` and back, nothing where it is that already.
 *
 * @throws {RangeError} when elements of 16 bits are not seen four at a time
 */
export function storage(bindings: Readonly<Record<string, Tensor | undefined>>, type = "vec4f"): Constants {
  const constants: Record<string, number | string> = { HALF: 0 };
  for (const [name, tensor] of Object.entries(bindings)) {
    const half = tensor?.element === "f16";
    if (half && type !== "vec4f") throw new RangeError(`Expected ${tensor.name} in steps of four columns`);
    constants[typeConstant(name)] = half ? "vec2u" : type;
    constants[`${name.toUpperCase()}_READ`] = half ? "from_half" : "";
    constants[`${name.toUpperCase()}_WRITE`] = half ? "to_half" : "";
    if (half) constants["HALF"] = 1;
  }
  return constants;
}

/** The element type of kernels that see tensors as flat: WGSL type, elements per T, and the number of T. */
export function flatType(shape: readonly number[]): { T: string; lanes: number; count: number } {
  const elements = elementCount(shape);
  const lanes = elements % 4 === 0 ? 4 : 1;
  return { T: lanes === 4 ? "vec4f" : "f32", lanes, count: elements / lanes };
}

/** @throws {RangeError} when a tensor has another shape than an op needs */
export function expectShape(op: string, name: string, tensor: Tensor, shape: readonly number[]): void {
  if (tensor.shape.length === shape.length && shape.every((size, i) => size === tensor.shape[i])) return;
  throw new RangeError(`${op}: expected ${name} of shape [${shape.join(", ")}] but found [${tensor.shape.join(", ")}]`);
}
