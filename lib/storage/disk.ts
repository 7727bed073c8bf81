/** How much room there is, how much is taken, and whether the checkpoints of a trial will fit. */
import { join, resolve } from "node:path";
import { storageError } from "../support/errors.ts";
import { makeFolder, syncFolder } from "./atomic_file.ts";
import { freeBytes } from "./free_space.ts";
import { errorCode } from "./fs_error.ts";

export { diskSpace, formatBytes, freeBytes } from "./free_space.ts";

/** State, configuration, tokenizer and manifest beside the tensors: a flat allowance of 1 MB in each checkpoint. */
export const CHECKPOINT_OVERHEAD_BYTES = 1_000_000;

/** Sum of the sizes in bytes of all files under `path`, 0 if it does not exist. Files that vanish meanwhile count 0. */
export async function folderBytes(path: string): Promise<number> {
  let bytes = 0;
  try {
    for await (const entry of Deno.readDir(path)) {
      const child = join(path, entry.name);
      if (entry.isDirectory) bytes += await folderBytes(child);
      else bytes += (await Deno.lstat(child)).size;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return bytes;
}

/** What one trial stores at most, beside what there is. All in bytes. */
export interface StoragePreflight {
  perCheckpointBytes: number;
  neededBytes: number;
  freeBytes: number;
  fits: boolean;
}

/**
 * The room that one trial's checkpoints take at most: (weights + optimizer + 1 MB) × (keepLast + keepBest), and once
 * more for the new checkpoint that is written before an old one is deleted ("worst case you have two, never none").
 */
export async function preflight(
  plan: { weightsBytes: number; optimizerBytes: number; keepLast: number; keepBest: number },
  path: string,
): Promise<StoragePreflight> {
  const perCheckpointBytes = plan.weightsBytes + plan.optimizerBytes + CHECKPOINT_OVERHEAD_BYTES;
  // The newest checkpoint always stays, also with keepLast 0 and keepBest 0.
  const neededBytes = perCheckpointBytes * (Math.max(1, plan.keepLast + plan.keepBest) + 1);
  const free = await freeBytes(path);
  return { perCheckpointBytes, neededBytes, freeBytes: free, fits: neededBytes <= free };
}

/**
 * Makes the experiments folder if needed and proves that a file can be written, synced and deleted there, so that a
 * run fails before the first step of training and not after the first epoch.
 *
 * @throws a storage error that names the folder and the reason.
 */
export async function ensureWritable(folder: string): Promise<void> {
  const probe = join(folder, `.write-probe-${Deno.pid}`);
  try {
    await makeFolder(folder);
    using file = await Deno.open(probe, { write: true, create: true, truncate: true });
    await file.write(new TextEncoder().encode("writable\n"));
    await file.sync();
    await syncFolder(folder);
  } catch (error) {
    const inTheWay = ["EEXIST", "ENOTDIR"].includes(errorCode(error));
    const reason = inTheWay ? "a file stands where a folder is needed" : error instanceof Error ? error.message : error;
    throw storageError(
      `experiments folder not writable: ${resolve(folder)} (${reason})`,
      "Make it writable for this user, free some space, or set paths.experiments to another folder.",
      { cause: error },
    );
  } finally {
    await Deno.remove(probe).catch(() => {});
  }
}
