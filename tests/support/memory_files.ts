/**
 * A file system in memory that keeps a log of every change, and can let its n-th change fail.
 *
 * Files and folders are inodes; a folder maps names to inodes. The log speaks of inodes and not of paths, since what a
 * crash leaves depends on them: see crash_states.ts.
 */
import { basename, dirname, resolve } from "node:path";
import type { FileSystem, WritableFile } from "../../lib/support/file_system.ts";

/** A file's bytes. */
export interface FileInode {
  readonly id: number;
  readonly kind: "file";
  data: Uint8Array;
  size: number;
}

/** A folder's names. */
export interface FolderInode {
  readonly id: number;
  readonly kind: "folder";
  readonly entries: Map<string, Inode>;
}

/** What a name stands for. */
export type Inode = FileInode | FolderInode;

/** A change, a sync, or a mark that the scenario sets. */
export type Change =
  | { what: "link"; folder: FolderInode; name: string; inode: Inode }
  | { what: "unlink"; folder: FolderInode; name: string; inode: Inode }
  | { what: "rename"; from: FolderInode; name: string; folder: FolderInode; to: string; inode: Inode }
  | { what: "write"; file: FileInode; at: number; bytes: Uint8Array }
  | { what: "truncate"; file: FileInode; size: number }
  | { what: "syncFile"; file: FileInode }
  | { what: "syncFolder"; folder: FolderInode }
  | { what: "mark"; mark: unknown };

/** What the n-th change comes to: refused once, refused from then on, or a write that takes half of its bytes. */
export interface Fault {
  /** Counted from 0 over all changes and syncs. */
  at: number;
  kind: "EIO" | "ENOSPC" | "full" | "short";
}

/** A tree in memory. */
export interface MemoryFiles {
  readonly fs: FileSystem;
  readonly root: FolderInode;
  readonly log: Change[];
  /** Changes and syncs so far, marks left out. */
  readonly calls: number;
  /** Whether the fault has struck. */
  readonly struck: boolean;
  /** Notes what has been promised at this point of the log. */
  mark(mark: unknown): void;
}

let ids = 0;
/** A new folder without names. */
export const newFolder = (): FolderInode => ({ id: ids++, kind: "folder", entries: new Map() });
/** A new file without bytes. */
export const newFile = (): FileInode => ({ id: ids++, kind: "file", data: new Uint8Array(0), size: 0 });

/** Puts bytes into a file; what lies between its end and them is zero. */
export function putBytes(file: FileInode, at: number, bytes: Uint8Array): void {
  const end = at + bytes.length;
  if (end > file.data.length) {
    const grown = new Uint8Array(Math.max(end, file.data.length * 2));
    grown.set(file.data.subarray(0, file.size));
    file.data = grown;
  }
  file.data.set(bytes, at);
  file.size = Math.max(file.size, end);
}

/** Cuts a file, or lengthens it by zeros. */
export function cutFile(file: FileInode, size: number): void {
  if (size > file.size) putBytes(file, size, new Uint8Array(0));
  file.data.fill(0, Math.min(size, file.size), file.data.length);
  file.size = size;
}

const errno = (code: string) => Object.assign(new Error(`injected ${code}`), { code });
const notFound = (path: string) => Object.assign(new Deno.errors.NotFound(path), { code: "ENOENT" });

/** The names along paths that were met. */
const paths = new Map<string, string[]>();

function partsOf(path: string): string[] {
  const found = paths.get(path) ?? resolve(path).split("/").filter((one) => one !== "");
  paths.set(path, found);
  return found;
}

