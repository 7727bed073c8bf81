/** Finds a pretrained model: a local folder as it is, or a hub id through the shared cache. */
import { join } from "node:path";
import { inputError } from "../support/errors.ts";
import { downloadFromHub, type HubRequest } from "./hub.ts";
import { fileNames } from "./shards.ts";
import { WEIGHT_FORMATS } from "./weights_file.ts";

/** How to resolve a model id. */
export type PretrainedOptions = Pick<HubRequest, "revision" | "cacheDir" | "onDownload" | "delay" | "env" | "signal">;

/** A pretrained model on this machine. */
export interface Pretrained {
  /** Holds config.json and, where the model has them, weights and tokenizer files. */
  folder: string;
  /** As asked for. */
  id: string;
  /** The commit of a hub model; "local" for a folder. */
  revision: string;
}

/** Files that every model may have beside its weights. */
const FILES = new Set([
  "config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.txt",
  "vocab.json",
  "merges.txt",
  "special_tokens_map.json",
  "added_tokens.json",
]);

/** The files of one format's weights among a repository's paths, the first format that it has; [] where it has none. */
export function weightFiles(paths: readonly string[]): string[] {
  for (const format of WEIGHT_FORMATS) {
    const [single, index] = fileNames(format);
    if (paths.includes(single)) return [single];
    const [name, extension] = single.split(".") as [string, string];
    const shard = new RegExp(`^${name}-\\d+-of-\\d+\\.${extension}$`);
    if (paths.includes(index)) return [index, ...paths.filter((path) => shard.test(path))];
  }
  return [];
}

/**
 * The folder of a model given as a local folder or as a hub id. Of a hub model only what is read is fetched: weights in
 * one format, safetensors before PyTorch's before Flax's.
 *
 * @throws an input error when there is no such model, access to it is refused, or it lacks config.json or, on the hub,
 * weights in one of the formats; a failure when the hub cannot be reached
 */
export async function resolvePretrained(id: string, options: PretrainedOptions = {}): Promise<Pretrained> {
  if (await isFolder(id)) {
    if (!await isFile(join(id, "config.json"))) {
      throw inputError(`The model folder ${id} has no config.json`, "Name a folder as `save_pretrained` writes it");
    }
    return { folder: id, id, revision: "local" };
  }
  if (/^(\.|~|\/)|^[A-Za-z]:|\\|\/.*\/|\/$/.test(id)) {
    throw inputError(`There is no model folder ${id}`, 'Check the path, or give a hub id such as "org/name"');
  }
  const isWanted = (path: string, all: readonly string[]) => FILES.has(path) || weightFiles(all).includes(path);
  const { folder, commit, files } = await downloadFromHub({ ...options, repo: id, type: "model", files: isWanted });
  if (!files.includes("config.json")) {
    throw inputError(`The hub model "${id}" has no config.json`, "Choose a model in the layout of transformers");
  }
  if (weightFiles(files).length === 0) {
    throw inputError(
      `The hub model "${id}" has none of the weights that Winnow reads: ` +
        WEIGHT_FORMATS.map(({ file }) => file).join(", "),
      "Choose a model or revision that has them",
    );
  }
  return { folder, id, revision: commit };
}

/** Whether there is a folder at a path. */
export async function isFolder(path: string): Promise<boolean> {
  return (await statIfThere(path))?.isDirectory ?? false;
}

async function isFile(path: string): Promise<boolean> {
  return (await statIfThere(path))?.isFile ?? false;
}

async function statIfThere(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}
