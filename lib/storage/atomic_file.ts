/**
 * Files that are either the old ones or the new ones, whenever the power goes: write aside, fsync, rename, fsync the
 * folder. A rename is atomic on POSIX; the fsync before it keeps an empty file from taking the name, the fsync after it
 * makes the name itself durable (T. Pillai et al., "All File Systems Are Not Created Equal", OSDI'14).
 */
import { basename, dirname, join, resolve } from "node:path";
import { asStorageError } from "./fs_error.ts";

/** fsync of a folder: makes the names in it durable. */
export async function syncFolder(folder: string): Promise<void> {
  using handle = await Deno.open(folder, { read: true });
  await handle.sync();
}

const isFolder = (path: string): Promise<boolean> => Deno.stat(path).then((found) => found.isDirectory, () => false);

/** `mkdir -p` whose new folders are durable: each folder that gained an entry is synced. */
export async function makeFolder(folder: string): Promise<void> {
  const path = resolve(folder), parent = dirname(path);
  if (await isFolder(path)) return;
  if (parent !== path) await makeFolder(parent);
  try {
    await Deno.mkdir(path);
  } catch (error) {
    // Another process may have made it since.
    if (!(error instanceof Deno.errors.AlreadyExists && await isFolder(path))) throw error;
  }
  await syncFolder(parent);
}

/** Writes all of `data`: a single write may take fewer bytes than it is given. */
async function writeAll(file: Deno.FsFile, data: Uint8Array): Promise<void> {
  for (let offset = 0; offset < data.length;) offset += await file.write(data.subarray(offset));
}

/** The name of the file aside; hidden and recognisable, so that a leftover can be removed. */
const temporaryName = (name: string) => `.${name}.${Deno.pid}.tmp`;

/** Whether a name is that of an unfinished `writeFileAtomic`. */
export const isTemporaryName = (name: string): boolean => /^\..+\.\d+\.tmp$/.test(name);

/**
 * Replaces the file `path` by `data` (text as UTF-8) in one instant; readers see all of the old or all of the new.
 *
 * @throws a storage error when the file system refuses; the old file is untouched then.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const folder = dirname(resolve(path));
  const aside = join(folder, temporaryName(basename(path)));
  try {
    {
      using file = await Deno.open(aside, { write: true, create: true, truncate: true });
      await writeAll(file, bytes);
      await file.sync();
    }
    await Deno.rename(aside, path);
    await syncFolder(folder);
  } catch (error) {
    await Deno.remove(aside).catch(() => {});
    throw await asStorageError(error, `writing ${basename(path)}`, resolve(path), bytes.length);
  }
}
