/** Multi-head self-attention with a key padding mask, FlashAttention style: no T×T tensor is kept. */
import type { Constants } from "../../gpu/template.ts";
import { defineOp, type Graph, linearGrid, storage } from "../graph.ts";
import { type Tensor, width } from "../tensor.ts";
import { accumulate, dropoutDims, type DropoutSite, dropoutSite } from "./elementwise.ts";
import { KERNELS } from "./kernels.ts";

interface Attributes {
  readonly heads: number;
  /** [B, T]: 1 for a key to attend to. */
  readonly mask: Tensor;
  /** [B]: 1 + the last such key, 0 when there is none. */
  readonly limits: Tensor;
  readonly drop: DropoutSite | undefined;
}

interface Saved {
  readonly out: Tensor;
  readonly lse: Tensor;
}

function specialisation(g: Graph, qkv: Tensor, { heads, drop }: Attributes) {
  const [batch, length] = qkv.shape as [number, number, number];
  const hidden = width(qkv) / 3;
  const headSize = hidden / heads;
  if (headSize % 4 !== 0) throw new RangeError(`Expected a head size that is a multiple of 4 but found ${headSize}`);
  const broadcast = g.target.preset === "broadcast" && g.target.subgroupSize > 0;
  const rows = broadcast ? g.target.subgroupSize : 64;
  const constants: Constants = {
    BROADCAST: broadcast ? 1 : 0,
    LANES: rows,
    CHUNKS: Math.ceil(headSize / 4 / rows),
    D4: headSize / 4,
    C4: hidden / 4,
    HEADS: heads,
    DROPOUT: drop ? 1 : 0,
  };
  const { site, threshold, scale } = dropoutDims(drop);
  const dims = { batch, length, scale: 1 / Math.sqrt(headSize), site, threshold, keep_scale: scale };
  const threads = batch * heads * Math.ceil(length / rows) * rows;
  return { constants, dims, grid: linearGrid(threads / 64), batch, length, hidden };
}

const attentionOp = defineOp<{ qkv: Tensor }, Attributes, Saved>("attention", {
  forward(g, { qkv }, attributes) {
    const { constants, dims, grid, batch, length, hidden } = specialisation(g, qkv, attributes);
    const { mask, limits, heads } = attributes;
    const out = g.tensor("attention", [batch, length, hidden], g.precision);
    const lse = g.tensor("attention_lse", [batch * heads * length]);
    g.emit({
      kernel: KERNELS.attentionForward,
      constants: { ...constants, ...storage({ qkv, out }) },
      bindings: { qkv, mask, limits, out, lse },
      dims,
      grid,
    });
    return { output: out, saved: { out, lse } };
  },
  backward: (g, { qkv }, dout, { out, lse }, attributes) => ({
    qkv: (into) => {
      const { constants, dims, grid, batch, length } = specialisation(g, qkv, attributes);
      const { mask, limits, heads } = attributes;
      const dqkv = g.tensor("attention_dqkv", qkv.shape, qkv.element);
      const delta = g.tensor("attention_delta", [batch * heads * length]);
      g.emit({
        kernel: KERNELS.attentionBackwardQuery,
        constants: { ...constants, ...storage({ qkv, out, dout, dqkv }) },
        bindings: { qkv, mask, limits, out, dout, lse, delta, dqkv },
        dims,
        grid,
      });
      g.emit({
        kernel: KERNELS.attentionBackwardKey,
        constants: { ...constants, ...storage({ qkv, dout, dqkv }) },
        bindings: { qkv, mask, limits, dout, lse, delta, dqkv },
        dims,
        grid,
      });
      if (into) accumulate(g, dqkv, into);
      return into ?? dqkv;
    },
  }),
});

/**
 * softmax(Q·Kᵀ / sqrt(D) + mask) · V per head, as `torch.nn.functional.scaled_dot_product_attention`, with dropout on
 * the probabilities. qkv [B, T, 3C] holds query, key and value side by side → [B, T, C].
 */
export function attention(
  g: Graph,
  qkv: Tensor,
  { heads, mask, limits, dropout = 0 }: { heads: number; mask: Tensor; limits: Tensor; dropout?: number },
): Tensor {
  return attentionOp(g, { qkv }, { heads, mask, limits, drop: dropoutSite(g, dropout) });
}
