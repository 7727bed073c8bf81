/** Reads safetensors files, single or sharded, one tensor at a time. */
import { inputError } from "../support/errors.ts";
import { openRandomAccess, quote } from "./random_access.ts";
import { parseHeader, readHeaderLength, type TensorInfo } from "./safetensors_header.ts";
import { openFolder, type WeightsFormat } from "./shards.ts";
import { readStored, rowMajorStrides } from "./stored_tensor.ts";
import type { WeightsFile } from "./weights_file.ts";

/** An open safetensors file or folder of shards. */
export interface SafetensorsFile extends WeightsFile {
  readonly metadata: Readonly<Record<string, string>>;
  /** Every tensor by name, in the order of the header. In a sharded model, offsets are within the tensor's shard. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

/** Tensors of whole numbers, which are not weights. */
export interface IntegerTensors {
  /** A tensor of type I32, row-major. @throws an input error when there is none of that name and type */
  readInt32(name: string): Int32Array<ArrayBuffer>;
}

/** Files as the `safetensors` library and transformers write them. */
export const SAFETENSORS: WeightsFormat<SafetensorsFile> = { file: "model.safetensors", open: openSafetensors };

/**
 * Opens a safetensors file. Its header is checked in full before anything else is believed, and tensors are read when
 * asked for.
 *
 * @example
 * ```ts ignore
 * using weights = openSafetensors("model.safetensors");
 * const table = weights.readFloat32("embeddings.word_embeddings.weight");
 * ```
 *
 * @throws an input error when there is no such file or it is damaged
 */
export function openSafetensors(path: string): SafetensorsFile & IntegerTensors {
  const file = openRandomAccess(path, "safetensors");
  try {
    const first = new Uint8Array(Math.min(8, file.size));
    file.read(0, first, "the header length");
    const headerBytes = new Uint8Array(readHeaderLength(first, file.size, path));
    file.read(8, headerBytes, "its header");
    const { metadata, tensors } = parseHeader(headerBytes, file.size, path);
    return {
      metadata,
      tensors,
      readFloat32: (name) => {
        const info = tensors.get(name);
        return readStored(
          file,
          name,
          info && { ...info, ranges: [info], start: 0, strides: rowMajorStrides(info.shape) },
        );
      },
      readInt32: (name) => {
        const info = tensors.get(name);
        if (info?.dtype !== "I32") throw file.refuse(`it has no tensor ${quote(name)} of type I32`);
        const bytes = new Uint8Array(info.byteLength);
        file.read(info.byteOffset, bytes, `tensor ${quote(name)}`);
        return new Int32Array(bytes.buffer);
      },
      close: file.close,
      [Symbol.dispose]: file.close,
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Opens the safetensors weights in a model's folder: `model.safetensors`, or the shards that
 * `model.safetensors.index.json` lists.
 *
 * @throws an input error when there are none, a shard is missing, or a file is damaged
 */
export function openSafetensorsFolder(folder: string): SafetensorsFile {
  const opened = openFolder(folder, SAFETENSORS);
  if (!opened) {
    throw inputError(
      `${folder} has no weights: neither model.safetensors nor model.safetensors.index.json`,
      "Choose a model that has safetensors weights",
    );
  }
  const { files, ...weights } = opened;
  return { metadata: Object.fromEntries(files.flatMap(({ metadata }) => Object.entries(metadata))), ...weights };
}
