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
import { isDiskFull, storageError, WinnowError } from "../support/errors.ts";
import { diskFileSystem, type FileSystem, isThere, removeTree } from "../support/file_system.ts";
import { makeFolder, writeFileAtomic } from "./atomic_file.ts";
import { folderBytes } from "./disk.ts";
import { asStorageError } from "./fs_error.ts";
import { hashingFiles, type WrittenFile } from "./hashing_files.ts";
import { type CheckpointInfo, hashFile, type Manifest, MANIFEST_FILE, manifestText, readManifest } from "./manifest.ts";
import { asideName, removeDropped } from "./recovery.ts";

export type { CheckpointInfo } from "./manifest.ts";
export { cleanPartials, cleanTemporaries, removeCheckpoint } from "./recovery.ts";

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

/**
 * The size and hash of each file under `folder`, as it was written or else by reading it; syncs the files that are not
 * yet, then the folders, children first. Keys are paths with "/".
 */
async function sealFolder(
  folder: string,
  fs: FileSystem,
  written: ReadonlyMap<string, WrittenFile>,
  top = folder,
  files: Manifest["files"] = {},
): Promise<Manifest["files"]> {
  const entries = await fs.list(folder);
  for (const entry of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) await sealFolder(path, fs, written, top, files);
    else if (entry.isFile) files[relative(top, path)] = await sealFile(path, fs, written.get(path));
    else throw storageError(`${path} is no regular file`, "Write regular files into a checkpoint, no links.");
  }
  await fs.syncFolder(folder);
  return files;
}

async function sealFile(path: string, fs: FileSystem, written?: WrittenFile): Promise<Manifest["files"][string]> {
  if (!written?.isSynced) {
    const file = await fs.open(path, "append");
    await file.sync().finally(() => file.close());
  }
  if (!written) return await hashFile(path, fs);
  return { bytes: written.bytes, sha256: written.hash.copy().digest("hex") };
}

/**
 * Writes a checkpoint folder `<parent>/<name>` in a crash-safe way: killed at any instant, either nothing is visible
 * under that name or all of it is. A checkpoint of the same name is replaced.
 *
 * @param write Writes the files into the folder it is given (which is not the final one), best through the file system
 * that it is given: those files are hashed while they are written, others are read again.
 * @param info What the checkpoint is; kept in the manifest.
 * @param options.expectedBytes Its size where known (as from `preflight`), for the message of a full disk.
 * @throws a storage error with bytes needed and free when the disk is full, or what `write` threw; nothing is left then.
 */
export async function publishCheckpoint(
  parent: string,
  name: string,
  write: (folder: string, fs: FileSystem) => Promise<void>,
  info: CheckpointInfo,
  options: { expectedBytes?: number; fs?: FileSystem } = {},
): Promise<Checkpoint> {
  const { fs = diskFileSystem } = options;
  const hashing = hashingFiles(fs);
  if (!/^[^./\\\0][^/\\\0]*$/.test(name)) throw new RangeError(`Expected a plain folder name but found "${name}"`);
  const target = join(resolve(parent), name);
  const partial = join(resolve(parent), asideName("partial", name));
  let files: Manifest["files"];
  try {
    await makeFolder(parent, fs);
    await removeTree(fs, partial).catch(() => {});
    await fs.makeFolder(partial);
    await write(partial, hashing.fs);
    files = await sealFolder(partial, fs, hashing.written);
    if (MANIFEST_FILE in files) throw new RangeError(`Expected no ${MANIFEST_FILE} from write: it is made here`);
    await writeFileAtomic(join(partial, MANIFEST_FILE), manifestText(info, files), fs);
    await publish(partial, target, fs);
  } catch (error) {
    const cause = error instanceof WinnowError ? error.cause : error;
    const needed = isDiskFull(cause) ? await bytesNeeded(parent, partial, fs, options.expectedBytes) : undefined;
    await removeTree(fs, partial).catch(() => {});
    // A full disk is described once more, now with the size of the whole checkpoint and what is free without it.
    throw await asStorageError(isDiskFull(cause) ? cause : error, "saving a checkpoint", target, needed);
  }
  return describe(target, await readManifest(target, fs));
}

