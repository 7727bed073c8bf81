/** Finds a pretrained model: a local folder as it is, or a hub id through the shared cache. */
import { join } from "node:path";
import { inputError } from "../support/errors.ts";
import { downloadFromHub, type HubRequest } from "./hub.ts";

export { type BertConfig, bertConfigSchema, readBertConfig } from "./bert_config.ts";

/** How to resolve a model id. */
export type PretrainedOptions = Pick<HubRequest, "revision" | "cacheDir" | "onDownload" | "delay" | "env">;

/** A pretrained model on this machine. */
export interface Pretrained {
  /** Holds config.json and, where the model has them, safetensors weights and tokenizer files. */
  folder: string;
  /** As asked for. */
  id: string;
  /** The commit of a hub model; "local" for a folder. */
  revision: string;
}

const FILES = new Set([
  "config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.txt",
  "special_tokens_map.json",
  "added_tokens.json",
  "model.safetensors",
  "model.safetensors.index.json",
]);

/**
 * The folder of a model given as a local folder or as a hub id.
 *
 * @throws an input error when there is no such model, access to it is refused, or it lacks config.json or, on the hub,
 * safetensors weights; a failure when the hub cannot be reached
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
  const isWanted = (path: string) => FILES.has(path) || /^model-\d+-of-\d+\.safetensors$/.test(path);
  const { folder, commit, files } = await downloadFromHub({ ...options, repo: id, type: "model", files: isWanted });
  if (!files.includes("config.json")) {
    throw inputError(`The hub model "${id}" has no config.json`, "Choose a model in the layout of transformers");
  }
  if (!files.some((path) => path.startsWith("model.safetensors"))) {
    throw inputError(`The hub model "${id}" has no safetensors weights`, "Choose a model or revision that has them");
  }
  return { folder, id, revision: commit };
}

async function isFolder(path: string): Promise<boolean> {
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
