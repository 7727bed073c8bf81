/**
 * The cache that Hugging Face's libraries share on a machine:
 *
 *     models--org--name/refs/main                      commit that the revision stood for
 *     models--org--name/trees/<commit>.json            files of the commit, so that a whole snapshot needs no network
 *     models--org--name/snapshots/<commit>/config.json link to ../../blobs/<hash>
 *     models--org--name/blobs/<hash>                   SHA-256 of a large file, Git's SHA-1 of a small one
 *     models--org--name/blobs/<hash>.incomplete        what has come of it so far
 *     .locks/models--org--name/<hash>.lock             held while the blob is being written
 */
import { randomUUID } from "node:crypto";
import { dirname, join } from "node:path";
import { z } from "zod";
import { inputError } from "../support/errors.ts";

/** A file of a repository at one commit. */
export interface HubFile {
  path: string;
  /** Bytes. */
  size: number;
  /** The name of its blob: SHA-256 of the content (64 hex digits) or Git's SHA-1 of it (40). */
  hash: string;
  /** Git's SHA-1 of what stands in Git: the content, or the pointer to a large file. */
  oid?: string;
  /** The name of the content in the hub's chunked storage, which Python's library may fetch it from. */
  xetHash?: string;
}

/** The form of `trees/<commit>.json`, huggingface_hub's `_tree_cache.py`. */
const tree = z.object({
  format_version: z.literal(1),
  files: z.record(
    z.string(),
    z.object({
      size: z.int().min(0),
      blob_id: z.string(),
      lfs_sha256: z.string().nullish(),
      lfs_size: z.int().min(0).nullish(),
      xet_hash: z.string().nullish(),
    }),
  ),
});

/** The commit that a revision stood for when it was last fetched. */
export async function cachedCommit(repoFolder: string, revision: string): Promise<string | undefined> {
  const commit = (await readText(join(repoFolder, "refs", revision)))?.trim();
  return commit && /^[0-9a-f]{40}$/.test(commit) ? commit : undefined;
}

/** Remembers the commit of a revision. */
export async function rememberCommit(repoFolder: string, revision: string, commit: string): Promise<void> {
  if (revision !== commit) await writeText(join(repoFolder, "refs", revision), commit);
}

/** The files of a commit, if they have been listed before, by us or by Python's library. */
export async function cachedListing(repoFolder: string, commit: string): Promise<HubFile[] | undefined> {
  const text = await readText(join(repoFolder, "trees", `${commit}.json`));
  if (text === undefined) return undefined;
  try {
    return Object.entries(tree.parse(JSON.parse(text)).files).map(([path, entry]) => {
      const { size, blob_id, lfs_sha256, lfs_size, xet_hash } = entry;
      const file = { path, size: lfs_size ?? size, hash: lfs_sha256 ?? blob_id, oid: blob_id };
      checkFile(file, "The cached list");
      return xet_hash ? { ...file, xetHash: xet_hash } : file;
    });
  } catch {
    return undefined; // damaged, or of a later version: list again
  }
}

/** Remembers the files of a commit. */
export async function rememberListing(repoFolder: string, commit: string, files: HubFile[]): Promise<void> {
  const entries = files.map(({ path, size, hash, oid = hash, xetHash = "" }) => {
    const lfs = hash.length === 64 ? { lfs_sha256: hash, lfs_size: size } : {};
    // Python's library takes no list with a damaged name in it.
    const xet = /^[0-9a-f]{64}$/.test(xetHash) ? { xet_hash: xetHash } : {};
    return [path, { size, blob_id: oid, ...lfs, ...xet }] as const;
  });
  // A snapshot folder, empty or not, is what Python's tools know a repository by.
  await Deno.mkdir(join(repoFolder, "snapshots", commit), { recursive: true });
  const listing: z.infer<typeof tree> = { format_version: 1, files: Object.fromEntries(entries) };
  await writeText(join(repoFolder, "trees", `${commit}.json`), JSON.stringify(listing));
}

/**
 * Refuses a listed file whose path leads elsewhere or whose hash is none.
 *
 * @throws an input error that begins with `who`
 */
export function checkFile({ path, size, hash }: HubFile, who: string): void {
  const parts = path.split("/");
  if (/[\\:\0]/.test(path) || parts.some((part) => part === "" || part === "." || part === "..")) {
    throw inputError(`${who} lists the path ${JSON.stringify(path)}`, "Tell the owner of the repository");
  }
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash)) {
    throw inputError(`${who} lists ${path} without a hash`, "Check HF_ENDPOINT");
  }
  if (!Number.isSafeInteger(size) || size < 0) {
    throw inputError(`${who} lists ${path} with the size ${size}`, "Check HF_ENDPOINT");
  }
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

/** What is at a path, links followed; undefined where there is nothing. */
export async function statIfThere(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}

/** Whether a file is there whole: files appear under their name at once, so the size tells. */
export async function isWhole(path: string, file: HubFile): Promise<boolean> {
  const info = await statIfThere(path);
  return info !== undefined && info.isFile && info.size === file.size;
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
  const part = `${path}.${randomUUID()}.tmp`;
  await Deno.writeTextFile(part, text);
  await Deno.rename(part, path);
}
