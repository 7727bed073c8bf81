/**
 * Reads Flax checkpoints of transformers (`flax_model.msgpack`) with PyTorch's names and layouts, one tensor at a time.
 *
 * What differs is undone as in transformers' `modeling_flax_pytorch_utils.py`: a dense layer's `kernel` [inputs, outputs]
 * is PyTorch's `weight` turned round, and the `embedding` of a table and the `scale` of a norm are called `weight`.
 */
import { findFlaxArrays, type FlaxArray } from "./flax_msgpack_arrays.ts";
import { ELEMENT_BYTES } from "./element_types.ts";
import { openRandomAccess, quote } from "./random_access.ts";
import type { WeightsFormat } from "./shards.ts";
import { elementCount, rowMajorStrides, type StoredTensor, storedWeights } from "./stored_tensor.ts";
import type { WeightsFile } from "./weights_file.ts";

/** Files as transformers wrote them while it had Flax. Its index separates keys by slashes. */
export const FLAX: WeightsFormat<WeightsFile> = {
  file: "flax_model.msgpack",
  open: openFlax,
  tensorName: (entry) => torchName(entry.split("/")),
};

/**
 * Opens a checkpoint of Flax. A decoder tied to the word embeddings is not in it, as Flax does not keep one.
 *
 * @throws an input error when it is damaged, or two arrays come to one name
 */
export function openFlax(path: string): WeightsFile {
  const file = openRandomAccess(path, "Flax msgpack");
  try {
    const tensors = new Map<string, StoredTensor>();
    for (const array of findFlaxArrays(file)) {
      const name = torchName(array.path);
      if (tensors.has(name)) throw file.refuse(`two of its arrays are ${quote(name)}`);
      tensors.set(name, toTorch(array));
    }
    if (tensors.size === 0) throw file.refuse("it holds no arrays");
    return storedWeights(file, tensors);
  } catch (error) {
    file.close();
    throw error;
  }
}

/** PyTorch's name for the array at a path. Variables of a bare Flax module have their weights under "params". */
function torchName(path: readonly string[]): string {
  const inside = path[0] === "params" && path.length > 1 ? path.slice(1) : path;
  const last = inside.at(-1)!;
  return [...inside.slice(0, -1), ["kernel", "embedding", "scale"].includes(last) ? "weight" : last].join(".");
}

/** A kernel's dimensions in PyTorch's order: reversed, but for images, whose height and width stay in order. */
function toTorch({ path, dtype, shape, ranges }: FlaxArray): StoredTensor {
  const strides = rowMajorStrides(shape);
  let order = shape.map((_, dimension) => dimension);
  if (path.at(-1) === "kernel") order = shape.length === 4 ? [3, 2, 0, 1] : order.reverse();
  return {
    dtype,
    shape: order.map((dimension) => shape[dimension]!),
    byteLength: elementCount(shape) * ELEMENT_BYTES.get(dtype)!,
    ranges,
    start: 0,
    strides: order.map((dimension) => strides[dimension]!),
  };
}
