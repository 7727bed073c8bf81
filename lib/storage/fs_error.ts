/** What an operating system's refusal means to the person at the terminal: a storage error with the path and a remedy. */
import { errorCode, isDiskFull, storageError, WinnowError } from "../support/errors.ts";
import { formatBytes, freeBytes } from "./free_space.ts";

const REFUSALS: Record<string, { what: string; remedy: string }> = {
  ENOSPC: {
    what: "disk full",
    remedy: "Free some space there, or set paths.experiments to a larger disk, and resume.",
  },
  EDQUOT: {
    what: "disk quota exceeded",
    remedy: "Free some of your quota, or set paths.experiments elsewhere, and resume.",
  },
  EACCES: {
    what: "permission denied",
    remedy: "Make the folder writable for this user, or set paths.experiments elsewhere.",
  },
  EPERM: {
    what: "operation not permitted",
    remedy: "Make the folder writable for this user, or set paths.experiments elsewhere.",
  },
  EROFS: { what: "read-only file system", remedy: "Set paths.experiments to a writable folder." },
  ENOTDIR: {
    what: "a file stands where a folder is needed",
    remedy: "Rename that file, or set paths.experiments elsewhere.",
  },
  EIO: { what: "input/output error", remedy: "Check the disk (dmesg, smartctl) before going on." },
  NotCapable: {
    what: "Deno was not given access",
    remedy: "Start through `deno task`, or add the path to --allow-read and --allow-write.",
  },
};

/**
 * The error to throw in place of one that the file system threw: a storage error for a refusal (disk full, no
 * permission, read-only, I/O error), the very same error for anything else (a bug must keep its own name).
 *
 * @param action What was going on, to continue "while": "saving checkpoint /x/y".
 * @param path Where; its file system's free bytes stand in the message of a full disk.
 * @param neededBytes How much was to be written, where that is known.
 */
export async function asStorageError(
  error: unknown,
  action: string,
  path: string,
  neededBytes?: number,
): Promise<unknown> {
  const refusal = REFUSALS[errorCode(error)];
  if (error instanceof WinnowError || refusal === undefined) return error;
  let numbers = "";
  if (isDiskFull(error)) {
    const free = await freeBytes(path).then(formatBytes, () => "an unknown number of bytes");
    numbers = neededBytes === undefined ? `: ${free} free` : `: ${formatBytes(neededBytes)} needed, ${free} free`;
  }
  return storageError(`${refusal.what} while ${action}${numbers} (${path})`, refusal.remedy, { cause: error });
}
