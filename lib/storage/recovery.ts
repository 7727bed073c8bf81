/**
 * Removing checkpoints, and setting right what a killed process left half done.
 *
 * Work in progress has a hidden name `.<name>.<what>-<pid>`: a `partial` is being written, a `trash` is being deleted, a
 * `replaced` makes room for a new checkpoint of the same name. Each is undone or finished by the rule below.
 */
import { join, resolve } from "node:path";
import { isTemporaryName, syncFolder } from "./atomic_file.ts";
import { asStorageError } from "./fs_error.ts";
import { MANIFEST_FILE, readManifest } from "./manifest.ts";

/** The hidden name of a folder in progress. */
export const asideName = (what: "partial" | "trash" | "replaced", name: string): string =>
  `.${name}.${what}-${Deno.pid}`;

/**
 * Deletes a checkpoint folder so that it is never seen half deleted: it loses its name first, durably, then its files.
 */
export async function removeCheckpoint(folder: string): Promise<void> {
  const path = resolve(folder), parent = resolve(path, "..");
  const trash = join(parent, asideName("trash", path.slice(parent.length + 1)));
  try {
    await Deno.remove(trash, { recursive: true }).catch(() => {});
    await Deno.rename(path, trash);
    await syncFolder(parent);
    await Deno.remove(trash, { recursive: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw await asStorageError(error, "deleting a checkpoint", path);
  }
}

/** Removes files that the manifest says were dropped. */
export async function removeDropped(folder: string): Promise<void> {
  const { dropped } = await readManifest(folder);
  for (const name of dropped) {
    await Deno.remove(join(folder, name)).catch((error) => {
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
export async function cleanPartials(parent: string): Promise<void> {
  let names: string[];
  try {
    names = (await Array.fromAsync(Deno.readDir(parent))).filter((one) => one.isDirectory).map((one) => one.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw await asStorageError(error, "cleaning up", parent);
  }
  try {
    for (const hidden of names) {
      const [, name, what] = /^\.(.+)\.(partial|trash|replaced)-\d+$/.exec(hidden) ?? [];
      if (name === undefined) continue;
      if (what === "replaced" && !names.includes(name)) {
        await Deno.rename(join(parent, hidden), join(parent, name));
        names.push(name);
      } else {
        await Deno.remove(join(parent, hidden), { recursive: true });
      }
    }
    await syncFolder(parent);
    for (const name of names.filter((one) => !one.startsWith("."))) await cleanCheckpoint(join(parent, name));
  } catch (error) {
    throw await asStorageError(error, "cleaning up", parent);
  }
}

/** Finishes an interrupted `dropOptimizer` in a published checkpoint. */
async function cleanCheckpoint(folder: string): Promise<void> {
  for await (const entry of Deno.readDir(folder)) {
    if (isTemporaryName(entry.name) && entry.name.includes(MANIFEST_FILE)) await Deno.remove(join(folder, entry.name));
  }
  // A damaged checkpoint is not this function's to judge: listing and verifying report it.
  await removeDropped(folder).catch(() => {});
}
