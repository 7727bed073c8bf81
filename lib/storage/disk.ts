/** How much room there is, how much is taken, and whether the checkpoints of a trial will fit. */
import { join, resolve } from "node:path";
import { errorCode, storageError } from "../support/errors.ts";
import { diskFileSystem, type FileSystem } from "../support/file_system.ts";
import { makeFolder } from "./atomic_file.ts";
import { freeBytes } from "./free_space.ts";

export { diskSpace, formatBytes, freeBytes } from "./free_space.ts";

/** State, configuration, tokenizer and manifest beside the tensors: a flat allowance of 1 MB in each checkpoint. */
export const CHECKPOINT_OVERHEAD_BYTES = 1_000_000;

/** Sum of the sizes in bytes of all files under `path`, 0 if it does not exist. Files that vanish meanwhile count 0. */
export async function folderBytes(path: string, fs: FileSystem = diskFileSystem): Promise<number> {
  let bytes = 0;
  try {
    for (const { name, isDirectory } of await fs.list(path)) {
      const child = join(path, name);
      bytes += isDirectory ? await folderBytes(child, fs) : (await fs.status(child)).size;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return bytes;
}

/** What checkpoints will take at most. All in bytes. */
export interface StoragePreflight {
  perCheckpointBytes: number;
  /** Of one trial while it runs, the save on top included. */
  neededBytes: number;
  /** Of the whole study at its peak: the running trial, and what stays of the best ones before it. */
  studyBytes: number;
  /** `retention.max_total_size`: beyond it nothing is kept but the save on top. */
  capBytes: number;
  /** The least that the cap must hold: a resume point and the best checkpoint. */
  leastBytes: number;
  freeBytes: number;
  /** Of checkpoints of this study that are there already, in whose place new ones come. */
  ownedBytes: number;
  /** Whether a trial fits, on the disk and under the cap. */
  fits: boolean;
}

/** What a preflight is asked. */
export interface StoragePlan {
  weightsBytes: number;
  optimizerBytes: number;
  keepLast: number;
  keepBest: number;
  /** Whether other trials come before or after: the best of them are kept too. */
  isSearch: boolean;
  capBytes: number;
  ownedBytes: number;
}

/**
 * The room that checkpoints take at most. One trial: (weights + optimizer + 1 MB) × (keepLast + keepBest), and once more for
 * the new checkpoint that is written before an old one is deleted ("worst case you have two, never none"). A study: beside
 * it what stays of the best keepBest trials, without their optimizer states. Either is held to the cap and one save.
 */
export async function preflight(plan: StoragePlan, path: string): Promise<StoragePreflight> {
  const { weightsBytes, optimizerBytes, keepLast, keepBest, isSearch, capBytes, ownedBytes } = plan;
  const reducedBytes = weightsBytes + CHECKPOINT_OVERHEAD_BYTES;
  const perCheckpointBytes = reducedBytes + optimizerBytes;
  const mostBytes = capBytes + perCheckpointBytes;
  // The newest checkpoint always stays, also with keepLast 0 and keepBest 0.
  const kept = Math.max(1, keepLast + keepBest);
  const trialBytes = perCheckpointBytes * (kept + 1);
  const others = isSearch ? reducedBytes * kept * Math.max(1, keepBest) : 0;
  const neededBytes = Math.min(trialBytes, mostBytes), studyBytes = Math.min(trialBytes + others, mostBytes);
  const leastBytes = perCheckpointBytes + reducedBytes;
  const free = await freeBytes(path);
  return {
    perCheckpointBytes,
    neededBytes,
    studyBytes,
    capBytes,
    leastBytes,
    freeBytes: free,
    ownedBytes,
    fits: neededBytes <= free + ownedBytes && leastBytes <= capBytes,
  };
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
    await diskFileSystem.syncFolder(folder);
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
