/**
 * Removing checkpoints, and setting right what a killed process left half done.
 *
 * Work in progress has a hidden name `.<name>.<what>-<pid>`: a `partial` is being written, a `trash` is being deleted, a
 * `replaced` makes room for a new checkpoint of the same name. Each is undone or finished by the rule below.
 */
import { join, resolve } from "node:path";
import { diskFileSystem, type FileSystem, removeTree } from "../support/file_system.ts";
import { isTemporaryName } from "./atomic_file.ts";
import { asStorageError } from "./fs_error.ts";
import { MANIFEST_FILE, readManifest } from "./manifest.ts";

/** The hidden name of a folder in progress. */
export const asideName = (what: "partial" | "trash" | "replaced", name: string): string =>
  `.${name}.${what}-${Deno.pid}`;

/**
 * Deletes a checkpoint folder so that it is never seen half deleted: it loses its name first, durably, then its files.
 */
export async function removeCheckpoint(folder: string, fs: FileSystem = diskFileSystem): Promise<void> {
  const path = resolve(folder), parent = resolve(path, "..");
  const trash = join(parent, asideName("trash", path.slice(parent.length + 1)));
  try {
    await removeTree(fs, trash).catch(() => {});
    await fs.rename(path, trash);
    await fs.syncFolder(parent);
    await removeTree(fs, trash);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw await asStorageError(error, "deleting a checkpoint", path);
  }
}

/** Removes files that the manifest says were dropped. */
export async function removeDropped(folder: string, fs: FileSystem = diskFileSystem): Promise<void> {
  const { dropped } = await readManifest(folder, fs);
  for (const name of dropped) {
    await fs.remove(join(folder, name)).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}

/**
 * Sets right what a killed process left in a folder of checkpoints; call it before the first save and before a resume.
 * Unfinished and half-deleted folders go, a replaced checkpoint whose successor never came gets its name back, and
 * files that were being dropped go. The caller holds the lock of the experiments folder (lock.ts): process ids are
 * reused, in containers always, so they cannot tell a live writer from a dead one.
 */
export async function cleanPartials(parent: string, fs: FileSystem = diskFileSystem): Promise<void> {
  let names: string[];
  try {
    names = (await fs.list(parent)).filter((one) => one.isDirectory).map((one) => one.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw await asStorageError(error, "cleaning up", parent);
  }
  try {
    for (const hidden of names) {
      const [, name, what] = /^\.(.+)\.(partial|trash|replaced)-\d+$/.exec(hidden) ?? [];
      if (name === undefined) continue;
      if (what === "replaced" && !names.includes(name)) {
        await fs.rename(join(parent, hidden), join(parent, name));
        names.push(name);
      } else {
        await removeTree(fs, join(parent, hidden));
      }
    }
    await fs.syncFolder(parent);
    for (const name of names.filter((one) => !one.startsWith("."))) await cleanCheckpoint(join(parent, name), fs);
  } catch (error) {
    throw await asStorageError(error, "cleaning up", parent);
  }
}

/** Finishes an interrupted `dropOptimizer` in a published checkpoint. */
async function cleanCheckpoint(folder: string, fs: FileSystem): Promise<void> {
  for (const { name } of await fs.list(folder)) {
    if (isTemporaryName(name) && name.includes(MANIFEST_FILE)) await fs.remove(join(folder, name));
  }
  // A damaged checkpoint is not this function's to judge: listing and verifying report it.
  await removeDropped(folder, fs).catch(() => {});
}

/** Removes what a killed `writeFileAtomic` left in a folder; the caller holds the lock of the experiments folder. */
export async function cleanTemporaries(folder: string, fs: FileSystem = diskFileSystem): Promise<void> {
  try {
    for (const { name, isFile } of await fs.list(folder)) {
      if (isFile && isTemporaryName(name)) await fs.remove(join(folder, name));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw await asStorageError(error, "cleaning up", folder);
  }
}
