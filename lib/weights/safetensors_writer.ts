/** Writes safetensors files, one tensor in memory at a time. */
import { inputError } from "../support/errors.ts";
import { diskFileSystem, type FileSystem, writeAll } from "../support/file_system.ts";

/** A tensor to be written. */
export interface TensorToWrite {
  name: string;
  shape: readonly number[];
  /** The type of its elements; float32 if not given. */
  dtype?: "F32" | "I32";
  /** The values in row-major order, or a function that fetches them when their turn comes. */
  data: TensorData | (() => Promise<TensorData> | TensorData);
}

/** Values of 4 bytes each. */
type TensorData = Float32Array | Int32Array;

/**
 * Writes tensors as a safetensors file: same tensors and metadata in the same order, same bytes. The file is flushed to
 * the disk before the promise resolves; a file that could not be finished is removed.
 *
 * @throws an input error for a name given twice or data that does not fit its shape; errors of the file system as they
 * come, with their code (such as ENOSPC)
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
  fs: FileSystem = diskFileSystem,
): Promise<void> {
  const header = encodeHeader(tensors, metadata);
  const file = await fs.open(path, "replace");
  try {
    await writeAll(file, header);
    for (const tensor of tensors) {
      const data = typeof tensor.data === "function" ? await tensor.data() : tensor.data;
      if ((data instanceof Int32Array) !== (tensor.dtype === "I32")) {
        throw inputError(`Tensor "${tensor.name}" was given values of another type`, "Give values of its dtype");
      }
      if (data.length !== elementCount(tensor)) {
        throw inputError(
          `Tensor "${tensor.name}" of shape [${tensor.shape}] was given ${data.length} values`,
          "Give one value for each element",
        );
      }
      await writeAll(file, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
    await file.sync();
  } catch (error) {
    file.close();
    await discard(fs, path).catch(() => {}); // the first error is the one to report
    throw error;
  }
  file.close();
}

function elementCount({ name, shape }: TensorToWrite): number {
  const count = shape.reduce((product, length) => product * length, 1);
  if (!shape.every((length) => Number.isSafeInteger(length) && length >= 0) || !Number.isSafeInteger(4 * count)) {
    throw inputError(`Tensor "${name}" has the impossible shape [${shape}]`, "Give whole lengths from 0 up");
  }
  return count;
}

/** Length and header: metadata first, tensors as given, spaces until the tensors' bytes begin at a multiple of 8. */
function encodeHeader(tensors: readonly TensorToWrite[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries: string[] = [];
  const entry = (key: string, value: unknown) => entries.push(`${JSON.stringify(key)}:${JSON.stringify(value)}`);
  if (Object.keys(metadata).length > 0) entry("__metadata__", metadata);
  const names = new Set(["__metadata__"]);
  let offset = 0;
  for (const tensor of tensors) {
    if (names.has(tensor.name)) {
      throw inputError(`Two entries of a safetensors file would be named "${tensor.name}"`, "Give each its own name");
    }
    names.add(tensor.name);
    const end = offset + 4 * elementCount(tensor);
    entry(tensor.name, { dtype: tensor.dtype ?? "F32", shape: tensor.shape, data_offsets: [offset, end] });
    offset = end;
  }
  const json = new TextEncoder().encode(`{${entries.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  return bytes;
}

/** Frees the space of an unfinished file. What is no regular file, such as a device, is left alone. */
async function discard(fs: FileSystem, path: string): Promise<void> {
  if ((await fs.status(path)).isFile) await fs.remove(path);
}
