/** Products between the tokens of a text and one vector of the text; attention of one query is made of them. */
import { columnType, defineOp, expectShape, type Graph, linearGrid, rowKernel } from "../graph.ts";
import { type Tensor, width } from "../tensor.ts";
import { KERNELS } from "./kernels.ts";
import { tokenSoftmax } from "./softmax.ts";

/** out [B, T, 1] (+)= scale · Σ_c q[b, c] · k[b, t, c]. */
function dot(
  g: Graph,
  q: Tensor,
  k: Tensor,
  scale: number,
  into: Tensor | undefined,
): Tensor {
  const [batch, length] = k.shape as [number, number, number];
  const out = into ?? g.tensor("token_dot", [batch, length, 1]);
  const { T, WIDTH } = columnType(k);
  const { constants, grid } = rowKernel(g.target, batch * length);
  g.emit({
    kernel: KERNELS.tokenDot,
    constants: { ...constants, T, WIDTH, VECTOR: T === "vec4f" ? 1 : 0, ACCUMULATE: into ? 1 : 0 },
    bindings: { q, k, out },
    dims: { rows: batch * length, length, scale },
    grid,
  });
  return out;
}

/** out [B, C] (+)= scale · Σ_t w[b, t] · x[b, t, c]; w = 1 unless given. */
function sum(
  g: Graph,
  x: Tensor,
  w: Tensor | undefined,
  scale: number,
  into: Tensor | undefined,
): Tensor {
  const [batch, length] = x.shape as [number, number, number];
  const out = into ?? g.tensor("token_sum", [batch, width(x)]);
  const { T, WIDTH } = columnType(x);
  g.emit({
    kernel: KERNELS.tokenSum,
    constants: { T, WIDTH, WEIGHTED: w ? 1 : 0, ACCUMULATE: into ? 1 : 0 },
    bindings: { x, out, ...(w ? { w } : {}) },
    dims: { batch, length, scale },
    grid: linearGrid((batch * WIDTH) / 64),
  });
  return out;
}

/** out [B, T, C] (+)= scale · w[b, t] · q[b, c]; w = 1 unless given. */
function spread(
  g: Graph,
  q: Tensor,
  length: number,
  w: Tensor | undefined,
  scale: number,
  into: Tensor | undefined,
): Tensor {
  const batch = q.shape[0]!;
  const out = into ?? g.tensor("token_spread", [batch, length, width(q)]);
  const { T, WIDTH } = columnType(q);
  g.emit({
    kernel: KERNELS.tokenSpread,
    constants: { T, WIDTH, WEIGHTED: w ? 1 : 0, ACCUMULATE: into ? 1 : 0 },
    bindings: { q, out, ...(w ? { w } : {}) },
    dims: { rows: batch * length, length, scale },
    grid: linearGrid((batch * length * WIDTH) / 64),
  });
  return out;
}

const broadcastOp = defineOp<{ x: Tensor }, { length: number }, undefined>("broadcast_tokens", {
  forward: (g, { x }, { length }) => ({
    output: spread(g, x, length, undefined, 1, undefined),
    saved: undefined,
  }),
  backward: (g, _, dy) => ({ x: (into) => sum(g, dy, undefined, 1, into) }), // dx = Σ_t dy
});

/** y[b, t] = x[b]: one vector per text given to each of its tokens. x [B, C] → y [B, length, C]. */
export function broadcastTokens(g: Graph, x: Tensor, length: number): Tensor {
  expectShape("broadcastTokens", "x", x, [x.shape[0]!, width(x)]);
  return broadcastOp(g, { x }, { length });
}

const dotOp = defineOp<{ query: Tensor; keys: Tensor }, { scale: number }, undefined>("token_dot", {
  forward: (g, { query, keys }, { scale }) => ({
    output: dot(g, query, keys, scale, undefined),
    saved: undefined,
  }),
  backward: (g, { query, keys }, dy, _, { scale }) => ({
    query: (into) => sum(g, keys, dy, scale, into), //                          dq [B, C] = scale · Σ_t dy · k
    keys: (into) => spread(g, query, keys.shape[1]!, dy, scale, into), //       dk [B, T, C] = scale · dy · q
  }),
});

/** y = scale · query·key for every token. query [B, C], keys [B, T, C] → y [B, T, 1]. */
export function tokenDot(g: Graph, query: Tensor, keys: Tensor, scale = 1): Tensor {
  expectShape("tokenDot", "query", query, [keys.shape[0]!, width(keys)]);
  return dotOp(g, { query, keys }, { scale });
}

const sumOp = defineOp<{ x: Tensor; weights: Tensor }, undefined, undefined>("token_sum", {
  forward: (g, { x, weights }) => ({
    output: sum(g, x, weights, 1, undefined),
    saved: undefined,
  }),
  backward: (g, { x, weights }, dy) => ({
    x: (into) => spread(g, dy, x.shape[1]!, weights, 1, into), //     dx [B, T, C] = w · dy
    weights: (into) => dot(g, dy, x, 1, into), //                     dw [B, T, 1] = x·dy
  }),
});

/** y = Σ over tokens of weight · x, tokens of weight 0 left out. x [B, T, C], weights [B, T, 1] → y [B, C]. */
export function tokenSum(g: Graph, x: Tensor, weights: Tensor): Tensor {
  expectShape("tokenSum", "weights", weights, [...x.shape.slice(0, 2), 1]);
  return sumOp(g, { x, weights }, undefined);
}

/**
 * Attention pooling: the tokens' mean weighted by the softmax of their scores over the real tokens; what padding holds
 * has no effect, and a fully padded row gives 0. x [B, T, C], scores [B, T, 1], mask [B, T] → y [B, C].
 */
export function attentionPool(g: Graph, x: Tensor, scores: Tensor, mask: Tensor): Tensor {
  expectShape("attentionPool", "mask", mask, x.shape.slice(0, 2));
  return tokenSum(g, x, tokenSoftmax(g, scores, mask));
}

/**
 * softmax(query·Kᵀ / sqrt(C) + mask) · V with one query per text, as `torch.nn.functional.scaled_dot_product_attention`
 * of one head; a fully padded row gives 0. query [B, C], keys [B, T, C], values [B, T, D], mask [B, T] → y [B, D].
 */
export function tokenAttention(g: Graph, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor): Tensor {
  return attentionPool(g, values, tokenDot(g, query, keys, 1 / Math.sqrt(width(query))), mask);
}
