/**
 * Files that are either the old ones or the new ones, whenever the power goes: write aside, fsync, rename, fsync the
 * folder. A rename is atomic on POSIX; the fsync before it keeps an empty file from taking the name, the fsync after it
 * makes the name itself durable (T. Pillai et al., "All File Systems Are Not Created Equal", OSDI'14).
 */
import { basename, dirname, join, resolve } from "node:path";
import { diskFileSystem, type FileSystem, writeAll } from "../support/file_system.ts";
import { asStorageError } from "./fs_error.ts";

/**
 * Whether a path is a folder or a link to one. A link is told by listing what it leads to, since `status` does not follow
 * it.
 */
async function isFolder(fs: FileSystem, path: string): Promise<boolean> {
  const found = await fs.status(path).catch(() => null);
  if (found === null || found.isDirectory || found.isFile) return found?.isDirectory ?? false;
  return await fs.list(path).then(() => true, () => false);
}

/** `mkdir -p` whose new folders are durable: each folder that gained an entry is synced. */
export async function makeFolder(folder: string, fs: FileSystem = diskFileSystem): Promise<void> {
  const path = resolve(folder), parent = dirname(path);
  if (await isFolder(fs, path)) return;
  if (parent !== path) await makeFolder(parent, fs);
  try {
    await fs.makeFolder(path);
  } catch (error) {
    // Another process may have made it since.
    if (!(error instanceof Deno.errors.AlreadyExists && await isFolder(fs, path))) throw error;
  }
  await fs.syncFolder(parent);
}

/** The name of the file aside; hidden and recognisable, so that a leftover can be removed. */
const temporaryName = (name: string) => `.${name}.${Deno.pid}.tmp`;

/** Whether a name is that of an unfinished `writeFileAtomic`. */
export const isTemporaryName = (name: string): boolean => /^\..+\.\d+\.tmp$/.test(name);

/**
 * Replaces the file `path` by `data` (text as UTF-8, or pieces as they come) in one instant; readers see all of the old or
 * all of the new.
 *
 * @throws a storage error when the file system refuses; the old file is untouched then, or, where the very last sync
 * failed, the new one whole.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array | AsyncIterable<Uint8Array>,
  fs: FileSystem = diskFileSystem,
): Promise<void> {
  const content = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const pieces = content instanceof Uint8Array ? [content] : content;
  const folder = dirname(resolve(path));
  const aside = join(folder, temporaryName(basename(path)));
  try {
    const file = await fs.open(aside, "replace");
    try {
      for await (const bytes of pieces) await writeAll(file, bytes);
      await file.sync();
    } finally {
      file.close();
    }
    await fs.rename(aside, path);
    await fs.syncFolder(folder);
  } catch (error) {
    await fs.remove(aside).catch(() => {});
    throw await asStorageError(
      error,
      `writing ${basename(path)}`,
      resolve(path),
      content instanceof Uint8Array ? content.length : undefined,
    );
  }
}