/** A file system whose tree starts at `root`. */
export function memoryFiles(root: FolderInode = newFolder(), fault?: Fault): MemoryFiles {
  const log: Change[] = [];
  let calls = 0, struck = false;

  const find = (path: string): Inode | undefined => {
    let inode: Inode | undefined = root;
    for (const part of partsOf(path)) {
      inode = inode?.kind === "folder" ? inode.entries.get(part) : undefined;
    }
    return inode;
  };
  const get = (path: string): Inode => {
    const inode = find(path);
    if (!inode) throw notFound(path);
    return inode;
  };
  const folderAt = (path: string): FolderInode => {
    const inode = get(path);
    if (inode.kind !== "folder") throw Object.assign(new Deno.errors.NotADirectory(path), { code: "ENOTDIR" });
    return inode;
  };
  const fileAt = (path: string): FileInode => {
    const inode = get(path);
    if (inode.kind !== "file") throw Object.assign(new Deno.errors.IsADirectory(path), { code: "EISDIR" });
    return inode;
  };
  const place = (path: string) => ({ folder: folderAt(dirname(resolve(path))), name: basename(resolve(path)) });

  /** Counts a call and lets it fail if it is its turn; true for a short write. A full disk still removes and renames. */
  const call = (takesSpace: boolean): boolean => {
    const turn = calls++;
    if (!fault || turn < fault.at || (turn > fault.at && fault.kind !== "full")) return false;
    if (fault.kind === "EIO") {
      struck = true;
      throw errno("EIO");
    }
    if (!takesSpace) return false;
    struck = true;
    if (fault.kind === "short") return true;
    throw errno("ENOSPC");
  };
  const change = (one: Change) => {
    log.push(one);
    apply(one);
  };
  const openFile = (path: string, mode: "replace" | "append"): WritableFile => {
    const { folder, name } = place(path);
    let file = folder.entries.get(name);
    if (file?.kind === "folder") throw Object.assign(new Deno.errors.IsADirectory(path), { code: "EISDIR" });
    if (!file) {
      call(true);
      file = newFile();
      change({ what: "link", folder, name, inode: file });
    } else if (mode === "replace" && file.size > 0) {
      call(false);
      change({ what: "truncate", file, size: 0 });
    }
    const inode = file;
    const write = (bytes: Uint8Array) => {
      const half = bytes.subarray(0, Math.ceil(bytes.length / 2));
      let taken = bytes;
      try {
        if (call(true)) taken = half;
      } catch (error) {
        // What was refused may have come half.
        if (half.length < bytes.length) change({ what: "write", file: inode, at: inode.size, bytes: half.slice() });
        throw error;
      }
      change({ what: "write", file: inode, at: inode.size, bytes: taken.slice() });
      return taken.length;
    };
    const sync = () => {
      call(false);
      change({ what: "syncFile", file: inode });
    };
    return {
      write: (bytes) => attempt(() => write(bytes)),
      writeSync: write,
      sync: () => attempt(sync),
      syncSync: sync,
      sizeSync: () => inode.size,
      close() {},
    };
  };
  const rename = (path: string, target: string) => {
    const inode = get(path), from = place(path), to = place(target);
    const there = to.folder.entries.get(to.name);
    if (there?.kind === "folder" && there.entries.size > 0) throw errno("ENOTEMPTY");
    call(false);
    change({ what: "rename", from: from.folder, name: from.name, folder: to.folder, to: to.name, inode });
  };
  const remove = (path: string) => {
    const inode = get(path);
    if (inode.kind === "folder" && inode.entries.size > 0) throw errno("ENOTEMPTY");
    call(false);
    change({ what: "unlink", ...place(path), inode });
  };
  const makeFolder = (path: string) => {
    const { folder, name } = place(path);
    if (folder.entries.has(name)) throw Object.assign(new Deno.errors.AlreadyExists(path), { code: "EEXIST" });
    call(true);
    change({ what: "link", folder, name, inode: newFolder() });
  };
  const syncFolder = (path: string) => {
    const folder = folderAt(path);
    call(false);
    change({ what: "syncFolder", folder });
  };
  const list = (path: string) =>
    [...folderAt(path).entries].map(([name, { kind }]) => ({
      name,
      isFile: kind === "file",
      isDirectory: kind === "folder",
    }));
  const status = (path: string) => {
    const inode = get(path);
    const about = { identity: inode.id, modified: new Date() };
    return inode.kind === "file"
      ? { isFile: true, isDirectory: false, size: inode.size, ...about }
      : { isFile: false, isDirectory: true, size: 0, ...about };
  };
  const fs: FileSystem = {
    open: (path, mode) => attempt(() => openFile(path, mode)),
    openSync: openFile,
    truncateSync(path, size) {
      const file = fileAt(path);
      call(false);
      change({ what: "truncate", file, size });
    },
    rename: (from, to) => attempt(() => rename(from, to)),
    renameSync: rename,
    remove: (path) => attempt(() => remove(path)),
    removeSync: remove,
    makeFolder: (path) => attempt(() => makeFolder(path)),
    makeFolderSync: makeFolder,
    syncFolder: (path) => attempt(() => syncFolder(path)),
    syncFolderSync: syncFolder,
    openLock: (path) =>
      attempt(() => {
        openFile(path, "append");
        return { tryLock: () => Promise.resolve(true), close() {} };
      }),
    lockFolderSync: () => ({ [Symbol.dispose]() {} }),
    openForReading: (path) =>
      attempt(() => {
        const file = fileAt(path);
        let at = 0;
        return {
          read(bytes) {
            if (at >= file.size) return Promise.resolve(null);
            const part = file.data.subarray(at, Math.min(file.size, at + bytes.length));
            bytes.set(part);
            at += part.length;
            return Promise.resolve(part.length);
          },
          close() {},
        };
      }),
    readSync(path, from = 0, length = Infinity) {
      const file = fileAt(path);
      return file.data.slice(from, Math.min(file.size, from + length));
    },
    list: (path) => attempt(() => list(path)),
    listSync: list,
    status: (path) => attempt(() => status(path)),
    statusSync: status,
  };
  return {
    fs,
    root,
    log,
    get calls() {
      return calls;
    },
    get struck() {
      return struck;
    },
    mark: (mark) => void log.push({ what: "mark", mark }),
  };
}

/** A result or what was thrown, as a promise. */
function attempt<T>(body: () => T): Promise<T> {
  try {
    return Promise.resolve(body());
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Makes a change to the inodes that it speaks of. */
export function apply(change: Change): void {
  switch (change.what) {
    case "link":
      change.folder.entries.set(change.name, change.inode);
      break;
    case "unlink":
      if (change.folder.entries.get(change.name) === change.inode) change.folder.entries.delete(change.name);
      break;
    case "rename":
      if (change.from.entries.get(change.name) === change.inode) change.from.entries.delete(change.name);
      change.folder.entries.set(change.to, change.inode);
      break;
    case "write":
      putBytes(change.file, change.at, change.bytes);
      break;
    case "truncate":
      cutFile(change.file, change.size);
  }
}
