/**
 * The parameters of a model: names, shapes and places. Parameters, gradients and both optimizer moments share one
 * layout, in which neighbours with the same optimizer settings form runs that one dispatch updates.
 */
import { align, type ArenaLayout, type ArenaSlot, layoutSequential } from "../gpu/arena.ts";
import type { Graph, Target } from "./graph.ts";
import { elementCount, type Tensor } from "./tensor.ts";

/** How a parameter starts when no pretrained value is given. */
export type Initialisation = "normal" | "zeros" | "ones";

/** One parameter of a model. */
export interface ParameterSpec {
  /** Name within Winnow; the name in checkpoints too unless `parts` says otherwise. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly initialisation: Initialisation;
  /** Whether weight decay applies: not for biases and LayerNorm parameters. */
  readonly decay: boolean;
  /**
   * Names of equal row blocks when the parameter fuses several checkpoint tensors (query, key, value), or the one name
   * that checkpoints have for it.
   */
  readonly parts?: readonly string[];
}

/** A run of neighbouring parameters with one weight-decay setting. */
export interface ParameterRun {
  readonly slot: ArenaSlot;
  readonly decay: boolean;
}

/** Parameters with their places. */
export interface ParameterSet {
  readonly specs: readonly ParameterSpec[];
  readonly layout: ArenaLayout;
  readonly runs: readonly ParameterRun[];
  /** @throws {RangeError} when there is no parameter of that name */
  slot(name: string): ArenaSlot;
  /** The parameter as a tensor of a graph. */
  tensor(g: Graph, name: string): Tensor;
  /** The gradient of a parameter tensor. */
  gradient(g: Graph, parameter: Tensor): Tensor;
}

/** Lays out parameters: those with weight decay first, so that two runs per buffer cover them all. */
export function layoutParameters(specs: readonly ParameterSpec[], target: Target): ParameterSet {
  const ordered = [...specs.filter((spec) => spec.decay), ...specs.filter((spec) => !spec.decay)];
  const sizes = ordered.map((spec) => elementCount(spec.shape) * 4);
  const { slots, layout } = layoutSequential("parameters", sizes, target.maxBufferBytes);
  const byName = new Map(ordered.map((spec, i) => [spec.name, { spec, slot: slots[i]! }]));
  const runs: { slot: ArenaSlot; decay: boolean }[] = [];
  ordered.forEach((spec, i) => {
    const slot = slots[i]!;
    const last = runs.at(-1);
    if (last && last.decay === spec.decay && last.slot.chunk === slot.chunk) {
      last.slot = { ...last.slot, size: slot.offset + align(slot.size) - last.slot.offset };
    } else {
      runs.push({ slot: { ...slot, size: align(slot.size) }, decay: spec.decay });
    }
  });
  const find = (name: string) => {
    const found = byName.get(name);
    if (!found) throw new RangeError(`Expected a parameter named "${name}"`);
    return found;
  };
  return {
    specs,
    layout,
    runs,
    slot: (name) => find(name).slot,
    tensor(g, name) {
      const { spec, slot } = find(name);
      return g.fixed(name, spec.shape, "parameter", slot, true);
    },
    gradient: (g, parameter) => g.fixed(`d ${parameter.name}`, parameter.shape, "gradient", find(parameter.name).slot),
  };
}
