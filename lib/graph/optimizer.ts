/** The optimizer as a graph: global-norm clipping decided on the GPU, then AdamW over runs of parameters. */
import { align, type ArenaSlot } from "../gpu/arena.ts";
import { type Graph, linearGrid, rowKernel } from "./graph.ts";
import { KERNELS } from "./ops/kernels.ts";
import type { ParameterSet } from "./parameters.ts";
import type { Tensor } from "./tensor.ts";

/** Settings of AdamW and clipping that do not change during a run. */
export interface OptimizerOptions {
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Largest global 2-norm of the gradient; 0 for no clipping. */
  readonly maxGradNorm: number;
}

/** vec4 elements that one row of lanes sums before partial sums are combined. */
const CHUNK = 2048;

/** Ranges of a slot within the binding limit. */
function windows(slot: ArenaSlot, maxBindingBytes: number): ArenaSlot[] {
  const step = Math.floor(maxBindingBytes / 256) * 256;
  const parts: ArenaSlot[] = [];
  for (let start = 0; start < slot.size; start += step) {
    parts.push({ chunk: slot.chunk, offset: slot.offset + start, size: Math.min(step, slot.size - start) });
  }
  return parts;
}

/** Bytes of the two moments, laid out as the parameters: first moments, then second moments. */
export function momentSlot(parameters: ParameterSet, moment: 0 | 1, slot: ArenaSlot): ArenaSlot {
  return { ...slot, chunk: slot.chunk + moment * parameters.layout.chunkBytes.length };
}

/**
 * Appends norm, clip decision and update. `control` [4] and `ring` [slots, 8] are described in `clip_decide.wgsl`.
 * The learning rate and bias corrections come from the step scalars.
 */
export function clipAndUpdate(
  g: Graph,
  parameters: ParameterSet,
  options: OptimizerOptions,
  control: Tensor,
  ring: Tensor,
): void {
  const runs = parameters.runs.flatMap(({ slot, decay }) =>
    windows(slot, g.target.maxBindingBytes).map((part) => ({ part, decay, count: align(part.size) / 16 }))
  );
  const chunks = runs.map(({ count }) => Math.ceil(count / CHUNK));
  const total = chunks.reduce((sum, count) => sum + count, 0);
  const partial = g.tensor("norm_partial", [total]);
  const tensors = runs.map(({ part }, i) => ({
    p: g.fixed(`run ${i}`, [part.size / 4], "parameter", part),
    g: g.fixed(`run ${i} gradient`, [part.size / 4], "gradient", part),
    m: g.fixed(`run ${i} first moment`, [part.size / 4], "moment", momentSlot(parameters, 0, part)),
    v: g.fixed(`run ${i} second moment`, [part.size / 4], "moment", momentSlot(parameters, 1, part)),
  }));
  let first = 0;
  runs.forEach(({ count }, i) => {
    const { constants, grid } = rowKernel(g.target, chunks[i]!);
    g.emit({
      kernel: KERNELS.sumSquares,
      constants: { ...constants, CHUNK },
      bindings: { g: tensors[i]!.g, partial },
      dims: { count, first },
      grid,
    });
    first += chunks[i]!;
  });
  g.emit({
    kernel: KERNELS.clipDecide,
    constants: {},
    bindings: { partial, control, ring },
    dims: { count: total, max_norm: options.maxGradNorm },
    grid: [1, 1, 1],
  });
  runs.forEach(({ decay, count }, i) => {
    g.emit({
      kernel: KERNELS.adamw,
      constants: {},
      bindings: { ...tensors[i]!, control },
      dims: {
        count,
        learning_rate_scale: 1,
        weight_decay: decay ? options.weightDecay : 0,
        beta1: options.beta1,
        beta2: options.beta2,
        epsilon: options.epsilon,
        one_minus_beta1: 1 - options.beta1,
        one_minus_beta2: 1 - options.beta2,
      },
      grid: linearGrid(count / 256),
    });
  });
}
