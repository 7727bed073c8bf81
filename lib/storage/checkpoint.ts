/**
 * Checkpoints: folders that are there whole or not at all.
 *
 * A checkpoint is written to a hidden folder aside, every file is synced and hashed, the manifest is written last, and
 * one rename publishes it. Whatever is visible under its own name was complete when it got it; `verifyCheckpoint` tells
 * whether it still is. Order is by the step recorded in the manifest, never by file times or names.
 *
 * All functions expect that one process at a time works on an experiments folder (see lock.ts).
 */
import { basename, join, relative, resolve } from "node:path";
import { storageError, WinnowError } from "../support/errors.ts";
import { makeFolder, syncFolder, writeFileAtomic } from "./atomic_file.ts";
import { folderBytes } from "./disk.ts";
import { asStorageError, isDiskFull } from "./fs_error.ts";
import { type CheckpointInfo, hashFile, type Manifest, MANIFEST_FILE, manifestText, readManifest } from "./manifest.ts";
import { asideName, removeDropped } from "./recovery.ts";

export type { CheckpointInfo } from "./manifest.ts";
export { cleanPartials, removeCheckpoint } from "./recovery.ts";

/** The optimizer's state within a checkpoint: needed to resume, and of no use for evaluation. */
export const OPTIMIZER_FILE = "optimizer.safetensors";

/** A published checkpoint, as its manifest describes it. */
export interface Checkpoint {
  /** Absolute path. */
  folder: string;
  /** The folder's last part. */
  name: string;
  info: CheckpointInfo;
  files: Manifest["files"];
  /** Sum of the sizes of its files, without the manifest. */
  bytes: number;
  /** Whether training can continue from it: nothing was dropped. */
  resumable: boolean;
}

const describe = (folder: string, { info, files, dropped }: Manifest): Checkpoint => ({
  folder: resolve(folder),
  name: basename(folder),
  info,
  files,
  bytes: Object.values(files).reduce((sum, file) => sum + file.bytes, 0),
  resumable: dropped.length === 0,
});

/** Syncs and hashes all files under `folder`, then syncs the folders, children first. Keys are paths with "/". */
async function sealFolder(folder: string, top = folder, files: Manifest["files"] = {}): Promise<Manifest["files"]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  for (const entry of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) await sealFolder(path, top, files);
    else if (entry.isFile) files[relative(top, path)] = await hashFile(path, { sync: true });
    else throw storageError(`${path} is no regular file`, "Write regular files into a checkpoint, no links.");
  }
  await syncFolder(folder);
  return files;
}

/**
 * Writes a checkpoint folder `<parent>/<name>` in a crash-safe way: killed at any instant, either nothing is visible
 * under that name or all of it is. A checkpoint of the same name is replaced.
 *
 * @param write Writes the files into the folder it is given (which is not the final one).
 * @param info What the checkpoint is; kept in the manifest.
 * @param options.expectedBytes Its size where known (as from `preflight`), for the message of a full disk.
 * @throws a storage error with bytes needed and free when the disk is full, or what `write` threw; nothing is left then.
 */
export async function publishCheckpoint(
  parent: string,
  name: string,
  write: (folder: string) => Promise<void>,
  info: CheckpointInfo,
  options: { expectedBytes?: number } = {},
): Promise<Checkpoint> {
  if (!/^[^./\\\0][^/\\\0]*$/.test(name)) throw new RangeError(`Expected a plain folder name but found "${name}"`);
  const target = join(resolve(parent), name);
  const partial = join(resolve(parent), asideName("partial", name));
  let files: Manifest["files"];
  try {
    await makeFolder(parent);
    await Deno.remove(partial, { recursive: true }).catch(() => {});
    await Deno.mkdir(partial);
    await write(partial);
    files = await sealFolder(partial);
    if (MANIFEST_FILE in files) throw new RangeError(`Expected no ${MANIFEST_FILE} from write: it is made here`);
    await writeFileAtomic(join(partial, MANIFEST_FILE), manifestText(info, files));
    await publish(partial, target);
  } catch (error) {
    const cause = error instanceof WinnowError ? error.cause : error;
    const needed = isDiskFull(cause) ? await bytesNeeded(parent, partial, options.expectedBytes) : undefined;
    await Deno.remove(partial, { recursive: true }).catch(() => {});
    // A full disk is described once more, now with the size of the whole checkpoint and what is free without it.
    throw await asStorageError(isDiskFull(cause) ? cause : error, "saving a checkpoint", target, needed);
  }
  return describe(target, await readManifest(target));
}

/** Renames the finished folder to its name, moving a checkpoint that has that name out of the way for this instant. */
async function publish(partial: string, target: string): Promise<void> {
  const replaced = join(resolve(target, ".."), asideName("replaced", basename(target)));
  const occupied = await Deno.lstat(target).then(() => true, () => false);
  if (occupied) await Deno.remove(replaced, { recursive: true }).catch(() => {});
  // Between these two renames the old checkpoint is hidden but whole: cleanPartials would give it its name back.
  if (occupied) await Deno.rename(target, replaced);
  try {
    await Deno.rename(partial, target);
  } catch (error) {
    if (occupied) await Deno.rename(replaced, target);
    throw error;
  }
  await syncFolder(resolve(target, ".."));
  if (occupied) await Deno.remove(replaced, { recursive: true });
}

