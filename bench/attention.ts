/**
 * Self-attention, forward and forward with backward, against the composite (product, softmax, product) of jax-js, in one
 * `jit` with its gradients, and of TensorFlow.js: same process, same adapter, results compared first, repetitions
 * interleaved, medians. The peers are given query, key and value by head, ours projects of all heads side by side.
 *
 *   deno task bench:attention [--json] [--shapes 4x128x12x64,2x512x12x64] [--repetitions 5] [--milliseconds 250]
 *
 * A shape is texts x tokens x heads x columns of a head. The last line of output is one JSON object; with --json it is
 * the only one.
 */
import { parseArgs } from "node:util";
import { nn, numpy as np } from "@jax-js/jax";
import * as tf from "@tensorflow/tfjs-core";
import { openGpu } from "../lib/gpu/device.ts";
import { attention } from "../lib/graph/ops/attention.ts";
import { randomStream } from "../lib/support/rng.ts";
import { compareOperation, operationOptions, sizes } from "./operation_bench.ts";
import { openOp } from "./op_graph.ts";
import { openLibraries } from "./peers/libraries.ts";
import { jaxOperation, tfjsOperation } from "./peers/operations.ts";

const { values: options } = parseArgs({
  options: { ...operationOptions, shapes: { type: "string", default: "4x128x12x64,2x512x12x64" } },
});
const gpu = await openGpu();
await openLibraries(gpu.name);

/** Columns side by side [B, T, parts · H · D] as tensors by head, one [B, H, T, D] per part. */
function byHead(values: Float32Array, parts: number, [batch, length, heads, width]: number[]): Float32Array[] {
  return Array.from({ length: parts }, (_, part) => {
    const out = new Float32Array(values.length / parts);
    let at = 0;
    for (let b = 0; b < batch!; b++) {
      for (let h = 0; h < heads!; h++) {
        for (let t = 0; t < length!; t++) {
          const from = (((b * length! + t) * parts + part) * heads! + h) * width!;
          out.set(values.subarray(from, from + width!), at);
          at += width!;
        }
      }
    }
    return out;
  });
}

await compareOperation("attention", gpu.name, options, (text, backward) => {
  const shape = sizes(text, 4), [batch, length, heads, width] = shape as [number, number, number, number];
  const random = randomStream(0, text), hidden = heads * width, scale = 1 / Math.sqrt(width);
  const normals = (count: number) => new Float32Array(count).map(() => random.normal());
  const qkv = normals(batch * length * 3 * hidden), dout = normals(batch * length * hidden);
  const ours = openOp(gpu, {
    inputs: {
      qkv: { shape: [batch, length, 3 * hidden], values: qkv, learned: true },
      mask: { shape: [batch, length], values: new Uint32Array(batch * length).fill(1) },
      limits: { shape: [batch], values: new Uint32Array(batch).fill(length) },
    },
    build: (g, { qkv, mask, limits }) => attention(g, qkv, { heads, mask, limits }),
    ...(backward ? { dout } : {}),
  });
  const operand = (values: Float32Array) => ({
    shape: [batch, heads, length, width],
    values: Float32Array.from(values),
  });
  const operands = byHead(qkv, 3, shape).map(operand);
  const derivative = backward ? operand(byHead(dout, 1, shape)[0]!) : undefined;
  const contenders = [
    {
      ...ours,
      async result() {
        const [output, gradient] = await ours.result();
        return [...byHead(output!, 1, shape), ...(gradient ? byHead(gradient, 3, shape) : [])];
      },
    },
    jaxOperation(operands, (query, key, value) => {
      const scores = np.matmul(query!, np.swapaxes(key!, -1, -2)).mul(scale);
      return np.matmul(nn.softmax(scores, -1), value!);
    }, derivative),
    tfjsOperation(
      operands,
      (query, key, value) => tf.matMul(tf.softmax(tf.mul(tf.matMul(query!, key!, false, true), scale)), value!),
      derivative,
    ),
  ];
  const products = batch * heads * length * length * width * 2;
  return { contenders, flops: products * (backward ? 6 : 2), tolerance: 1e-3 };
});
