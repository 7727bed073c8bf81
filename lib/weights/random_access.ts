/** Reads any part of a weights file, which is bytes from a stranger, and words what is wrong with it. */
import { inputError, type WinnowError } from "../support/errors.ts";

/** Bytes that one call of the operating system is asked for at most. */
const READ_BYTES = 1 << 20;

/** A file open for reading here and there. */
export interface RandomAccess {
  readonly path: string;
  /** The format's name, for messages. */
  readonly format: string;
  /** Bytes when it was opened. */
  readonly size: number;
  /**
   * Fills `bytes` from a position of the file.
   *
   * @param what what the bytes are, for the message when the file ends before
   */
  read(position: number, bytes: Uint8Array, what: string): void;
  /** The refusal of this file. */
  refuse(reason: string, cause?: unknown): WinnowError;
  /** May be called again. */
  close(): void;
}

/** The refusal of a file that is not what its name says. */
export function refuseFile(path: string, format: string, reason: string, cause?: unknown): WinnowError {
  return inputError(`${path} is not a sound ${format} file: ${reason}`, "Fetch or write the file again", { cause });
}

/** A name from a file, fit for a terminal: no control characters, none that turn the line round, and not long. */
export function quote(name: string): string {
  return JSON.stringify(name.slice(0, 200)).replaceAll(
    /[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Opens a regular file; pipes and devices, which could block or never end, are not touched.
 *
 * @throws an input error when there is no such file, or it is a stand-in that Git LFS left
 */
export function openRandomAccess(path: string, format: string): RandomAccess {
  if (!isFile(path)) {
    throw exists(path)
      ? inputError(`${path} is not a file`, `Name a ${format} file`)
      : inputError(`There is no file ${path}`, "Check the model's folder");
  }
  const file = Deno.openSync(path);
  let open = true;
  const close = () => {
    if (open) file.close();
    open = false;
  };
  try {
    const { size } = file.statSync();
    const refuse = (reason: string, cause?: unknown) => refuseFile(path, format, reason, cause);
    const read = (position: number, bytes: Uint8Array, what: string) => {
      if (readAt(file, position, bytes) < bytes.length) throw refuse(`it ends inside ${what}`);
    };
    checkNoPointer(file, path, size);
    return { path, format, size, read, refuse, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Whether there is a regular file, or a link to one. */
export function isFile(path: string): boolean {
  return statIfThere(path)?.isFile ?? false;
}

function exists(path: string): boolean {
  return statIfThere(path) !== undefined;
}

function statIfThere(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}

/** Fills `bytes` from a position of the file, as far as the file goes; returns how far that was. */
function readAt(file: Deno.FsFile, position: number, bytes: Uint8Array): number {
  file.seekSync(position, Deno.SeekMode.Start);
  let filled = 0;
  while (filled < bytes.length) {
    const read = file.readSync(bytes.subarray(filled, filled + READ_BYTES));
    if (read === null) break;
    filled += read;
  }
  return filled;
}

/** A repository cloned without Git LFS holds a note of 130 bytes in place of each large file. */
function checkNoPointer(file: Deno.FsFile, path: string, size: number): void {
  if (size > 1024) return;
  const start = new Uint8Array(Math.min(size, 43));
  readAt(file, 0, start);
  if (new TextDecoder().decode(start) !== "version https://git-lfs.github.com/spec/v1\n") return;
  throw inputError(
    `${path} holds no weights, only the note that Git LFS puts in their place`,
    "Run `git lfs pull` in the repository",
  );
}
