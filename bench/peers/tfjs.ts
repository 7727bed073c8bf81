/**
 * The step benchmark's model in TensorFlow.js on its WebGPU backend: operations one by one, as the library runs them, with
 * its own fused matrix product and bias, its gradients and its Adam; weights decay by one more product each.
 */
import * as tf from "@tensorflow/tfjs-core";
import { ADAMW, LAYER_NORM_EPSILON, type ModelShape, parameters, targets, weights } from "./encoder_model.ts";
import { openTfjs } from "./libraries.ts";
import { type Contender, type Mode, serve } from "./protocol.ts";

type Lookup = (name: string) => tf.Tensor;

interface Batch {
  readonly ids: tf.Tensor1D;
  readonly labels: tf.Tensor2D;
  /** [B, T, K, 2]: one where a span starts or ends. */
  readonly boundaries: tf.Tensor4D;
}

/** The joint loss. */
function jointLoss(shape: ModelShape, p: Lookup, { ids, labels, boundaries }: Batch): tf.Scalar {
  const { layers, hidden, heads, batch: rows, length, criteria } = shape;
  const linear = (name: string, x: tf.Tensor) =>
    tf.fused.matMul({ a: x as tf.Tensor2D, b: p(`${name}.weight`) as tf.Tensor2D, bias: p(`${name}.bias`) });
  const layerNorm = (name: string, x: tf.Tensor) => {
    const { mean, variance } = tf.moments(x, -1, true);
    const normal = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, LAYER_NORM_EPSILON)));
    return tf.add(tf.mul(normal, p(`${name}.weight`)), p(`${name}.bias`));
  };
  const gelu = (x: tf.Tensor) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
  const ofHeads = (x: tf.Tensor) => tf.transpose(tf.reshape(x, [rows, length, heads, hidden / heads]), [0, 2, 1, 3]);

  const words = tf.reshape(tf.gather(p("embeddings.word_embeddings.weight"), ids), [rows, length, hidden]);
  const places = tf.slice(p("embeddings.position_embeddings.weight"), [0, 0], [length, hidden]);
  const types = tf.slice(p("embeddings.token_type_embeddings.weight"), [0, 0], [1, hidden]);
  let x = layerNorm("embeddings.LayerNorm", tf.add(words, tf.add(places, types)));
  x = tf.reshape(x, [rows * length, hidden]);
  for (let i = 0; i < layers; i++) {
    const layer = `encoder.layer.${i}`;
    const [query, key, value] = ["query", "key", "value"].map((part) =>
      ofHeads(linear(`${layer}.attention.self.${part}`, x))
    ) as [tf.Tensor, tf.Tensor, tf.Tensor];
    const scores = tf.mul(tf.matMul(query, key, false, true), 1 / Math.sqrt(hidden / heads));
    const context = tf.matMul(tf.softmax(scores), value);
    const joined = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [rows * length, hidden]);
    x = layerNorm(`${layer}.attention.output.LayerNorm`, tf.add(linear(`${layer}.attention.output.dense`, joined), x));
    const inner = gelu(linear(`${layer}.intermediate.dense`, x));
    x = layerNorm(`${layer}.output.LayerNorm`, tf.add(linear(`${layer}.output.dense`, inner), x));
  }
  const tokens = tf.reshape(x, [rows, length, hidden]);
  const first = tf.reshape(tf.slice(tokens, [0, 0, 0], [rows, 1, hidden]), [rows, hidden]);
  const logits = linear("criteria_head", first); // [B, K]
  // softplus(z) = max(z, 0) + log(1 + exp(-|z|)), whose derivative is safe.
  const softplus = tf.add(tf.relu(logits), tf.log1p(tf.exp(tf.neg(tf.abs(logits)))));
  const criteriaLoss = tf.mean(tf.sub(softplus, tf.mul(logits, labels)));
  const spans = tf.reshape(linear("evidence_head", x), [rows, length, 2 * criteria]);
  // logSoftmax knows the last axis alone: [B, 2K, T].
  const surprise = tf.mul(
    tf.logSoftmax(tf.transpose(spans, [0, 2, 1])),
    tf.transpose(tf.reshape(boundaries, [rows, length, 2 * criteria]), [0, 2, 1]),
  );
  return tf.sub(criteriaLoss, tf.mul(tf.sum(surprise), 1 / (2 * rows * criteria)));
}

/** One where the spans of a shape start and end, [B, T, K, 2]. */
function boundaryMarks(shape: ModelShape): tf.Tensor4D {
  const { batch, length, criteria } = shape;
  const { starts, ends } = targets(shape);
  const marks = new Float32Array(batch * length * criteria * 2);
  [starts, ends].forEach((tokens, boundary) =>
    tokens.forEach((token, pair) => {
      const b = Math.floor(pair / criteria), k = pair % criteria;
      marks[((b * length + token) * criteria + k) * 2 + boundary] = 1;
    })
  );
  return tf.tensor4d(marks, [batch, length, criteria, 2]);
}

async function open(shape: ModelShape, mode: Mode): Promise<Contender> {
  const device = await openTfjs();
  const list = parameters(shape);
  const variables = new Map(
    list.map((parameter) => {
      const { name, shape } = parameter;
      const given = tf.tensor(weights(parameter), [...shape]);
      // Linear weights as [inputs, outputs], in which form the library multiplies fastest and keeps them itself.
      const isTable = name.startsWith("embeddings.");
      const values = shape.length === 2 && !isTable ? tf.tidy(() => tf.transpose(given)) : given;
      const variable = tf.variable(values, mode === "train", name);
      if (values !== given) given.dispose();
      return [name, variable] as const;
    }),
  );
  const lookup: Lookup = (name) => variables.get(name)!;
  const { ids, labels } = targets(shape);
  const batch: Batch = {
    ids: tf.tensor1d(ids, "int32"),
    labels: tf.tensor2d(labels, [shape.batch, shape.criteria]),
    boundaries: boundaryMarks(shape),
  };
  const { learningRate, beta1, beta2, epsilon, weightDecay } = ADAMW;
  const adam = tf.train.adam(learningRate, beta1, beta2, epsilon);
  const forward = () => tf.tidy(() => jointLoss(shape, lookup, batch));
  const train = () => {
    const { value, grads } = tf.variableGrads(() => jointLoss(shape, lookup, batch));
    tf.tidy(() => {
      for (const { name, decay } of list) {
        const variable = variables.get(name)!;
        if (decay) variable.assign(tf.mul(variable, 1 - learningRate * weightDecay));
      }
    });
    adam.applyGradients(grads as unknown as Parameters<typeof adam.applyGradients>[0]);
    tf.dispose(grads);
    return value;
  };
  return {
    device,
    async run(steps) {
      for (let step = 1; step < steps; step++) (mode === "train" ? train : forward)().dispose();
      const value = (mode === "train" ? train : forward)();
      const [loss] = await value.data();
      value.dispose();
      // The read above waits for what was submitted before it; the update of the weights may come after.
      if (mode === "train") await tf.slice(variables.get("criteria_head.bias")!, [0], [1]).data();
      return loss!;
    },
  };
}

await serve(open);
