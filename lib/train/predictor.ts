/**
 * The two agents without training: parameters, and programs that give probabilities and spans of batches. Batches have the
 * shapes that evaluation has, and rows do not see each other, so a text has the evaluator's probabilities to the bit.
 */
import type { Batch } from "../data/batches.ts";
import type { Gpu } from "../gpu/device.ts";
import {
  type DualAgentConfig,
  dualAgentParameters,
  evidenceHeadOf,
  evidenceOptions,
  predictionGraph,
} from "../model/dual_agent.ts";
import { batchTensors, checkIds, inputBytes, packBatch } from "../model/inputs.ts";
import type { BatchPrediction } from "./engine.ts";
import { type InferenceProgram, oneAtATime, openInference } from "./inference.ts";

/** What a prediction gives of one batch. */
export type Prediction = Pick<BatchPrediction, "batch" | "probabilities" | "spans">;

/** An open model. */
export interface Predictor {
  /** Probabilities and spans of a batch; calls wait for each other. */
  predict(batch: Batch): Promise<Prediction>;
  /** Frees the GPU's memory. */
  close(): void;
}

/**
 * Uploads a model's parameters.
 *
 * @param read a tensor by its checkpoint name
 * @throws an input error when the GPU refuses the memory
 */
export async function openPredictor(
  gpu: Gpu,
  model: DualAgentConfig,
  read: (name: string, shape: readonly number[]) => Float32Array<ArrayBuffer>,
): Promise<Predictor> {
  const inference = await openInference(gpu, dualAgentParameters(model), read);
  const evidenceHead = evidenceHeadOf(model), evidence = evidenceOptions(model);
  const programs = new Map<string, InferenceProgram>();
  const programOf = ({ size, length }: Batch) => {
    const key = `prediction ${size} x ${length}`;
    let program = programs.get(key);
    if (!program) {
      const shape = { size, length, criteria: model.criteria };
      const { graph, outputs: { probabilities, decoded } } = predictionGraph(
        inference.target,
        model,
        inference.parameters,
        (g) => batchTensors(g, shape),
      );
      program = inference.program(key, graph, inputBytes(shape), [probabilities, ...decoded]);
      programs.set(key, program);
    }
    return program;
  };
  return {
    predict: oneAtATime(async (batch) => {
      checkIds(batch, model.encoder);
      const packed = packBatch(batch, model.encoder);
      const [probabilities, ...values] = await programOf(batch)
        .run((input) => gpu.device.queue.writeBuffer(input, 0, packed)) as Float32Array<ArrayBuffer>[];
      gpu.check();
      return { batch, probabilities: probabilities!, spans: evidenceHead.read({ values, ...batch }, evidence) };
    }),
    close: inference.close,
  };
}
