/**
 * The cache that Hugging Face's libraries share on a machine:
 *
 *     models--org--name/refs/main                      commit that the revision stood for
 *     models--org--name/snapshots/<commit>/config.json link to ../../blobs/<hash>
 *     models--org--name/blobs/<hash>                   SHA-256 of a large file, Git's SHA-1 of a small one
 *
 * plus `winnow/<commit>.json`, the list of files of a commit, so that a complete snapshot needs no network.
 */
import { createHash, randomUUID } from "node:crypto";
import { dirname, join, relative } from "node:path";
import { z } from "zod";
import { inputError } from "../support/errors.ts";
import { DamagedDownload } from "./hub_retry.ts";

/** A file of a repository at one commit. */
export interface HubFile {
  path: string;
  /** Bytes. */
  size: number;
  /** The name of its blob: SHA-256 of the content (64 hex digits) or Git's SHA-1 of it (40). */
  hash: string;
}

const listing = z.array(z.object({ path: z.string(), size: z.int().min(0), hash: z.string() }));

/** A variable of the process's environment. */
export function processEnv(name: string): string | undefined {
  return Deno.env.get(name);
}

/**
 * The cache folder: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or
 * ~/.cache/huggingface/hub, the first that the environment gives.
 *
 * @throws an input error when it gives none
 */
export function hubCacheFolder(env = processEnv): string {
  const named = env("HF_HUB_CACHE") || env("HUGGINGFACE_HUB_CACHE");
  if (named) return named;
  if (env("HF_HOME")) return join(env("HF_HOME")!, "hub");
  if (env("XDG_CACHE_HOME")) return join(env("XDG_CACHE_HOME")!, "huggingface", "hub");
  const home = env("HOME") || env("USERPROFILE");
  if (home) return join(home, ".cache", "huggingface", "hub");
  throw inputError("There is no place for the model cache: no home folder is known", "Set HF_HOME to a folder");
}

/** The commit that a revision stood for when it was last fetched. */
export async function cachedCommit(repoFolder: string, revision: string): Promise<string | undefined> {
  const commit = (await readText(join(repoFolder, "refs", revision)))?.trim();
  return commit && /^[0-9a-f]{40}$/.test(commit) ? commit : undefined;
}

/** Remembers the commit of a revision. */
export async function rememberCommit(repoFolder: string, revision: string, commit: string): Promise<void> {
  if (revision !== commit) await writeText(join(repoFolder, "refs", revision), commit);
}

/** The files of a commit, if they have been listed before. */
export async function cachedListing(repoFolder: string, commit: string): Promise<HubFile[] | undefined> {
  const text = await readText(join(repoFolder, "winnow", `${commit}.json`));
  if (text === undefined) return undefined;
  try {
    return listing.parse(JSON.parse(text));
  } catch {
    return undefined; // damaged: list again
  }
}

/** Remembers the files of a commit. */
export async function rememberListing(repoFolder: string, commit: string, files: HubFile[]): Promise<void> {
  await writeText(join(repoFolder, "winnow", `${commit}.json`), JSON.stringify(files));
}

/** The files that a snapshot has now, without their hashes; links to nothing left out. */
export async function snapshotFiles(snapshot: string, under = ""): Promise<HubFile[]> {
  const files: HubFile[] = [];
  for await (const { name } of await readFolder(join(snapshot, under))) {
    const path = under === "" ? name : `${under}/${name}`;
    const info = await statIfThere(join(snapshot, path));
    if (info?.isDirectory) files.push(...await snapshotFiles(snapshot, path));
    if (info?.isFile) files.push({ path, size: info.size, hash: "" });
  }
  return files;
}

async function readFolder(path: string): Promise<AsyncIterable<Deno.DirEntry> | Deno.DirEntry[]> {
  return (await statIfThere(path))?.isDirectory ? Deno.readDir(path) : [];
}

async function statIfThere(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Whether a file of a snapshot is there whole. */
export function isCached(snapshot: string, file: HubFile): Promise<boolean> {
  return isWhole(join(snapshot, file.path), file);
}

async function isWhole(path: string, file: HubFile): Promise<boolean> {
  const info = await statIfThere(path);
  return info !== undefined && info.isFile && info.size === file.size;
}

/**
 * Writes a download into the cache: into a temporary file, checked against size and hash, then under its final name,
 * so that no reader and no later run ever sees a part of a file.
 *
 * @throws DamagedDownload when the content is not what the hub announced
 */
export async function storeFile(
  repoFolder: string,
  snapshot: string,
  file: HubFile,
  content: () => Promise<ReadableStream<Uint8Array>>,
): Promise<void> {
  const blob = join(repoFolder, "blobs", file.hash);
  const pointer = join(snapshot, file.path);
  await Deno.mkdir(dirname(blob), { recursive: true });
  await Deno.mkdir(dirname(pointer), { recursive: true });
  if (!await isWhole(blob, file)) {
    const part = `${blob}.${randomUUID()}.incomplete`;
    try {
      await download(part, file, await content());
      await Deno.rename(part, blob);
    } finally {
      await Deno.remove(part).catch(() => {}); // gone when the rename was done
    }
  }
  await Deno.remove(pointer).catch(() => {}); // a damaged or dangling one
  try {
    await Deno.symlink(relative(dirname(pointer), blob), pointer);
  } catch {
    // Links need more than the named write permission; as in Python's library, the file then stands in its own place.
    await Deno.rename(blob, pointer);
  }
}

async function download(path: string, file: HubFile, content: ReadableStream<Uint8Array>): Promise<void> {
  using output = await Deno.open(path, { write: true, createNew: true });
  const hash = file.hash.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${file.size}\0`); // a Git blob
  const reader = content.getReader();
  let received = 0;
  while (received <= file.size) {
    const { done, value } = await reader.read().catch((cause) => {
      throw new DamagedDownload(`${file.path} broke off: ${cause instanceof Error ? cause.message : cause}`, { cause });
    });
    if (done) break;
    received += value.length;
    hash.update(value);
    for (let written = 0; written < value.length;) written += await output.write(value.subarray(written));
  }
  if (received > file.size) await reader.cancel();
  if (received !== file.size) throw new DamagedDownload(`${file.path} has ${file.size} bytes, but ${received} came`);
  const digest = hash.digest("hex");
  if (digest !== file.hash) throw new DamagedDownload(`${file.path} came with the hash ${digest}, not ${file.hash}`);
  await output.sync();
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function writeText(path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  const part = `${path}.${randomUUID()}.incomplete`;
  await Deno.writeTextFile(part, text);
  await Deno.rename(part, path);
}
