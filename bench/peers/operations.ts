/** Operations of the libraries for the web as contenders: in jax-js in one `jit`, in TensorFlow.js one by one. */
import { blockUntilReady, jit, numpy as np, vjp } from "@jax-js/jax";
import * as tf from "@tensorflow/tfjs-core";
import type { Contender } from "../contenders.ts";

/** An input of an operation. */
export interface Operand {
  readonly shape: readonly number[];
  readonly values: Float32Array<ArrayBuffer>;
}

/**
 * An operation of jax-js; with `dout` its gradients too.
 *
 * @param operation consumes its operands, as jax-js has it
 */
export function jaxOperation(
  operands: readonly Operand[],
  operation: (...operands: np.Array[]) => np.Array,
  dout?: Operand,
): Contender {
  const array = ({ shape, values }: Operand) => np.array(values).reshape([...shape]);
  const inputs = [...operands, ...(dout ? [dout] : [])].map(array);
  const step = jit((...all: np.Array[]): np.Array[] => {
    if (!dout) return [operation(...all)];
    const derivative = all.pop()!;
    const [output, pull] = vjp(operation, all);
    const gradients = pull(derivative) as np.Array[];
    pull.dispose();
    return [output, ...gradients];
  });
  const once = () => step(...inputs.map((input) => input.ref));
  return {
    name: "jax-js",
    async run(count) {
      const results = Array.from({ length: count }, once).flat();
      await blockUntilReady(results);
      for (const result of results) result.dispose();
    },
    result: async () => await Promise.all(once().map(async (result) => await result.data() as Float32Array)),
  };
}

/** An operation of TensorFlow.js; with `dout` its gradients too. */
export function tfjsOperation(
  operands: readonly Operand[],
  operation: (...operands: tf.Tensor[]) => tf.Tensor,
  dout?: Operand,
): Contender {
  const tensor = ({ shape, values }: Operand) => tf.tensor(values, [...shape]);
  const inputs = operands.map(tensor);
  const derivative = dout && tensor(dout);
  const once = (): tf.Tensor[] => {
    if (!derivative) return [tf.tidy(() => operation(...inputs))];
    // `grads` keeps the output to itself: it is captured on the way.
    let output: tf.Tensor | undefined;
    const gradients = tf.grads((...all) => {
      const value = operation(...all);
      output = tf.keep(value.clone());
      return value;
    })(inputs, derivative);
    return [output!, ...gradients];
  };
  return {
    name: "tfjs",
    async run(count) {
      for (let i = 1; i < count; i++) tf.dispose(once());
      const last = once();
      const element = tf.slice(tf.reshape(last.at(-1)!, [-1]), [0], [1]);
      await element.data();
      tf.dispose([...last, element]);
    },
    async result() {
      const results = once();
      const values = await Promise.all(results.map(async (result) => await result.data() as Float32Array));
      tf.dispose(results);
      return values;
    },
  };
}
