/**
 * One run at a time in an experiments folder. Two runs would continue the same trial and clean up each other's unfinished
 * checkpoints. The lock is the operating system's (flock): it ends with the process, however that ends.
 */
import { join, resolve } from "node:path";
import { storageError } from "../support/errors.ts";
import { makeFolder } from "./atomic_file.ts";
import { asStorageError } from "./fs_error.ts";

/** A held lock; disposing of it (or the end of the process) frees it. */
export interface FolderLock extends Disposable {
  readonly path: string;
}

/**
 * Takes the lock of a folder, at once or not at all. The lock file stays behind, empty and harmless: removing it would
 * let two processes hold "the" lock on two different files.
 *
 * @throws a storage error when another process holds it.
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const path = join(folder, ".lock");
  let file: Deno.FsFile;
  try {
    await makeFolder(folder);
    file = await Deno.open(path, { read: true, write: true, create: true });
  } catch (error) {
    throw await asStorageError(error, "locking the experiments folder", path);
  }
  if (!await file.tryLock(true)) {
    file.close();
    throw storageError(
      `another run is using the experiments folder ${resolve(folder)}`,
      "Wait for it to end or stop it (Ctrl-C), or set paths.experiments to another folder.",
    );
  }
  return { path, [Symbol.dispose]: () => file.close() };
}
