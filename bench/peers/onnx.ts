/**
 * The step benchmark's forward pass in ONNX Runtime on the processor: the model that `tests/peers/step_speed.py export`
 * wrote. Arguments: shape, mode, file, threads.
 */
import { InferenceSession, Tensor } from "onnxruntime-node";
import { targets } from "./encoder_model.ts";
import { serve } from "./protocol.ts";

await serve(async (shape, mode) => {
  if (mode !== "forward") {
    throw new Error(`Expected the mode forward but found ${mode}: ONNX Runtime does not train here`);
  }
  const [, , file, threads] = Deno.args as [string, string, string, string];
  const session = await InferenceSession.create(file, {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    intraOpNumThreads: Number(threads),
    interOpNumThreads: 1,
  });
  const ids = new Tensor("int64", BigInt64Array.from(targets(shape).ids, BigInt), [shape.batch, shape.length]);
  return {
    device: `CPU, ${threads} threads`,
    async run(steps) {
      let loss = NaN;
      for (let step = 0; step < steps; step++) loss = Number((await session.run({ ids }))["loss"]!.data[0]);
      return loss;
    },
  };
});
