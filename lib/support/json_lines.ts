/**
 * JSON lines: one object a line, appended, readable while it is written and after a crash.
 *
 * A crash of the machine may leave any part of what was not synced: a last line without its end, which is cut off when
 * the file is opened again, and holes of zero bytes, whose lines a reader leaves out. What was synced is whole.
 */

import { dirname } from "node:path";
import { diskFileSystem, type FileSystem, wholeLineBytes, type WritableFile, writeAllSync } from "./file_system.ts";

/** A JSON lines file open for appending. */
export interface JsonLinesWriter {
  /**
   * Appends one object. A line that could not be written to its end is taken out again, so that the next one is not glued
   * to it.
   *
   * @returns how many bytes its line has
   * @throws the file system's error, such as ENOSPC
   */
  write(object: unknown): number;
  /** What was written is on the disk when this returns. */
  sync(): void;
  /** Closes the file. */
  close(): void;
}

/** The size of a file, or null where there is none. */
function sizeOf(fs: FileSystem, path: string): number | null {
  try {
    return fs.statusSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Opens a JSON lines file for appending, creating it where it is missing. A torn last line is cut off. */
export function openJsonLines(path: string, fs: FileSystem = diskFileSystem): JsonLinesWriter {
  const found = sizeOf(fs, path);
  let size = found === null ? 0 : wholeLineBytes(fs, path, found);
  if (found !== null && size < found) fs.truncateSync(path, size);
  const file: WritableFile = fs.openSync(path, "append");
  // A file whose name is not on the disk is lost whole, however well its lines are synced.
  if (found === null) fs.syncFolderSync(dirname(path));
  // The cut comes to the disk before what follows it.
  if (found !== null && size < found) file.syncSync();
  let isTorn = false;
  return {
    write(object) {
      // Only where the attempt below was refused as well.
      if (isTorn) fs.truncateSync(path, size);
      isTorn = false;
      const bytes = new TextEncoder().encode(JSON.stringify(object) + "\n");
      try {
        writeAllSync(file, bytes);
        size += bytes.length;
        return bytes.length;
      } catch (error) {
        try {
          fs.truncateSync(path, size);
        } catch {
          isTorn = true;
        }
        throw error;
      }
    },
    sync: () => file.syncSync(),
    close: () => file.close(),
  };
}

/**
 * The objects of a JSON lines file in order. A last line without its line break was torn by a crash and is left out, and
 * so are lines with zero bytes, which stand for what never came to the disk: JSON has none.
 *
 * @throws SyntaxError naming the line where any other line is not JSON
 */
export function readJsonLines(path: string, fs: FileSystem = diskFileSystem): unknown[] {
  const lines = new TextDecoder().decode(fs.readSync(path)).split("\n");
  lines.pop();
  return lines.flatMap((line, i) => {
    if (line === "" || line.includes("\0")) return [];
    try {
      return [JSON.parse(line)];
    } catch (error) {
      throw new SyntaxError(`${path}:${i + 1}: ${(error as Error).message}`);
    }
  });
}