/** What a checkpoint that did not fit needs: as expected, or as the largest one before, or what it had written so far. */
async function bytesNeeded(parent: string, partial: string, expectedBytes?: number): Promise<number> {
  if (expectedBytes !== undefined) return expectedBytes;
  const others = await listCheckpoints(parent).catch(() => []);
  return Math.max(await folderBytes(partial).catch(() => 0), ...others.map((checkpoint) => checkpoint.bytes));
}

/**
 * Reads all of a checkpoint and compares it with its manifest.
 *
 * @throws a storage error that names the first file that differs, and how.
 */
export async function verifyCheckpoint(folder: string): Promise<Checkpoint> {
  const manifest = await readManifest(folder);
  await compareSizes(folder, manifest);
  for (const [name, expected] of Object.entries(manifest.files)) {
    const found = await hashFile(join(folder, name)).catch((error) => {
      throw damaged(folder, `${name} cannot be read`, error);
    });
    if (found.sha256 !== expected.sha256) {
      throw damaged(folder, `${name} has SHA-256 ${found.sha256} where ${expected.sha256} was written`);
    }
  }
  return describe(folder, manifest);
}

function damaged(folder: string, difference: string, cause?: unknown): WinnowError {
  const remedy = "Use another checkpoint, or restore this one from a copy.";
  return storageError(`damaged checkpoint ${folder}: ${difference}`, remedy, { cause });
}

/** Finds missing and truncated files without reading them. */
async function compareSizes(folder: string, manifest: Manifest): Promise<void> {
  for (const [name, expected] of Object.entries(manifest.files)) {
    const found = await Deno.stat(join(folder, name)).catch(() => null);
    if (found === null) throw damaged(folder, `${name} is missing`);
    if (found.size !== expected.bytes) {
      throw damaged(folder, `${name} has ${found.size} bytes where ${expected.bytes} were written`);
    }
  }
}

/** What a function may call for a person to read, about a checkpoint that it passes over. */
export type OnWarning = (message: string) => void;

/**
 * The checkpoints in a folder whose manifest is sound and whose files have the right sizes, by ascending step. Contents
 * are not read. Damaged ones are passed over with a warning; a missing parent holds none.
 */
export async function listCheckpoints(parent: string, onWarning: OnWarning = () => {}): Promise<Checkpoint[]> {
  const checkpoints: Checkpoint[] = [];
  try {
    for await (const entry of Deno.readDir(parent)) {
      if (!entry.isDirectory || entry.name.startsWith(".")) continue;
      const folder = join(parent, entry.name);
      try {
        const manifest = await readManifest(folder);
        await compareSizes(folder, manifest);
        checkpoints.push(describe(folder, manifest));
      } catch (error) {
        if (!(error instanceof WinnowError)) throw error;
        onWarning(error.message);
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw await asStorageError(error, "listing checkpoints", parent);
  }
  return checkpoints.sort((a, b) => a.info.step - b.info.step || (a.name < b.name ? -1 : 1));
}

/**
 * The newest checkpoint that verifies, each damaged one on the way reported by `onWarning`; null if there is none.
 *
 * @param options.resumable Only those that still have their optimizer state.
 */
export async function latestValid(
  parent: string,
  options: { resumable?: boolean; onWarning?: OnWarning } = {},
): Promise<Checkpoint | null> {
  const onWarning = options.onWarning ?? (() => {});
  const candidates = (await listCheckpoints(parent, onWarning)).filter((one) => one.resumable || !options.resumable);
  for (const candidate of candidates.reverse()) {
    try {
      return await verifyCheckpoint(candidate.folder);
    } catch (error) {
      if (!(error instanceof WinnowError)) throw error;
      onWarning(`${error.message}; going back to the checkpoint before it`);
    }
  }
  return null;
}

/**
 * Takes files out of a published checkpoint, the optimizer state as a rule: what is kept only as "best" needs no
 * resume. First a new manifest replaces the old one in one rename, then the files go: at each instant the folder agrees
 * with its manifest, which overlooks files it does not list. A leftover is removed by `cleanPartials`.
 */
export async function dropOptimizer(checkpoint: Checkpoint, names: string[] = [OPTIMIZER_FILE]): Promise<Checkpoint> {
  const { folder } = checkpoint;
  const manifest = await readManifest(folder);
  const going = names.filter((name) => name in manifest.files);
  if (going.length === 0) return describe(folder, manifest);
  const files = Object.fromEntries(Object.entries(manifest.files).filter(([name]) => !going.includes(name)));
  await writeFileAtomic(
    join(folder, MANIFEST_FILE),
    manifestText(manifest.info, files, [...manifest.dropped, ...going]),
  );
  await removeDropped(folder);
  return describe(folder, await readManifest(folder));
}
