/**
 * The one seam through which everything under the experiments folder is written: the few calls that an operating system
 * has for it, so that a test can record them, let the n-th one fail, and build what a crash would have left.
 *
 * Whoever writes takes a `FileSystem` with `diskFileSystem` as its default. SQLite has its own journal and the hub's
 * cache its own rules; neither comes by here.
 */

import { dirname } from "node:path";

/** A file open for writing. A write may take fewer bytes than it is given: `writeAll` goes on. */
export interface WritableFile {
  /** Writes behind what is there and returns how many bytes were taken. */
  write(bytes: Uint8Array): Promise<number>;
  writeSync(bytes: Uint8Array): number;
  /** What was written is on the disk when this returns, not only in the system's memory. */
  sync(): Promise<void>;
  syncSync(): void;
  /** Its size in bytes now, also where its name has become another file's. */
  sizeSync(): number;
  close(): void;
}

/** A file open for reading from its beginning. */
export interface ReadableFile {
  /** Fills some of `bytes` with what comes next; null at the end. */
  read(bytes: Uint8Array): Promise<number | null>;
  close(): void;
}

/** A file whose lock, the operating system's, ends with the process or with `close`. */
export interface LockableFile {
  tryLock(exclusive: boolean): Promise<boolean>;
  close(): void;
}

/** An entry of a folder. */
export interface FolderEntry {
  name: string;
  isFile: boolean;
  isDirectory: boolean;
}

/** What a path leads to, links not followed. */
export interface FileStatus {
  isFile: boolean;
  isDirectory: boolean;
  /** In bytes. */
  size: number;
  /** What tells it from every other file that is there, whatever its name; null where the system has no such number. */
  identity: number | null;
  /** When it was last written to. */
  modified: Date;
}

/** How a file is opened for writing, made where it is missing: emptied, or to go on at its end. */
export type WriteMode = "replace" | "append";

/**
 * A file system. Paths are absolute or relative to the working folder; errors are Deno's (`Deno.errors.NotFound`, and a
 * `code` such as "ENOSPC").
 */
export interface FileSystem {
  open(path: string, mode: WriteMode): Promise<WritableFile>;
  /** The same for logs, which are written between two steps of a run and must not wait for their turn. */
  openSync(path: string, mode: WriteMode): WritableFile;
  /** Cuts a file to so many bytes. */
  truncateSync(path: string, bytes: number): void;
  /** Gives what `from` names the name `to`, in one instant, in place of a file that had it. */
  rename(from: string, to: string): Promise<void>;
  /** The same between two log lines. */
  renameSync(from: string, to: string): void;
  /** Removes a file or an empty folder. */
  remove(path: string): Promise<void>;
  removeSync(path: string): void;
  /** Makes one folder, whose parent is there. */
  makeFolder(path: string): Promise<void>;
  makeFolderSync(path: string): void;
  /** Makes the names in a folder durable. */
  syncFolder(path: string): Promise<void>;
  syncFolderSync(path: string): void;
  openLock(path: string): Promise<LockableFile>;
  /** Waits for the lock of a folder, the operating system's, and holds it until it is disposed of. */
  lockFolderSync(path: string): Disposable;
  openForReading(path: string): Promise<ReadableFile>;
  /** What a file holds from a position to its end, or so many bytes of it. */
  readSync(path: string, from?: number, length?: number): Uint8Array;
  list(folder: string): Promise<FolderEntry[]>;
  listSync(folder: string): FolderEntry[];
  status(path: string): Promise<FileStatus>;
  statusSync(path: string): FileStatus;
}

const FLAGS: Record<WriteMode, Deno.OpenOptions> = {
  replace: { write: true, create: true, truncate: true },
  append: { append: true, create: true },
};

const writable = (file: Deno.FsFile): WritableFile => ({
  write: (bytes) => file.write(bytes),
  writeSync: (bytes) => file.writeSync(bytes),
  sync: () => file.sync(),
  syncSync: () => file.syncSync(),
  sizeSync: () => file.statSync().size,
  close: () => file.close(),
});

const describe = ({ isFile, isDirectory, size, ino, mtime }: Deno.FileInfo): FileStatus => ({
  ...{ isFile, isDirectory, size },
  identity: ino,
  modified: mtime ?? new Date(0),
});

