/**
 * One run at a time in an experiments folder. Two runs would continue the same trial and clean up each other's unfinished
 * checkpoints. The lock is the operating system's (flock): it ends with the process, however that ends.
 */
import { join, resolve } from "node:path";
import { storageError } from "../support/errors.ts";
import { diskFileSystem, type FileSystem, type LockableFile } from "../support/file_system.ts";
import { makeFolder } from "./atomic_file.ts";
import { asStorageError } from "./fs_error.ts";

const RETRY_MS = 100;

/** A held lock; disposing of it (or the end of the process) frees it. */
export interface FolderLock extends Disposable {
  readonly path: string;
}

/**
 * Takes the lock of a folder. The lock file stays behind, empty and harmless: removing it would
 * let two processes hold "the" lock on two different files.
 *
 * @param patienceMs How long to wait for another process to let go: one that was killed may need a moment to end.
 * @throws a storage error when another process holds it.
 */
export async function lockFolder(
  folder: string,
  patienceMs = 0,
  fs: FileSystem = diskFileSystem,
): Promise<FolderLock> {
  const path = join(folder, ".lock");
  let file: LockableFile;
  try {
    await makeFolder(folder, fs);
    file = await fs.openLock(path);
  } catch (error) {
    throw await asStorageError(error, "locking the experiments folder", path);
  }
  const deadline = performance.now() + patienceMs;
  let locked = await file.tryLock(true);
  while (!locked && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    locked = await file.tryLock(true);
  }
  if (!locked) {
    file.close();
    throw storageError(
      `another run is using the experiments folder ${resolve(folder)}`,
      "Wait for it to end or stop it (Ctrl-C), or set paths.experiments to another folder.",
    );
  }
  return { path, [Symbol.dispose]: () => file.close() };
}
