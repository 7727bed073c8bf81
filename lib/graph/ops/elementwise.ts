/** Element-wise ops: dropout, tanh, sigmoid, activations, and the in-place sum that autodiff uses. */
import { activationConstants, type ActivationKind } from "../../gpu/gemm.ts";
import { defineOp, type Graph, linearGrid, storage } from "../graph.ts";
import { elementCount, type Tensor } from "../tensor.ts";
import { KERNELS } from "./kernels.ts";

const FUNCTION = { copy: 0, dropout: 1, tanh: 2, dtanh: 3, sigmoid: 4, activation: 5, dactivation: 6 } as const;

/** Random draws of one dropout: its site and probability. */
export interface DropoutSite {
  readonly site: number;
  readonly probability: number;
}

/** Opens a dropout site; undefined when there is nothing to drop. */
export function dropoutSite(g: Graph, probability: number): DropoutSite | undefined {
  if (!g.training || probability === 0) return undefined;
  if (!(probability > 0 && probability < 1)) {
    throw new RangeError(`Expected a dropout probability from 0 to below 1 but found ${probability}`);
  }
  return { site: g.nextSite(), probability };
}

/** The `Dims` values of kernels that draw dropout masks. */
export function dropoutDims(drop: DropoutSite | undefined): { site: number; threshold: number; scale: number } {
  if (!drop) return { site: 0, threshold: 0, scale: 1 };
  return {
    site: drop.site,
    threshold: Math.round(drop.probability * 2 ** 32) >>> 0,
    scale: 1 / (1 - drop.probability),
  };
}

function run(
  g: Graph,
  name: keyof typeof FUNCTION,
  x: Tensor,
  options: { saved?: Tensor; into?: Tensor | undefined; drop?: DropoutSite; kind?: ActivationKind } = {},
): Tensor {
  const { into, saved, drop } = options;
  const y = into ?? g.tensor(name, x.shape);
  const count = Math.ceil(elementCount(x.shape) / 4);
  const constants = {
    FUNCTION: FUNCTION[name],
    ACCUMULATE: into ? 1 : 0,
    TAIL: into ? elementCount(x.shape) % 4 : 0,
    ...storage({ x, y, saved }),
    ...activationConstants(name === "tanh" ? "gelu_tanh" : options.kind ?? "gelu_erf", "vec4f"),
  };
  const dims = { count, ...dropoutDims(drop) };
  const bindings = saved ? { x, y, saved } : { x, y };
  g.emit({ kernel: KERNELS.elementwise, constants, bindings, dims, grid: linearGrid(count / 64) });
  return y;
}

/** y = x, in memory of its own. */
export function copy(g: Graph, x: Tensor): Tensor {
  return run(g, "copy", x);
}

/** into += x. */
export function accumulate(g: Graph, x: Tensor, into: Tensor): void {
  run(g, "copy", x, { into });
}

const dropoutOp = defineOp<{ x: Tensor }, DropoutSite, undefined>("dropout", {
  forward: (g, { x }, drop) => ({ output: run(g, "dropout", x, { drop }), saved: undefined }),
  backward: (g, _, dy, _saved, drop) => ({ x: (into) => run(g, "dropout", dy, { into, drop }) }),
});

/** y = mask ∘ x / (1 - p), as `torch.nn.functional.dropout`; x itself outside training. */
export function dropout(g: Graph, x: Tensor, probability: number): Tensor {
  const drop = dropoutSite(g, probability);
  return drop ? dropoutOp(g, { x }, drop) : x;
}

const tanhOp = defineOp<{ x: Tensor }, undefined, Tensor>("tanh", {
  forward: (g, { x }) => {
    const y = run(g, "tanh", x);
    return { output: y, saved: y };
  },
  backward: (g, _, dy, y) => ({ x: (into) => run(g, "dtanh", dy, { into, saved: y }) }),
});

/** y = tanh(x), as `torch.tanh`. */
export function tanh(g: Graph, x: Tensor): Tensor {
  return tanhOp(g, { x }, undefined);
}

const activateOp = defineOp<{ x: Tensor }, { kind: ActivationKind }, undefined>("activate", {
  forward: (g, { x }, { kind }) => ({ output: run(g, "activation", x, { kind }), saved: undefined }),
  backward: (g, { x }, dy, _, { kind }) => ({
    x: (into) => run(g, "dactivation", dy, { into, saved: x, kind }),
  }),
});

/** y = f(x) as the feed-forward block has it: `torch.nn.functional.gelu` by erf or by tanh, or `torch.nn.functional.relu`. */
export function activate(g: Graph, x: Tensor, kind: ActivationKind): Tensor {
  return activateOp(g, { x }, { kind });
}

/** y = 1 / (1 + e^-x), kept for reading back; not differentiated. */
export function sigmoid(g: Graph, x: Tensor): Tensor {
  const y = run(g, "sigmoid", x);
  g.keep(y);
  return y;
}
