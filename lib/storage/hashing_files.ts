/** Hashes files while they are written, so that a checkpoint's manifest needs no second look at them. */
import { createHash, type Hash } from "node:crypto";
import { resolve } from "node:path";
import type { FileSystem, WritableFile } from "../support/file_system.ts";

/** What is known of a file that was written through `hashingFiles`. */
export interface WrittenFile {
  bytes: number;
  /** Whether nothing was written since its last sync. */
  isSynced: boolean;
  hash: Hash;
}

/** A file system like `fs` that also keeps, by absolute path, the hash of each file that was written from its beginning. */
export function hashingFiles(fs: FileSystem): { fs: FileSystem; written: Map<string, WrittenFile> } {
  const written = new Map<string, WrittenFile>();
  const watch = (path: string, file: WritableFile): WritableFile => {
    const entry: WrittenFile = { bytes: 0, isSynced: false, hash: createHash("sha256") };
    written.set(resolve(path), entry);
    const add = (bytes: Uint8Array, before: Hash, count: number) => {
      // A short write: what was hashed ahead of it is taken back.
      if (count < bytes.length) entry.hash = before.update(bytes.subarray(0, count));
      entry.bytes += count;
      entry.isSynced = false;
      return count;
    };
    return {
      async write(bytes) {
        const before = entry.hash.copy();
        const writing = file.write(bytes);
        // While the operating system copies, this processor hashes.
        entry.hash.update(bytes);
        return add(bytes, before, await writing);
      },
      writeSync(bytes) {
        const before = entry.hash.copy();
        entry.hash.update(bytes);
        return add(bytes, before, file.writeSync(bytes));
      },
      async sync() {
        await file.sync();
        entry.isSynced = true;
      },
      syncSync() {
        file.syncSync();
        entry.isSynced = true;
      },
      sizeSync: () => file.sizeSync(),
      close: () => file.close(),
    };
  };
  const move = (from: string, to: string) => {
    const entry = written.get(resolve(from));
    written.delete(resolve(from));
    written.delete(resolve(to));
    if (entry) written.set(resolve(to), entry);
  };
  const forget = (path: string) => void written.delete(resolve(path));
  return {
    written,
    fs: {
      ...fs,
      async open(path, mode) {
        const file = await fs.open(path, mode);
        if (mode === "replace") return watch(path, file);
        forget(path);
        return file;
      },
      openSync(path, mode) {
        const file = fs.openSync(path, mode);
        if (mode === "replace") return watch(path, file);
        forget(path);
        return file;
      },
      truncateSync(path, bytes) {
        forget(path);
        fs.truncateSync(path, bytes);
      },
      async rename(from, to) {
        await fs.rename(from, to);
        move(from, to);
      },
      renameSync(from, to) {
        fs.renameSync(from, to);
        move(from, to);
      },
      async remove(path) {
        await fs.remove(path);
        forget(path);
      },
      removeSync(path) {
        fs.removeSync(path);
        forget(path);
      },
    },
  };
}
