/**
 * The step benchmark's model in jax-js, on its WebGPU backend: forward, losses, gradients and AdamW of a whole step in one
 * `jit`, which frees what it no longer needs and fuses elementwise work into its reductions.
 */
import { blockUntilReady, jit, nn, numpy as np, valueAndGrad } from "@jax-js/jax";
import { ADAMW, LAYER_NORM_EPSILON, type ModelShape, parameters, targets, weights } from "./encoder_model.ts";
import { openJaxJs } from "./libraries.ts";
import { type Contender, type Mode, serve } from "./protocol.ts";

type Tensors = Record<string, np.Array>;

/** The joint loss; every parameter is used once, and consumed. */
function jointLoss(shape: ModelShape, p: Tensors, batch: Tensors): np.Array {
  const { layers, hidden, heads, batch: rows, length, criteria } = shape;
  const linear = (name: string, x: np.Array) =>
    np.matmul(x, np.transpose(p[`${name}.weight`]!)).add(p[`${name}.bias`]!);
  const layerNorm = (name: string, x: np.Array) =>
    nn.standardize(x, -1, { epsilon: LAYER_NORM_EPSILON }).mul(p[`${name}.weight`]!).add(p[`${name}.bias`]!);
  const ofHeads = (x: np.Array) => x.reshape([rows, length, heads, hidden / heads]);
  const { ids, labels, starts, ends } = batch as Record<"ids" | "labels" | "starts" | "ends", np.Array>;

  const words = np.take(p["embeddings.word_embeddings.weight"]!, ids, 0); // [B, T, C]
  const places = p["embeddings.position_embeddings.weight"]!.slice([0, length]);
  const types = p["embeddings.token_type_embeddings.weight"]!.slice([0, 1]);
  let x = layerNorm("embeddings.LayerNorm", words.add(places.add(types))).reshape([rows * length, hidden]);
  for (let i = 0; i < layers; i++) {
    const layer = `encoder.layer.${i}`;
    const [query, key, value] = ["query", "key", "value"].map((part) =>
      ofHeads(linear(`${layer}.attention.self.${part}`, x.ref))
    ) as [np.Array, np.Array, np.Array];
    const context = nn.dotProductAttention(query, key, value).reshape([rows * length, hidden]);
    x = layerNorm(`${layer}.attention.output.LayerNorm`, linear(`${layer}.attention.output.dense`, context).add(x));
    const inner = nn.gelu(linear(`${layer}.intermediate.dense`, x.ref), { approximate: false });
    x = layerNorm(`${layer}.output.LayerNorm`, linear(`${layer}.output.dense`, inner).add(x));
  }
  const tokens = x.reshape([rows, length, hidden]);
  const logits = linear("criteria_head", tokens.ref.slice([], 0)); // [B, K]
  const criteriaLoss = nn.softplus(logits.ref).sub(logits.mul(labels)).mean();
  const boundaries = linear("evidence_head", tokens.reshape([rows * length, hidden]))
    .reshape([rows, length, criteria, 2]);
  const shares = np.stack([nn.oneHot(starts, length), nn.oneHot(ends, length)], -1); // [B, K, T, 2]
  const surprise = nn.logSoftmax(boundaries, 1).mul(np.swapaxes(shares, 1, 2)).sum();
  return criteriaLoss.sub(surprise.mul(1 / (2 * rows * criteria)));
}

/** AdamW in one expression per parameter: [p', m', v']. */
function adamw([p, g, m, v]: np.Array[], decay: boolean, correction1: np.Array, correction2: np.Array): np.Array[] {
  const { learningRate, weightDecay, beta1, beta2, epsilon } = ADAMW;
  const mean = m!.mul(beta1).add(g!.ref.mul(1 - beta1));
  const square = v!.mul(beta2).add(np.square(g!).mul(1 - beta2));
  const change = mean.ref.div(correction1).div(np.sqrt(square.ref.div(correction2)).add(epsilon)).mul(learningRate);
  return [p!.mul(decay ? 1 - learningRate * weightDecay : 1).sub(change), mean, square];
}

async function open(shape: ModelShape, mode: Mode): Promise<Contender> {
  const device = await openJaxJs();
  const list = parameters(shape);
  const tensors = (make: (parameter: typeof list[number]) => np.Array): Tensors =>
    Object.fromEntries(list.map((parameter) => [parameter.name, make(parameter)]));
  let p = tensors((parameter) => np.array(weights(parameter)).reshape([...parameter.shape]));
  await blockUntilReady(p);
  const { ids, labels, starts, ends } = targets(shape);
  const rows = [shape.batch, shape.criteria];
  const batch: Tensors = {
    ids: np.array(ids).reshape([shape.batch, shape.length]),
    labels: np.array(labels).reshape(rows),
    starts: np.array(starts).reshape(rows),
    ends: np.array(ends).reshape(rows),
  };
  const shared = (tree: Tensors): Tensors => Object.fromEntries(Object.entries(tree).map(([name, x]) => [name, x.ref]));
  const loss = (p: Tensors, batch: Tensors) => jointLoss(shape, p, batch);
  if (mode === "forward") {
    const forward = jit(loss);
    return {
      device,
      async run(steps) {
        // What is disposed of before it was waited for is not computed.
        const values = Array.from({ length: steps }, () => forward(shared(p), shared(batch)));
        await blockUntilReady(values);
        const [last] = await values.pop()!.data();
        for (const value of values) value.dispose();
        return last!;
      },
    };
  }
  const decays = new Map(list.map(({ name, decay }) => [name, decay]));
  const step = jit((p: Tensors, m: Tensors, v: Tensors, batch: Tensors, c1: np.Array, c2: np.Array) => {
    const [value, g] = valueAndGrad(loss)(shared(p), batch) as [np.Array, Tensors];
    const next: [Tensors, Tensors, Tensors] = [{}, {}, {}];
    for (const name of Object.keys(p)) {
      const updated = adamw([p[name]!, g[name]!, m[name]!, v[name]!], decays.get(name)!, c1.ref, c2.ref);
      next.forEach((tree, i) => tree[name] = updated[i]!);
    }
    c1.dispose();
    c2.dispose();
    return [...next, value] as [Tensors, Tensors, Tensors, np.Array];
  });
  let m = tensors(({ shape }) => np.zeros([...shape])), v = tensors(({ shape }) => np.zeros([...shape]));
  let done = 0;
  return {
    device,
    async run(steps) {
      let last = NaN;
      for (let i = 1; i <= steps; i++) {
        done++;
        const corrections = [ADAMW.beta1, ADAMW.beta2].map((beta) => np.array([1 - beta ** done])) as [
          np.Array,
          np.Array,
        ];
        let value: np.Array;
        [p, m, v, value] = step(p, m, v, shared(batch), ...corrections);
        if (i === steps) last = (await value.data())[0]!;
        else value.dispose();
      }
      await blockUntilReady(p);
      return last;
    },
  };
}

await serve(open);
