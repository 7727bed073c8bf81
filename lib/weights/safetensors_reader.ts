/** Reads safetensors files, single or sharded, one tensor at a time. */
import { join } from "node:path";
import { inputError } from "../support/errors.ts";
import { isTextMap, parseHeader, readHeaderLength, refuse, type TensorInfo } from "./safetensors_header.ts";

/** An open safetensors file or folder of shards. */
export interface SafetensorsFile extends Disposable {
  readonly metadata: Readonly<Record<string, string>>;
  /** Every tensor by name, in the order of the header. In a sharded model, offsets are within the tensor's shard. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * One tensor as float32, flat in row-major order; F16, BF16 and F64 are converted.
   *
   * @throws an input error when there is no such tensor, it is not of these types, or the file has shrunk
   */
  readFloat32(name: string): Float32Array<ArrayBuffer>;
  /** May be called again. */
  close(): void;
}

/** Bytes read at a time when the elements have to be converted. A multiple of every element size. */
const CHUNK_BYTES = 1 << 20;

/** Bytes per element and how a chunk of elements becomes float32. */
const CONVERSIONS: Readonly<Record<string, { width: number; convert: (bytes: ArrayBuffer) => ArrayLike<number> }>> = {
  F16: { width: 2, convert: (bytes) => new Float16Array(bytes) },
  BF16: { width: 2, convert: fromBfloat16 },
  F64: { width: 8, convert: (bytes) => new Float64Array(bytes) },
};

/** A bfloat16 is the upper half of a float32. */
function fromBfloat16(bytes: ArrayBuffer): Float32Array {
  return new Float32Array(Uint32Array.from(new Uint16Array(bytes), (half) => half << 16).buffer);
}

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
export function openSafetensors(path: string): SafetensorsFile {
  const file = openFile(path);
  try {
    const { size, isFile } = file.statSync();
    if (!isFile) throw inputError(`${path} is not a file`, "Name a .safetensors file");
    const headerBytes = new Uint8Array(readHeaderLength(readAt(file, 0, new Uint8Array(8)), size, path));
    if (readAt(file, 8, headerBytes).length < headerBytes.length) throw refuse(path, "it shrank while it was read");
    const { metadata, tensors } = parseHeader(headerBytes, size, path);
    let open = true;
    const close = () => {
      if (open) file.close();
      open = false;
    };
    return {
      metadata,
      tensors,
      readFloat32: (name) => readFloat32(file, path, name, tensors.get(name)),
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

function openFile(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw inputError(`There is no file ${path}`, "Check the model's folder", { cause });
  }
}

/** Fills `bytes` from a position of the file; what comes back is shorter when the file ends before. */
function readAt(file: Deno.FsFile, position: number, bytes: Uint8Array): Uint8Array {
  file.seekSync(position, Deno.SeekMode.Start);
  let filled = 0;
  while (filled < bytes.length) {
    const read = file.readSync(bytes.subarray(filled, filled + CHUNK_BYTES));
    if (read === null) break;
    filled += read;
  }
  return bytes.subarray(0, filled);
}

function readFloat32(
  file: Deno.FsFile,
  path: string,
  name: string,
  info: TensorInfo | undefined,
): Float32Array<ArrayBuffer> {
  if (!info) throw inputError(`${path} has no tensor "${name}"`, "Check that the file belongs to this model");
  const fill = (position: number, bytes: Uint8Array) => {
    if (readAt(file, position, bytes).length < bytes.length) throw refuse(path, `it ends inside tensor "${name}"`);
  };
  if (info.dtype === "F32") {
    const values = new Float32Array(info.byteLength / 4);
    fill(info.byteOffset, new Uint8Array(values.buffer));
    return values;
  }
  const conversion = CONVERSIONS[info.dtype];
  if (!conversion) {
    throw inputError(
      `Tensor "${name}" of ${path} holds ${info.dtype}; read as float32 are F32, F16, BF16 and F64`,
      "Choose weights in one of these types",
    );
  }
  const values = new Float32Array(info.byteLength / conversion.width);
  for (let done = 0; done < info.byteLength; done += CHUNK_BYTES) {
    const bytes = new Uint8Array(Math.min(CHUNK_BYTES, info.byteLength - done));
    fill(info.byteOffset + done, bytes);
    values.set(conversion.convert(bytes.buffer), done / conversion.width);
  }
  return values;
}

/** An index of a hundred thousand tensors stays below this. */
const MAX_INDEX_BYTES = 32 * 2 ** 20;

/**
 * Opens the weights in a model's folder: `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
 *
 * @throws an input error when there are none, a shard is missing, or a file is damaged
 */
export function openSafetensorsFolder(folder: string): SafetensorsFile {
  const single = join(folder, "model.safetensors");
  if (exists(single)) return openSafetensors(single);
  const indexPath = join(folder, "model.safetensors.index.json");
  if (!exists(indexPath)) {
    throw inputError(
      `${folder} has no weights: neither model.safetensors nor model.safetensors.index.json`,
      "Choose a model that has safetensors weights",
    );
  }
  const weightMap = readIndex(indexPath);
  const shards = new Map<string, SafetensorsFile>();
  const close = () => shards.forEach((shard) => shard.close());
  try {
    const tensors = new Map<string, TensorInfo>();
    for (const [name, fileName] of weightMap) {
      // A name with a slash could lead out of the folder.
      if (/[/\\]/.test(fileName)) {
        throw inputError(`${indexPath} names the shard ${JSON.stringify(fileName)}`, "Name files of the same folder");
      }
      let shard = shards.get(fileName);
      if (!shard) shards.set(fileName, shard = openSafetensors(join(folder, fileName)));
      const info = shard.tensors.get(name);
      if (!info) {
        throw inputError(`${indexPath} says that "${name}" is in ${fileName}, which lacks it`, "Fetch the model again");
      }
      tensors.set(name, info);
    }
    return {
      metadata: Object.fromEntries([...shards.values()].flatMap((shard) => Object.entries(shard.metadata))),
      tensors,
      readFloat32: (name) => {
        const fileName = weightMap.get(name);
        if (!fileName) throw inputError(`${indexPath} has no tensor "${name}"`, "Check that it belongs to this model");
        return shards.get(fileName)!.readFloat32(name);
      },
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function readIndex(path: string): Map<string, string> {
  const { size } = Deno.statSync(path);
  if (size > MAX_INDEX_BYTES) throw inputError(`${path} has ${size} bytes, too many for an index`, "Check the file");
  const refusal = (cause?: unknown) =>
    inputError(`${path} is not an index of weights: no map "weight_map" of text to text`, "Fetch it again", { cause });
  let json: { weight_map?: unknown } | null;
  try {
    json = JSON.parse(Deno.readTextFileSync(path));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw refusal(cause);
  }
  if (!isTextMap(json?.weight_map)) throw refusal();
  return new Map(Object.entries(json.weight_map));
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}
