/**
 * A few pages of disk that nobody else can take: given up when the disk is full, so that the log can say so and the
 * study database can commit. They are taken again with the next run.
 */
import { unlinkSync } from "node:fs";
import { writeFileAtomic } from "./atomic_file.ts";
import { reserveFile } from "./layout.ts";

/** Enough for a commit of the study database with its journal, and for some dozens of log lines. */
const RESERVE_BYTES = 64 * 1024;

/** Takes the reserve of an experiments folder. @throws a storage error when there is no room even for that */
export async function takeReserve(experiments: string): Promise<void> {
  // Not zeros: a file system that compresses would store nothing.
  const bytes = crypto.getRandomValues(new Uint8Array(RESERVE_BYTES));
  await writeFileAtomic(reserveFile(experiments), bytes);
}

/** Gives the reserve up, at once. @returns whether there was one */
export function giveUpReserve(experiments: string): boolean {
  try {
    unlinkSync(reserveFile(experiments));
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return false;
    throw error;
  }
}