/** Renames the finished folder to its name, moving a checkpoint that has that name out of the way for this instant. */
async function publish(partial: string, target: string, fs: FileSystem): Promise<void> {
  const replaced = join(resolve(target, ".."), asideName("replaced", basename(target)));
  const occupied = await isThere(target, fs);
  if (occupied) await removeTree(fs, replaced).catch(() => {});
  // Between these two renames the old checkpoint is hidden but whole: cleanPartials would give it its name back.
  if (occupied) await fs.rename(target, replaced);
  try {
    await fs.rename(partial, target);
  } catch (error) {
    if (occupied) await fs.rename(replaced, target);
    throw error;
  }
  await fs.syncFolder(resolve(target, ".."));
  if (occupied) await removeTree(fs, replaced);
}

/** What a checkpoint that did not fit needs: as expected, or as the largest one before, or what it had written so far. */
async function bytesNeeded(
  parent: string,
  partial: string,
  fs: FileSystem,
  expectedBytes?: number,
): Promise<number> {
  if (expectedBytes !== undefined) return expectedBytes;
  const others = await listCheckpoints(parent, () => {}, fs).catch(() => []);
  return Math.max(await folderBytes(partial, fs).catch(() => 0), ...others.map((checkpoint) => checkpoint.bytes));
}

/**
 * Reads all of a checkpoint and compares it with its manifest.
 *
 * @throws a storage error that names the first file that differs, and how.
 */
export async function verifyCheckpoint(folder: string, fs: FileSystem = diskFileSystem): Promise<Checkpoint> {
  const manifest = await readManifest(folder, fs);
  await compareSizes(folder, manifest, fs);
  for (const [name, expected] of Object.entries(manifest.files)) {
    const found = await hashFile(join(folder, name), fs).catch((error) => {
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
async function compareSizes(folder: string, manifest: Manifest, fs: FileSystem): Promise<void> {
  for (const [name, expected] of Object.entries(manifest.files)) {
    const found = await fs.status(join(folder, name)).catch(() => null);
    if (found === null) throw damaged(folder, `${name} is missing`);
    if (!found.isFile) throw damaged(folder, `${name} is no regular file`);
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
export async function listCheckpoints(
  parent: string,
  onWarning: OnWarning = () => {},
  fs: FileSystem = diskFileSystem,
): Promise<Checkpoint[]> {
  const checkpoints: Checkpoint[] = [];
  try {
    for (const entry of await fs.list(parent)) {
      if (!entry.isDirectory || entry.name.startsWith(".")) continue;
      const folder = join(parent, entry.name);
      try {
        const manifest = await readManifest(folder, fs);
        await compareSizes(folder, manifest, fs);
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
  options: { resumable?: boolean; onWarning?: OnWarning; fs?: FileSystem } = {},
): Promise<Checkpoint | null> {
  const { onWarning = () => {}, fs = diskFileSystem } = options;
  const listed = await listCheckpoints(parent, onWarning, fs);
  const candidates = listed.filter((one) => one.resumable || !options.resumable);
  for (const candidate of candidates.reverse()) {
    try {
      return await verifyCheckpoint(candidate.folder, fs);
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
export async function dropOptimizer(
  checkpoint: Pick<Checkpoint, "folder">,
  names: string[] = [OPTIMIZER_FILE],
  fs: FileSystem = diskFileSystem,
): Promise<Checkpoint> {
  const { folder } = checkpoint;
  const manifest = await readManifest(folder, fs);
  const going = names.filter((name) => name in manifest.files);
  if (going.length === 0) return describe(folder, manifest);
  const files = Object.fromEntries(Object.entries(manifest.files).filter(([name]) => !going.includes(name)));
  await writeFileAtomic(
    join(folder, MANIFEST_FILE),
    manifestText(manifest.info, files, [...manifest.dropped, ...going]),
    fs,
  );
  await removeDropped(folder, fs);
  return describe(folder, await readManifest(folder, fs));
}