/** The computer's own file system. */
export const diskFileSystem: FileSystem = {
  open: async (path, mode) => writable(await Deno.open(path, FLAGS[mode])),
  openSync: (path, mode) => writable(Deno.openSync(path, FLAGS[mode])),
  truncateSync: (path, bytes) => Deno.truncateSync(path, bytes),
  rename: (from, to) => Deno.rename(from, to),
  renameSync: (from, to) => Deno.renameSync(from, to),
  remove: (path) => Deno.remove(path),
  removeSync: (path) => Deno.removeSync(path),
  makeFolder: (path) => Deno.mkdir(path),
  makeFolderSync: (path) => Deno.mkdirSync(path),
  async syncFolder(path) {
    using folder = await Deno.open(path, { read: true });
    await folder.sync();
  },
  syncFolderSync(path) {
    using folder = Deno.openSync(path, { read: true });
    folder.syncSync();
  },
  openLock: (path) => Deno.open(path, { read: true, write: true, create: true }),
  lockFolderSync(path) {
    const folder = Deno.openSync(path, { read: true });
    folder.lockSync(true);
    return folder;
  },
  openForReading: (path) => Deno.open(path, { read: true }),
  readSync(path, from = 0, length = Infinity) {
    if (from === 0 && length === Infinity) return Deno.readFileSync(path);
    using file = Deno.openSync(path);
    file.seekSync(from, Deno.SeekMode.Start);
    const bytes = new Uint8Array(Math.max(0, Math.min(length, file.statSync().size - from)));
    let read = 0;
    while (read < bytes.length) {
      const count = file.readSync(bytes.subarray(read));
      if (count === null) break;
      read += count;
    }
    return bytes.subarray(0, read);
  },
  list: (folder) => Array.fromAsync(Deno.readDir(folder)),
  listSync: (folder) => [...Deno.readDirSync(folder)],
  status: async (path) => describe(await Deno.lstat(path)),
  statusSync: (path) => describe(Deno.lstatSync(path)),
};

/** Bytes handed to the operating system at a time. */
const CHUNK_BYTES = 4 << 20;

/** Writes all of `bytes`. */
export async function writeAll(file: WritableFile, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += taken(await file.write(bytes.subarray(written, written + CHUNK_BYTES)));
  }
}

/** Writes all of `bytes` before it returns. */
export function writeAllSync(file: WritableFile, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) written += taken(file.writeSync(bytes.subarray(written)));
}

/** A system that takes nothing and names no reason would be asked for ever. */
function taken(count: number): number {
  if (count > 0) return count;
  throw Object.assign(new Error("the file system took no byte of a write"), { code: "EIO" });
}

/** Writes a whole file, text as UTF-8, without a sync. */
export async function writeFile(fs: FileSystem, path: string, data: string | Uint8Array): Promise<void> {
  const file = await fs.open(path, "replace");
  try {
    await writeAll(file, typeof data === "string" ? new TextEncoder().encode(data) : data);
  } finally {
    file.close();
  }
}

/** A file's bytes. @throws what the file system throws */
export async function readBytes(fs: FileSystem, path: string): Promise<Uint8Array<ArrayBuffer>> {
  const { size } = await fs.status(path);
  const bytes = new Uint8Array(size);
  const file = await fs.openForReading(path);
  try {
    let filled = 0;
    while (filled < size) {
      const read = await file.read(bytes.subarray(filled));
      if (read === null) break;
      filled += read;
    }
    return bytes.subarray(0, filled);
  } finally {
    file.close();
  }
}

/** A whole file as text. */
export async function readText(fs: FileSystem, path: string): Promise<string> {
  const { size } = await fs.status(path);
  const piece = new Uint8Array(Math.min(1 << 20, Math.max(size, 1 << 9)));
  const decoder = new TextDecoder();
  const file = await fs.openForReading(path);
  try {
    let text = "";
    for (let read = await file.read(piece); read !== null; read = await file.read(piece)) {
      text += decoder.decode(piece.subarray(0, read), { stream: true });
    }
    return text + decoder.decode();
  } finally {
    file.close();
  }
}

/** Removes a file or a folder with all that is in it. */
export async function removeTree(fs: FileSystem, path: string): Promise<void> {
  if ((await fs.status(path)).isDirectory) {
    for (const { name } of await fs.list(path)) await removeTree(fs, `${path}/${name}`);
  }
  await fs.remove(path);
}

/** Makes a folder and those above it durably, unless they are there. */
export function makeFoldersSync(folder: string, fs: FileSystem): void {
  try {
    fs.makeFolderSync(folder);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return;
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    makeFoldersSync(dirname(folder), fs);
    fs.makeFolderSync(folder);
  }
  fs.syncFolderSync(dirname(folder));
}

const LINE_BREAK = 0x0a;

/** How many of a file's bytes are whole lines. Its end is looked at first: a log may be long. */
export function wholeLineBytes(fs: FileSystem, path: string, size: number): number {
  for (let window = 64 << 10; size > 0; window *= 16) {
    const from = Math.max(0, size - window);
    const end = fs.readSync(path, from).lastIndexOf(LINE_BREAK) + 1;
    if (end > 0 || from === 0) return from + end;
  }
  return 0;
}

/** Whether there is something at a path. @throws the file system's error where that cannot be told */
export const isThere = (path: string, fs: FileSystem = diskFileSystem): Promise<boolean> =>
  fs.status(path).then(() => true, (error) => {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  });
