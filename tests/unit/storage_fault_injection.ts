/**
 * A process that dies at its n-th change to the file system, without dying: every operation from the n-th on fails, those
 * before it have happened. Running a scenario with n = 0, 1, 2, … visits every instant at which kill -9 can leave
 * something behind. A recursive removal counts as one operation per file.
 *
 * The trace of a run that was not cut tells what was synced before what.
 */
import { join } from "node:path";

/** Thrown by every operation after the cut. */
export class Killed extends Error {
  override name = "Killed";
}

/** One change to the file system, in order. */
export type Operation = {
  what: "create" | "write" | "sync" | "rename" | "mkdir" | "remove";
  path: string;
  to?: string;
};

/**
 * Runs `scenario` and lets `cutAt` operations happen. Only asynchronous functions of `Deno` are watched: lib/storage
 * uses no others.
 *
 * @returns whether it was cut, and the operations that happened.
 */
export async function runUntil(
  cutAt: number,
  scenario: () => Promise<void>,
): Promise<{ cut: boolean; trace: Operation[] }> {
  const trace: Operation[] = [];
  const paths = new WeakMap<Deno.FsFile, string>();
  let cut = false;
  const happen = (operation: Operation) => {
    if (trace.length >= cutAt) {
      cut = true;
      throw new Killed();
    }
    trace.push(operation);
  };
  const { open, rename, mkdir, remove } = Deno;
  const { write, sync } = Deno.FsFile.prototype;
  const removeEach = async (path: string) => {
    if ((await Deno.lstat(path)).isDirectory) {
      for (const entry of await Array.fromAsync(Deno.readDir(path))) await removeEach(join(path, entry.name));
    }
    happen({ what: "remove", path });
    await remove(path);
  };
  Object.assign(Deno, {
    open: async (path: string, options: Deno.OpenOptions) => {
      if (options.create) happen({ what: "create", path });
      const file = await open(path, options);
      paths.set(file, path);
      return file;
    },
    rename: (path: string, to: string) => {
      happen({ what: "rename", path, to });
      return rename(path, to);
    },
    mkdir: (path: string, options?: Deno.MkdirOptions) => {
      happen({ what: "mkdir", path });
      return mkdir(path, options);
    },
    remove: async (path: string, options?: Deno.RemoveOptions) => {
      if (options?.recursive) return await removeEach(path);
      await Deno.lstat(path);
      happen({ what: "remove", path });
      await remove(path);
    },
  });
  Deno.FsFile.prototype.write = function (data) {
    happen({ what: "write", path: paths.get(this)! });
    return write.call(this, data);
  };
  Deno.FsFile.prototype.sync = function () {
    happen({ what: "sync", path: paths.get(this)! });
    return sync.call(this);
  };
  try {
    await scenario();
  } catch (error) {
    if (!cut) throw error;
  } finally {
    Object.assign(Deno, { open, rename, mkdir, remove });
    Object.assign(Deno.FsFile.prototype, { write, sync });
  }
  return { cut, trace };
}
