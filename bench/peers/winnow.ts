/** The step benchmark's model in Winnow: its engine, as training and evaluation run it. Gradients are clipped as well. */
import { openGpu } from "../../lib/gpu/device.ts";
import { openStepEngine } from "../step_engine.ts";
import { ADAMW, type ModelShape, winnowBatch } from "./encoder_model.ts";
import { type Contender, type Mode, serve } from "./protocol.ts";

async function open(shape: ModelShape, mode: Mode): Promise<Contender> {
  const gpu = await openGpu("auto");
  const engine = await openStepEngine(gpu, shape);
  const batch = winnowBatch(shape);
  const lambdas = { lambdaClass: 1, lambdaSpan: 1 };
  let done = 0;
  return {
    device: gpu.name,
    async run(steps) {
      if (mode === "forward") {
        const { criteriaLoss, spanLoss } = await engine.evaluate(new Array(steps).fill(batch), lambdas);
        return criteriaLoss + spanLoss;
      }
      for (let i = 0; i < steps; i++) {
        done++;
        engine.step([batch], { seed: 1, step: done, learningRate: ADAMW.learningRate, draw: done, ...lambdas });
      }
      return (await engine.drain()).at(-1)!.loss;
    },
  };
}

await serve(open);
