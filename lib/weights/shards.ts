/** Finds the weights of one format in a model's folder: a single file, or the shards that an index lists. */
import { join } from "node:path";
import { inputError } from "../support/errors.ts";
import { isFile, quote } from "./random_access.ts";
import { isTextMap, parseUntrustedJson } from "./untrusted_json.ts";
import type { WeightInfo, WeightsFile } from "./weights_file.ts";

/** An index of a hundred thousand tensors stays below this. */
const MAX_INDEX_BYTES = 32 * 2 ** 20;

/** What a format calls its files, and how one is opened. */
export interface WeightsFormat<F extends WeightsFile> {
  /** The name of the only file, such as "model.safetensors"; the index has ".index.json" behind it. */
  readonly file: string;
  open(path: string): F;
  /** The tensor that an entry of the index means; the entry's own name where this is left out. */
  tensorName?(entry: string): string;
}

/** All shards of a model, read as one. */
export interface Shards<F extends WeightsFile> extends WeightsFile {
  readonly tensors: F["tensors"];
  readonly files: readonly F[];
}

/** The names under which a format's weights are looked for, the preferred one first. */
export function fileNames(format: WeightsFormat<WeightsFile>): [single: string, index: string] {
  return [format.file, `${format.file}.index.json`];
}

/**
 * Opens the weights of a format; undefined when the folder has none.
 *
 * @throws an input error when a shard is missing, a file is damaged, or index and shards disagree
 */
export function openFolder<F extends WeightsFile>(folder: string, format: WeightsFormat<F>): Shards<F> | undefined {
  const [single, index] = fileNames(format).map((name) => join(folder, name)) as [string, string];
  if (isFile(single)) {
    const file = format.open(single);
    return {
      tensors: file.tensors,
      files: [file],
      readFloat32: (name) => file.readFloat32(name),
      close: () => file.close(),
      [Symbol.dispose]: () => file.close(),
    };
  }
  return isFile(index) ? openShards(folder, index, format) : undefined;
}

function openShards<F extends WeightsFile>(folder: string, indexPath: string, format: WeightsFormat<F>): Shards<F> {
  const shards = new Map<string, F>();
  const close = () => shards.forEach((shard) => shard.close());
  try {
    const places = new Map<string, string>();
    for (const [entry, fileName] of readIndex(indexPath)) {
      const name = format.tensorName?.(entry) ?? entry;
      if (places.has(name)) throw inputError(`${indexPath} lists ${quote(name)} twice`, "Fetch the model again");
      places.set(name, fileName);
    }
    for (const fileName of new Set(places.values())) {
      // A name with a slash could lead out of the folder.
      if (!/^[\w. -]{1,200}$/.test(fileName)) {
        throw inputError(`${indexPath} names the shard ${quote(fileName)}`, "Name files of the same folder");
      }
      shards.set(fileName, format.open(join(folder, fileName)));
    }
    checkOnce(shards, indexPath);
    const tensors = new Map<string, WeightInfo>();
    for (const [name, fileName] of places) {
      const info = shards.get(fileName)!.tensors.get(name);
      if (!info) {
        throw inputError(
          `${indexPath} says that ${quote(name)} is in ${fileName}, which lacks it`,
          "Fetch the model again",
        );
      }
      tensors.set(name, info);
    }
    return {
      tensors,
      files: [...shards.values()],
      readFloat32: (name) => {
        const fileName = places.get(name);
        if (fileName === undefined) {
          throw inputError(`${indexPath} has no tensor ${quote(name)}`, "Check that it belongs to this model");
        }
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

/** Two shards with one tensor are of two models, or of two states of one. */
function checkOnce(shards: ReadonlyMap<string, WeightsFile>, indexPath: string): void {
  const seen = new Map<string, string>();
  for (const [fileName, { tensors }] of shards) {
    for (const name of tensors.keys()) {
      const before = seen.get(name);
      if (before !== undefined) {
        throw inputError(
          `${quote(name)} is in two shards of ${indexPath}: ${before} and ${fileName}`,
          "Fetch the model again into an empty folder",
        );
      }
      seen.set(name, fileName);
    }
  }
}

function readIndex(path: string): [entry: string, fileName: string][] {
  const { size } = Deno.statSync(path);
  if (size > MAX_INDEX_BYTES) throw inputError(`${path} has ${size} bytes, too many for an index`, "Check the file");
  const refusal = (cause?: unknown) =>
    inputError(`${path} is not an index of weights: no map "weight_map" of text to text`, "Fetch it again", { cause });
  let json: unknown;
  try {
    json = parseUntrustedJson(Deno.readFileSync(path));
  } catch (cause) {
    throw refusal(cause);
  }
  const weightMap = typeof json === "object" && json !== null && "weight_map" in json ? json.weight_map : undefined;
  if (!isTextMap(weightMap)) throw refusal();
  return Object.entries(weightMap);
}
