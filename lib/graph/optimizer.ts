/** The optimizer as a graph: global-norm clipping decided on the GPU, then one of the optimizers over runs of parameters. */
import { align, type ArenaLayout, type ArenaSlot } from "../gpu/arena.ts";
import { type Graph, linearGrid, rowKernel } from "./graph.ts";
import { KERNELS } from "./ops/kernels.ts";
import type { ParameterSet } from "./parameters.ts";
import { elementCount, type Tensor } from "./tensor.ts";

/** The optimizers, with the arrays of state that each keeps per parameter; see `optimizer.wgsl`. */
export const OPTIMIZERS = {
  adamw: { summary: "Adam with decoupled weight decay (Loshchilov & Hutter 2019)", moments: 2 },
  adam: { summary: "Adam, weight decay as an L2 term of the gradient (Kingma & Ba 2015)", moments: 2 },
  sgd: { summary: "Stochastic gradient descent with momentum, weight decay as an L2 term", moments: 1 },
  lion: { summary: "Lion: the sign of an interpolated momentum (Chen et al. 2023)", moments: 1 },
} as const;

/** The name of an optimizer. */
export type OptimizerName = keyof typeof OPTIMIZERS;

/** Settings of the optimizer and of clipping that do not change during a run. */
export interface OptimizerOptions {
  readonly name: OptimizerName;
  readonly weightDecay: number;
  /** Decay of the first moment; the momentum of `sgd`. */
  readonly beta1: number;
  /** Decay of the second moment; of Lion's momentum. */
  readonly beta2: number;
  readonly epsilon: number;
  /** Largest global 2-norm of the gradient; 0 for no clipping. */
  readonly maxGradNorm: number;
  /** Decay of the exponential moving average of the parameters, in (0, 1); no average is kept without it. */
  readonly averageDecay?: number | undefined;
}

/** Dynamic loss scaling: PyTorch's `torch.amp.GradScaler` starts with these, and knows no largest scale. */
export const LOSS_SCALE = { initial: 2 ** 16, growthInterval: 2000 } as const;

/** Multiplies known gradients of the loss by the scale, in place, before the backward pass starts from them. */
export function scaleLoss(g: Graph, gradients: Iterable<Tensor>, lossScale: Tensor): void {
  for (const x of gradients) {
    const count = elementCount(x.shape);
    g.emit({
      kernel: KERNELS.scaleGradient,
      constants: {},
      bindings: { x, loss_scale: lossScale },
      dims: { count },
      grid: linearGrid(count / 64),
    });
  }
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

/** The place of a moment of a parameter: moments are laid out as what is trained, one after the other. */
export function momentSlot(parameters: ParameterSet, moment: 0 | 1, slot: ArenaSlot): ArenaSlot {
  return { ...slot, chunk: slot.chunk + moment * parameters.trainedLayout.chunkBytes.length };
}

/** Bytes of the optimizer's state. */
export function momentLayout({ trainedLayout }: ParameterSet, name: OptimizerName): ArenaLayout {
  const { moments } = OPTIMIZERS[name];
  return {
    label: "moments",
    chunkBytes: Array.from({ length: moments }, () => trainedLayout.chunkBytes).flat(),
    totalBytes: moments * trainedLayout.totalBytes,
  };
}

/**
 * Appends norm, clip decision and update. `control` [4] and `ring` [slots, 8] are described in `clip_decide.wgsl`.
 * The learning rate and bias corrections come from the step scalars. `lossScale` has the tensor [2] of scale and good steps
 * where the gradient is that of a scaled loss.
 */
export function clipAndUpdate(
  g: Graph,
  parameters: ParameterSet,
  options: OptimizerOptions,
  control: Tensor,
  ring: Tensor,
  lossScale?: { readonly state: Tensor; readonly growthInterval: number },
): void {
  const { name, averageDecay } = options;
  const runs = parameters.runs.flatMap(({ slot, decay, learningRateScale }) =>
    windows(slot, g.target.maxBindingBytes).map((part) => ({
      part,
      decay,
      learningRateScale,
      count: align(part.size) / 16,
    }))
  );
  const chunks = runs.map(({ count }) => Math.ceil(count / CHUNK));
  const total = chunks.reduce((sum, count) => sum + count, 0);
  const partial = g.tensor("norm_partial", [total]);
  const tensors = runs.map(({ part }, i) => ({
    p: g.fixed(`run ${i}`, [part.size / 4], "parameter", part),
    g: g.fixed(`run ${i} gradient`, [part.size / 4], "gradient", part),
    m: g.fixed(`run ${i} first moment`, [part.size / 4], "moment", momentSlot(parameters, 0, part)),
    ...(OPTIMIZERS[name].moments === 2
      ? { v: g.fixed(`run ${i} second moment`, [part.size / 4], "moment", momentSlot(parameters, 1, part)) }
      : {}),
    ...(averageDecay === undefined ? {} : { shadow: g.fixed(`run ${i} average`, [part.size / 4], "average", part) }),
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
    constants: { LOSS_SCALE: lossScale ? 1 : 0 },
    bindings: { partial, control, ring, ...(lossScale ? { loss_scale: lossScale.state } : {}) },
    dims: { count: total, max_norm: options.maxGradNorm, interval: lossScale?.growthInterval ?? 0 },
    grid: [1, 1, 1],
  });
  runs.forEach(({ decay, learningRateScale, count }, i) => {
    g.emit({
      kernel: KERNELS.optimizer,
      constants: {
        ADAMW: name === "adamw" ? 1 : 0,
        ADAM: name === "adam" ? 1 : 0,
        SGD: name === "sgd" ? 1 : 0,
        LION: name === "lion" ? 1 : 0,
        EMA: averageDecay === undefined ? 0 : 1,
      },
      bindings: { ...tensors[i]!, control },
      dims: {
        count,
        learning_rate_scale: learningRateScale,
        weight_decay: decay ? options.weightDecay : 0,
        beta1: options.beta1,
        beta2: options.beta2,
        epsilon: options.epsilon,
        one_minus_beta1: 1 - options.beta1,
        one_minus_beta2: 1 - options.beta2,
        one_minus_ema: 1 - (averageDecay ?? 1),
      },
      grid: linearGrid(count / 256),
    });
  });
}
