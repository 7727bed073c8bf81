/** Pretrained weights on disk, whatever format they are in: what the rest of the house reads. */
import { inputError } from "../support/errors.ts";
import { FLAX } from "./flax_msgpack.ts";
import { SAFETENSORS } from "./safetensors_reader.ts";
import { fileNames, openFolder, type WeightsFormat } from "./shards.ts";
import { TORCH } from "./torch_pickle.ts";

/** What is known of a tensor before it is read. */
export interface WeightInfo {
  /** safetensors' name of the element type in the file: "F32", "F16", "BF16", "I64", … */
  readonly dtype: string;
  /** In PyTorch's layout: a linear layer's weight is [outputs, inputs]. */
  readonly shape: readonly number[];
  readonly byteLength: number;
}

/** Opened weights: one file or all shards of a model, with PyTorch's tensor names. */
export interface WeightsFile extends Disposable {
  /** Every tensor by name. */
  readonly tensors: ReadonlyMap<string, WeightInfo>;
  /**
   * One tensor as float32, flat in row-major order.
   *
   * @throws an input error when there is no such tensor, it is not of a floating-point type, or the file has changed
   */
  readFloat32(name: string): Float32Array<ArrayBuffer>;
  /** May be called again. */
  close(): void;
}

/** The formats, the safest and fastest first. */
export const WEIGHT_FORMATS: readonly WeightsFormat<WeightsFile>[] = [SAFETENSORS, TORCH, FLAX];

/**
 * Opens the weights in a model's folder: the first found of safetensors, PyTorch and Flax, each as a single file before
 * shards. Only names, shapes and places are read until a tensor is asked for.
 *
 * @throws an input error when there are none, a shard is missing, or a file is damaged
 */
export function openWeights(folder: string): WeightsFile {
  for (const format of WEIGHT_FORMATS) {
    const weights = openFolder(folder, format);
    if (weights) return weights;
  }
  throw inputError(
    `${folder} has no weights: none of ${WEIGHT_FORMATS.flatMap(fileNames).join(", ")}`,
    "Choose a model in the layout of transformers",
  );
}
