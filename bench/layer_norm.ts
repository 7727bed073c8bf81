/**
 * LayerNorm of a residual sum, forward and forward with backward, against the same in jax-js, in one `jit` with its
 * gradients, and in TensorFlow.js: same process, same adapter, results compared first, repetitions interleaved, medians.
 *
 *   deno task bench:layer_norm [--json] [--shapes 512x768,4096x384] [--repetitions 5] [--milliseconds 250]
 *
 * A shape is rows x columns. The last line of output is one JSON object; with --json it is the only one.
 */
import { parseArgs } from "node:util";
import { nn } from "@jax-js/jax";
import * as tf from "@tensorflow/tfjs-core";
import { openGpu } from "../lib/gpu/device.ts";
import { layerNorm } from "../lib/graph/ops/layer_norm.ts";
import { randomStream } from "../lib/support/rng.ts";
import { compareOperation, operationOptions, sizes } from "./operation_bench.ts";
import { openOp } from "./op_graph.ts";
import { openLibraries } from "./peers/libraries.ts";
import { jaxOperation, tfjsOperation } from "./peers/operations.ts";

const { values: options } = parseArgs({
  options: { ...operationOptions, shapes: { type: "string", default: "512x768,4096x384" } },
});
const gpu = await openGpu();
await openLibraries(gpu.name);
const EPSILON = 1e-12;

await compareOperation("layer_norm", gpu.name, options, (text, backward) => {
  const [rows, columns] = sizes(text, 2) as [number, number];
  const random = randomStream(0, text);
  const normals = (...shape: number[]) => ({
    shape,
    values: new Float32Array(shape.reduce((product, size) => product * size, 1)).map(() => random.normal()),
    learned: true,
  });
  const x = normals(rows, columns), residual = normals(rows, columns), dout = normals(rows, columns);
  const gamma = normals(columns), beta = normals(columns);
  const operands = [x, residual, gamma, beta], derivative = backward ? dout : undefined;
  const contenders = [
    openOp(gpu, {
      inputs: { x, residual, gamma, beta },
      build: (g, inputs) => layerNorm(g, inputs, { epsilon: EPSILON }),
      ...(backward ? { dout: dout.values } : {}),
    }),
    jaxOperation(
      operands,
      (x, residual, gamma, beta) => nn.standardize(x!.add(residual!), -1, { epsilon: EPSILON }).mul(gamma!).add(beta!),
      derivative,
    ),
    tfjsOperation(operands, (x, residual, gamma, beta) => {
      const sum = tf.add(x!, residual!);
      const { mean, variance } = tf.moments(sum, -1, true);
      return tf.add(tf.mul(tf.mul(tf.sub(sum, mean), tf.rsqrt(tf.add(variance, EPSILON))), gamma!), beta!);
    }, derivative),
  ];
  // Reads and writes of whole matrices that no form can avoid: x, residual, y; backward also dy, dx and x again.
  return { contenders, bytes: 4 * rows * columns * (backward ? 6 : 3), tolerance: 2e-3 };
});
