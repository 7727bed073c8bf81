/** How large a checkpoint is, of one configuration and at most in a search. */
import { withParams } from "../config/compose.ts";
import type { Config, Distribution, ParamValue } from "../config/schema.ts";
import { isTrained, type ParameterSpec } from "../graph/parameters.ts";
import { elementCount } from "../graph/tensor.ts";
import { dualAgentParameters } from "../model/dual_agent.ts";
import { WinnowError } from "../support/errors.ts";
import type { EngineOptions } from "../train/engine_plan.ts";
import { resumeArrays } from "../train/parameter_arrays.ts";

/** Bytes of a checkpoint's tensors. */
export interface CheckpointSize {
  /** What is trained. */
  readonly weightsBytes: number;
  /** What a resume needs beside it. */
  readonly optimizerBytes: number;
}

/** Bytes of a model, of what a checkpoint holds of it, and of the optimizer's state. */
export function checkpointSize(
  { optimizer }: Pick<EngineOptions, "optimizer">,
  specs: readonly ParameterSpec[],
): CheckpointSize & { readonly modelBytes: number } {
  const bytesOf = (some: readonly ParameterSpec[]) => 4 * some.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const weightsBytes = bytesOf(specs.filter(isTrained));
  return {
    modelBytes: bytesOf(specs),
    weightsBytes,
    optimizerBytes: resumeArrays({ optimizer }).length * weightsBytes,
  };
}

/** Keys of a search space on which the size of a checkpoint depends; `model.id` does too, but opening a model is not cheap. */
const SIZED = /^(?:tuning\.|model\.(?!id$|revision$)|training\.(?:optimizer|ema_decay)$)/;

function candidates(distribution: Distribution): ParamValue[] {
  return distribution.type === "categorical" ? [...distribution.choices] : [distribution.low, distribution.high];
}

/**
 * The largest checkpoint that a trial of the search can have: axis by axis the value with the largest one, the others as
 * they were found so far. Values that the configuration does not allow together are passed over.
 *
 * @param optionsOf What a configuration makes of model and optimizer
 */
export function largestCheckpoint(
  config: Config,
  optionsOf: (config: Config) => Pick<EngineOptions, "model" | "optimizer">,
): CheckpointSize {
  const sizeOf = (candidate: Config) => {
    const options = optionsOf(candidate);
    return checkpointSize(options, dualAgentParameters(options.model));
  };
  const total = (size: CheckpointSize) => size.weightsBytes + size.optimizerBytes;
  let found = config, size: CheckpointSize = sizeOf(config);
  for (const [key, distribution] of Object.entries(config.search_space).filter(([key]) => SIZED.test(key))) {
    const before = found;
    for (const value of candidates(distribution)) {
      try {
        const candidate = withParams(before, { [key]: value });
        const other = sizeOf(candidate);
        if (total(other) > total(size)) [found, size] = [candidate, other];
      } catch (error) {
        if (!(error instanceof WinnowError || error instanceof RangeError)) throw error;
      }
    }
  }
  return { weightsBytes: size.weightsBytes, optimizerBytes: size.optimizerBytes };
}
