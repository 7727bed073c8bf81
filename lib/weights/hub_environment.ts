/** What the environment says about the hub, by the rules of Python's huggingface_hub: address, token, cache, offline. */
import { join } from "node:path";
import { inputError } from "../support/errors.ts";
import { maskSecrets } from "../support/masking.ts";

/** Reads a variable of the environment. */
export type Environment = (name: string) => string | undefined;

/** A variable of the process's environment. */
export const processEnv: Environment = (name) => Deno.env.get(name);

/** The process's environment, in which no request is made: what is not in the cache is not here. */
export const offlineEnv: Environment = (name) => name === "HF_HUB_OFFLINE" ? "1" : processEnv(name);

/**
 * The cache folder: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or
 * ~/.cache/huggingface/hub, the first that the environment gives.
 *
 * @throws an input error when it gives none
 */
export function hubCacheFolder(env = processEnv): string {
  const named = env("HF_HUB_CACHE") || env("HUGGINGFACE_HUB_CACHE");
  if (named) return expandHome(named, env);
  const home = hubHome(env);
  if (home) return join(home, "hub");
  throw inputError("There is no place for the model cache: no home folder is known", "Set HF_HOME to a folder");
}

/** The folder of Hugging Face's libraries, which holds the cache and the token of `hf auth login`. */
function hubHome(env: Environment): string | undefined {
  if (env("HF_HOME")) return expandHome(env("HF_HOME")!, env);
  if (env("XDG_CACHE_HOME")) return join(expandHome(env("XDG_CACHE_HOME")!, env), "huggingface");
  const home = env("HOME") || env("USERPROFILE");
  return home ? join(home, ".cache", "huggingface") : undefined;
}

/** Files of variables are read by more than shells, so "~" may come unexpanded. */
function expandHome(path: string, env: Environment): string {
  const home = env("HOME") || env("USERPROFILE");
  return home && /^~(?=$|[/\\])/.test(path) ? join(home, path.slice(1)) : path;
}

/**
 * The hub's address without a slash at its end: HF_ENDPOINT, else https://huggingface.co.
 *
 * @throws an input error when it is no address, or holds a password, which would show in messages
 */
export function hubEndpoint(env = processEnv): string {
  const endpoint = (env("HF_ENDPOINT") || "https://huggingface.co").trim().replace(/\/+$/, "");
  const url = URL.parse(endpoint);
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash) {
    throw inputError(`HF_ENDPOINT is no address: ${maskSecrets(endpoint)}`, "Set it to the hub's address, or unset it");
  }
  if (url.username || url.password) {
    throw inputError(`HF_ENDPOINT holds a password for ${url.host}`, "Take it out, and set HF_TOKEN for access");
  }
  return endpoint;
}

/** Variables that hold a token, the first one first. */
const TOKEN_VARIABLES = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"];

/** An environment in which no variable holds a token, so that the token is that of the file. */
export function withoutTokenVariables(env: Environment): Environment {
  return (name) => TOKEN_VARIABLES.includes(name) ? undefined : env(name);
}

/** Which variable the token comes from; undefined where it comes from the file. */
export function tokenVariable(env: Environment): string | undefined {
  return TOKEN_VARIABLES.find((name) => env(name)?.trim());
}

/** The file that `hf auth login` writes: HF_TOKEN_PATH, else `token` beside the cache; undefined where no home is known. */
export function tokenFile(env = processEnv): string | undefined {
  const home = hubHome(env);
  return env("HF_TOKEN_PATH") ? expandHome(env("HF_TOKEN_PATH")!, env) : home && join(home, "token");
}

/**
 * The access token: HF_TOKEN, HUGGING_FACE_HUB_TOKEN, or what stands in `tokenFile`.
 *
 * @throws an input error when it cannot be one, or its file cannot be read
 */
export async function hubToken(env = processEnv): Promise<string | undefined> {
  const variable = tokenVariable(env);
  if (variable !== undefined) return checkToken(env(variable)!.trim(), variable);
  const path = tokenFile(env);
  if (!path) return undefined;
  try {
    const token = (await Deno.readTextFile(path)).trim();
    return token ? checkToken(token, path) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    throw inputError(`The token file ${path} may not be read`, "Make it readable, or set HF_TOKEN", { cause: error });
  }
}

/** A token goes into a header; the message of a header that cannot be sent would show it. */
function checkToken(token: string, where: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw inputError(`${where} holds no token: spaces or other characters stand within it`, "Set HF_TOKEN to the token");
}

/** Whether no request may be made: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE. */
export function isOffline(env = processEnv): boolean {
  const set = env("HF_HUB_OFFLINE") || env("TRANSFORMERS_OFFLINE") || "";
  return ["1", "true", "yes", "on"].includes(set.toLowerCase());
}
