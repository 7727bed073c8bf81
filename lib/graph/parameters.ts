/**
 * The parameters of a model: names, shapes and places. Parameters, gradients and both optimizer moments share one
 * layout, in which neighbours with the same optimizer settings form runs that one dispatch updates.
 */
import { align, type ArenaLayout, type ArenaSlot, layoutSequential } from "../gpu/arena.ts";
import type { Graph, Target } from "./graph.ts";
import { elementCount, type Tensor } from "./tensor.ts";

/**
 * How a parameter starts when no pretrained value is given. `kaiming_uniform` is uniform within ±1/√K of a weight [N, K],
 * as `torch.nn.init.kaiming_uniform_` with a = √5.
 */
export type Initialisation = "normal" | "zeros" | "ones" | "kaiming_uniform";

/** One parameter of a model. */
export interface ParameterSpec {
  /** Name within Winnow; the name in checkpoints too unless `parts` says otherwise. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly initialisation: Initialisation;
  /** Whether weight decay applies: not for biases and LayerNorm parameters. */
  readonly decay: boolean;
  /** Whether it is trained: true unless given. What is frozen has no gradient and no optimizer state. */
  readonly trained?: boolean;
  /** Factor on the learning rate: 1 unless given. */
  readonly learningRateScale?: number;
  /**
   * Names of equal row blocks when the parameter fuses several checkpoint tensors (query, key, value), or the one name
   * that checkpoints have for it.
   */
  readonly parts?: readonly string[];
}

/** A run of neighbouring parameters with the same optimizer settings. */
export interface ParameterRun {
  readonly slot: ArenaSlot;
  readonly decay: boolean;
  readonly learningRateScale: number;
}

/** Parameters with their places. */
export interface ParameterSet {
  readonly specs: readonly ParameterSpec[];
  readonly layout: ArenaLayout;
  /** The beginning of `layout` that holds what is trained: the layout of gradients and optimizer state. */
  readonly trainedLayout: ArenaLayout;
  readonly runs: readonly ParameterRun[];
  /** @throws {RangeError} when there is no parameter of that name */
  slot(name: string): ArenaSlot;
  /** The parameter as a tensor of a graph. */
  tensor(g: Graph, name: string): Tensor;
  /** The gradient of a parameter tensor. */
  gradient(g: Graph, parameter: Tensor): Tensor;
}

/** Whether a parameter is trained, so has a gradient and optimizer state. */
export const isTrained = (spec: ParameterSpec): boolean => spec.trained ?? true;

/** The same parameters, read from their moving averages where they are trained: what evaluation runs on. */
export function averagedParameters(parameters: ParameterSet): ParameterSet {
  return {
    ...parameters,
    tensor(g, name) {
      const tensor = parameters.tensor(g, name);
      return tensor.requiresGradient ? g.fixed(name, tensor.shape, "average", parameters.slot(name)) : tensor;
    },
  };
}

const scaleOf = (spec: ParameterSpec): number => spec.learningRateScale ?? 1;

/**
 * Lays out parameters: what is trained first, those with the same optimizer settings beside one another, so that few
 * dispatches update them all and gradients take no place for what is frozen.
 */
export function layoutParameters(specs: readonly ParameterSpec[], target: Target): ParameterSet {
  const ordered = specs.toSorted((a, b) =>
    Number(isTrained(b)) - Number(isTrained(a)) || Number(b.decay) - Number(a.decay) || scaleOf(b) - scaleOf(a)
  );
  const sizes = ordered.map((spec) => elementCount(spec.shape) * 4);
  const { slots, layout } = layoutSequential("parameters", sizes, target.maxBufferBytes);
  const byName = new Map(ordered.map((spec, i) => [spec.name, { spec, slot: slots[i]! }]));
  const runs: { slot: ArenaSlot; decay: boolean; learningRateScale: number }[] = [];
  const trainedBytes: number[] = [];
  ordered.forEach((spec, i) => {
    if (!isTrained(spec)) return;
    const slot = slots[i]!, learningRateScale = scaleOf(spec), last = runs.at(-1);
    trainedBytes[slot.chunk] = slot.offset + align(Math.max(slot.size, 4));
    if (
      last && last.decay === spec.decay && last.learningRateScale === learningRateScale &&
      last.slot.chunk === slot.chunk
    ) {
      last.slot = { ...last.slot, size: slot.offset + align(slot.size) - last.slot.offset };
    } else {
      runs.push({ slot: { ...slot, size: align(slot.size) }, decay: spec.decay, learningRateScale });
    }
  });
  const trainedLayout = {
    label: "trained parameters",
    chunkBytes: trainedBytes,
    totalBytes: trainedBytes.reduce((sum, bytes) => sum + bytes, 0),
  };
  const find = (name: string) => {
    const found = byName.get(name);
    if (!found) throw new RangeError(`Expected a parameter named "${name}"`);
    return found;
  };
  return {
    specs,
    layout,
    trainedLayout,
    runs,
    slot: (name) => find(name).slot,
    tensor(g, name) {
      const { spec, slot } = find(name);
      return g.fixed(name, spec.shape, "parameter", slot, isTrained(spec));
    },
    gradient: (g, parameter) => g.fixed(`d ${parameter.name}`, parameter.shape, "gradient", find(parameter.name).slot),
  };
}
