/** What takes the room in an experiments folder, and what a person is told when there is none left. */
import { basename, join } from "node:path";
import { isDiskFull, storageError, type WinnowError } from "../support/errors.ts";
import { folderBytes } from "./disk.ts";
import { diskSpace, formatBytes } from "./free_space.ts";

/** A folder or file and what it takes. */
export interface Artifact {
  readonly path: string;
  readonly bytes: number;
}

/** The entries of a folder with their bytes, largest first; checkpoints of a trial are entries of their own. */
export async function largestArtifacts(experiments: string, count: number): Promise<Artifact[]> {
  const found: Artifact[] = [];
  const add = async (path: string) => {
    const entry = await Deno.lstat(path).catch(() => null);
    if (entry) found.push({ path, bytes: entry.isDirectory ? await folderBytes(path) : entry.size });
  };
  for (const entry of await entriesOf(experiments)) {
    const path = join(experiments, entry.name);
    if (entry.isDirectory && entry.name.startsWith("trial_")) {
      for (const inner of await entriesOf(path)) {
        if (inner.name !== "checkpoints") await add(join(path, inner.name));
      }
      for (const checkpoint of await entriesOf(join(path, "checkpoints"))) {
        await add(join(path, "checkpoints", checkpoint.name));
      }
    } else await add(path);
  }
  return found.filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes || (a.path < b.path ? -1 : 1)).slice(0, count);
}

async function entriesOf(folder: string): Promise<Deno.DirEntry[]> {
  return await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
}

/** What was going on when the disk was full. */
export interface FullDisk {
  readonly experiments: string;
  /** To continue "while": "saving a checkpoint". */
  readonly action: string;
  /** Where. */
  readonly path: string;
  readonly neededBytes: number;
  /** Checkpoints that were removed to make room, with their bytes. */
  readonly pruned: readonly Artifact[];
  /** What commands need to find the folder: `paths.experiments=FOLDER`. */
  readonly place?: string;
}

/** Whether an error is, or was made from, that of a full disk. */
export function isFullDiskError(error: unknown): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (isDiskFull(cause) || cause.message.includes("database or disk is full")) return true;
  }
  return false;
}

/**
 * The error that ends a run when the disk is full in spite of all pruning: needed and free, what takes the room, what was
 * pruned, and the commands that help.
 */
export async function fullDiskError(full: FullDisk, cause?: unknown): Promise<WinnowError> {
  const { experiments, action, path, neededBytes, pruned, place = `paths.experiments=${experiments}` } = full;
  const space = await diskSpace(experiments).catch(() => ({ freeBytes: NaN, totalBytes: NaN }));
  const used = await folderBytes(experiments).catch(() => NaN);
  const largest = await largestArtifacts(experiments, 5).catch(() => []);
  const size = (bytes: number) => Number.isNaN(bytes) ? "an unknown number of bytes" : formatBytes(bytes);
  const lines = [
    `disk full while ${action}: ${size(neededBytes)} needed, ${size(space.freeBytes)} free (${path})`,
    `usage: ${size(used)} in ${experiments}, on a disk of ${size(space.totalBytes)}`,
    ...(largest.length > 0 ? ["largest:"] : []),
    ...largest.map((one) => `  ${size(one.bytes).padStart(8)}  ${one.path}`),
    pruned.length > 0
      ? `pruned before that: ${pruned.map((one) => `${basename(one.path)} (${size(one.bytes)})`).join(", ")}`
      : "pruned before that: nothing was left that may go",
  ];
  return storageError(
    lines.join("\n"),
    "Free some space there, or set paths.experiments to a larger disk, and resume: " +
      `\`deno task cleanup ${place}\` lists what can go and \`deno task cleanup --execute ${place}\` deletes it; ` +
      "retention_policy=least, retention.max_total_size=SIZE and tuning.mode=lora keep a new study smaller; " +
      `\`deno task resume ${place}\` goes on`,
    { cause },
  );
}
