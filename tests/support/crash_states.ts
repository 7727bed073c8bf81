/**
 * The trees that a crash may leave behind, built from the log of a memory file system.
 *
 * The model is that of ALICE (T. Pillai et al., "All File Systems Are Not Created Equal", OSDI'14), made weak: of what
 * was changed since its last sync, any subset may be on the disk. A file's sync makes its bytes durable and not its name;
 * a folder's sync makes the names in it durable and not what they lead to. A rename is one change. A write may be lost,
 * whole, cut after some of its 512-byte sectors, or there in size only, its bytes being zero.
 */
import type { Hash } from "node:crypto";
import { randomStream } from "../../lib/support/rng.ts";
import {
  apply,
  type Change,
  cutFile,
  type FolderInode,
  type Inode,
  newFile,
  newFolder,
  putBytes,
} from "./memory_files.ts";

const SECTOR = 512;

/** What becomes of one change that was not synced: lost, whole, its size alone, or its first n sectors. */
export type Fate = "lost" | "whole" | "zeros" | number;

/** A point of the log, and what becomes of the changes before it that were not synced. */
export interface Crash {
  prefix: number;
  /** In the order of `unsynced`. */
  fates: Fate[];
}

/** The changes before a point of the log that no sync covers, by position. */
export function unsynced(log: readonly Change[], prefix: number): number[] {
  const open: number[] = [];
  const dirtyFiles = new Map<Inode, number[]>(), dirtyFolders = new Map<Inode, number[]>();
  const add = (map: Map<Inode, number[]>, inode: Inode, i: number) =>
    void (map.get(inode) ?? map.set(inode, []).get(inode)!).push(i);
  for (let i = 0; i < prefix; i++) {
    const change = log[i]!;
    if (change.what === "write" || change.what === "truncate") add(dirtyFiles, change.file, i);
    else if (change.what === "link" || change.what === "unlink" || change.what === "rename") {
      add(dirtyFolders, change.folder, i);
    } else if (change.what === "syncFile") dirtyFiles.delete(change.file);
    else if (change.what === "syncFolder") dirtyFolders.delete(change.folder);
  }
  for (const positions of [...dirtyFiles.values(), ...dirtyFolders.values()]) open.push(...positions);
  return open.sort((a, b) => a - b);
}

/** The crash that a seed and a number choose: 0 loses nothing (the process was killed), 1 loses all, others draw. */
export function chooseCrash(log: readonly Change[], seed: number, prefix: number, choice: number): Crash {
  const open = unsynced(log, prefix);
  if (choice === 0) return { prefix, fates: open.map(() => "whole") };
  if (choice === 1) return { prefix, fates: open.map(() => "lost") };
  const random = randomStream(seed, "crash", prefix, choice);
  // Some lose little and some lose nearly all: a fair coin for each would meet neither.
  const survival = [0.1, 0.5, 0.9][choice % 3]!;
  const fates = open.map((i): Fate => {
    const change = log[i]!;
    if (random.uniform() < survival) return "whole";
    if (change.what !== "write") return "lost";
    const kind = random.integer(3);
    if (kind === 0) return "lost";
    if (kind === 1) return "zeros";
    return random.integer(Math.ceil(change.bytes.length / SECTOR));
  });
  return { prefix, fates };
}

/** A copy of a tree whose inodes are found by those of the original. */
export function copyTree(root: FolderInode, copies = new Map<Inode, Inode>()): FolderInode {
  const folder = newFolder();
  copies.set(root, folder);
  for (const [name, inode] of root.entries) {
    if (inode.kind === "folder") folder.entries.set(name, copyTree(inode, copies));
    else {
      const file = { ...newFile(), data: inode.data.slice(0, inode.size), size: inode.size };
      copies.set(inode, file);
      folder.entries.set(name, file);
    }
  }
  return folder;
}

/** A tree as it was, and by each inode of the tree what stands for it there. */
export interface Snapshot {
  root: FolderInode;
  inodes: Map<Inode, Inode>;
}

/** Keeps a tree as it is before a run changes it. */
export function snapshot(root: FolderInode): Snapshot {
  const inodes = new Map<Inode, Inode>();
  return { root: copyTree(root, inodes), inodes };
}

/** The tree after a crash: `before` is the tree at the log's beginning, all of it durable. */
export function treeAfter(before: Snapshot, log: readonly Change[], { prefix, fates }: Crash): FolderInode {
  const kept = new Map<Inode, Inode>();
  const root = copyTree(before.root, kept);
  const copies = new Map([...before.inodes].map(([inode, standIn]) => [inode, kept.get(standIn)!]));
  const fate = new Map(unsynced(log, prefix).map((i, k) => [i, fates[k]!]));
  const of = <T extends Inode>(inode: T): T => {
    if (!copies.has(inode)) copies.set(inode, inode.kind === "file" ? newFile() : newFolder());
    return copies.get(inode) as T;
  };
  for (let i = 0; i < prefix; i++) {
    const change = log[i]!;
    const became = fate.get(i) ?? "whole";
    if (became === "lost") continue;
    switch (change.what) {
      case "link":
      case "unlink":
        apply({ ...change, folder: of(change.folder), inode: of(change.inode) });
        break;
      case "rename":
        apply({ ...change, from: of(change.from), folder: of(change.folder), inode: of(change.inode) });
        break;
      case "truncate":
        cutFile(of(change.file), change.size);
        break;
      case "write": {
        const { at, bytes } = change, file = of(change.file);
        if (became === "whole") putBytes(file, at, bytes);
        else if (became === "zeros") putBytes(file, at, new Uint8Array(bytes.length));
        // Sectors are the file's and not the write's.
        else putBytes(file, at, bytes.subarray(0, Math.max(0, became * SECTOR - at % SECTOR)));
      }
    }
  }
  return root;
}

/** Adds all paths and bytes of a tree to a hash; those whose path `skip` matches are left out. */
export function hashTree(hash: Hash, root: FolderInode, skip: RegExp, path = ""): void {
  for (const name of [...root.entries.keys()].sort()) {
    const here = `${path}/${name}`, inode = root.entries.get(name)!;
    if (skip.test(here)) continue;
    hash.update(`${here}\0${inode.kind === "file" ? inode.size : inode.kind}\0`);
    if (inode.kind === "folder") hashTree(hash, inode, skip, here);
    else hash.update(inode.data.subarray(0, inode.size));
  }
}
