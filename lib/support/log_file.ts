/**
 * A log file that grows for as long as a study runs: a new one begins each day (UTC) and at a size, and the last few old
 * ones are kept as `training.2026-01-31.001.jsonl`. Several processes may append to one file. Nothing is dropped: a line
 * that meets a rotation is in the old file or the new one, and what a full disk refuses waits in memory.
 */
import { dirname, join, parse } from "node:path";
import { isDiskFull } from "./errors.ts";
import { diskFileSystem, type FileSystem, wholeLineBytes, type WritableFile } from "./file_system.ts";

/** When a file is full, and how many full ones are kept. */
export interface LogLimits {
  readonly maxBytes: number;
  readonly keep: number;
}

/** A day or 1 GB to a file, and the last 14. */
export const LOG_LIMITS: LogLimits = { maxBytes: 1e9, keep: 14 };

/** What a full disk may make wait; beyond that the error is thrown. */
const MAX_WAITING_BYTES = 16 * 2 ** 20;

/** What may be given. */
export interface LogFileOptions {
  readonly limits?: LogLimits;
  readonly now?: () => Date;
  /** Called when the disk is full, to make room; the line is tried again then. */
  readonly onFull?: () => void;
  /** Where it is written; the disk if not given. */
  readonly fs?: FileSystem;
}

/** A log file open for appending. */
export interface LogFile {
  /** Appends text that ends with a line break. @throws the file system's error, but for a full disk */
  append(text: string): void;
  /** Writes what waits, and closes. @returns bytes that a full disk has refused to the end */
  close(): number;
}

const dayOf = (date: Date) => date.toISOString().slice(0, 10);

/** A full file of a log: its day and its number on that day. */
interface Rotated {
  readonly path: string;
  readonly day: string;
  readonly n: number;
}

function listRotated(path: string, fs: FileSystem): Rotated[] {
  const { dir, name, ext } = parse(path);
  return fs.listSync(dir || ".").flatMap(({ name: one }) => {
    if (!one.startsWith(`${name}.`) || !one.endsWith(ext)) return [];
    const middle = one.slice(name.length + 1, one.length - ext.length);
    const [, day, n] = /^(\d{4}-\d{2}-\d{2})\.(\d{3,12})$/.exec(middle) ?? [];
    return day === undefined ? [] : [{ path: join(dir, one), day, n: Number(n) }];
  }).sort((a, b) => a.day < b.day ? -1 : a.day > b.day ? 1 : a.n - b.n);
}

/** The full files of a log, oldest first; the one that is written to is not among them. */
export const rotatedFiles = (path: string, fs: FileSystem = diskFileSystem): string[] =>
  listRotated(path, fs).map((one) => one.path);

/** Opens a log file for appending, creating it where it is missing. A last line that a crash has torn is taken off. */
export function openLogFile(path: string, options: LogFileOptions = {}): LogFile {
  const { limits = LOG_LIMITS, now = () => new Date(), onFull, fs = diskFileSystem } = options;
  let file: WritableFile = fs.openSync(path, "append");
  locked(path, fs, () => {
    const { size } = fs.statusSync(path);
    const whole = wholeLineBytes(fs, path, size);
    if (whole < size) fs.truncateSync(path, whole);
  });
  let { identity, size, modified } = fs.statusSync(path);
  /** The day of the last line. */
  let day = size > 0 ? dayOf(modified) : dayOf(now());
  /** Bytes to write, and how many of the first are written. */
  const waiting: Uint8Array[] = [];
  let written = 0, waitingBytes = 0;

  const reopen = () => {
    file.close();
    file = fs.openSync(path, "append");
    ({ identity, size, modified } = fs.statusSync(path));
    day = size > 0 ? dayOf(modified) : dayOf(now());
  };
  const isCurrent = () => {
    try {
      const found = fs.statusSync(path);
      size = found.size;
      return found.identity === identity;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  };
  const isDue = (bytes: number) => size > 0 && (day !== dayOf(now()) || size + bytes > limits.maxBytes);
  const rotate = (bytes: number) =>
    locked(path, fs, () => {
      // Another process may have been faster.
      if (!isCurrent()) reopen();
      if (!isDue(bytes)) return;
      const { dir, name, ext } = parse(path);
      const n = 1 + Math.max(0, ...listRotated(path, fs).filter((one) => one.day === day).map((one) => one.n));
      fs.renameSync(path, join(dir, `${name}.${day}.${String(n).padStart(3, "0")}${ext}`));
      reopen();
      for (const old of rotatedFiles(path, fs).toReversed().slice(limits.keep)) fs.removeSync(old);
    });
  const flush = () => {
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      while (written < first.length) {
        const before = file.sizeSync();
        try {
          written += file.writeSync(first.subarray(written));
        } catch (error) {
          // A write that fails may have begun: the rest belongs behind what is there.
          written += Math.min(first.length - written, Math.max(0, file.sizeSync() - before));
          throw error;
        } finally {
          size = file.sizeSync();
        }
      }
      waiting.shift();
      waitingBytes -= first.length;
      written = 0;
    }
  };
  const flushOrWait = () => {
    for (let tries = 0;; tries++) {
      try {
        return flush();
      } catch (error) {
        if (!isDiskFull(error) || waitingBytes > MAX_WAITING_BYTES) throw error;
        if (tries > 0) return;
        onFull?.();
      }
    }
  };
  return {
    append(text) {
      const bytes = new TextEncoder().encode(text);
      if (waiting.length === 0) {
        // A torn line must end in the file that it began in.
        if (!isCurrent()) reopen();
        if (isDue(bytes.length)) rotate(bytes.length);
        day = dayOf(now());
      }
      waiting.push(bytes);
      waitingBytes += bytes.length;
      flushOrWait();
    },
    close() {
      flushOrWait();
      file.close();
      return waitingBytes;
    },
  };
}

/** Runs `body` while no other process rotates in this folder. */
function locked(path: string, fs: FileSystem, body: () => void): void {
  using _lock = fs.lockFolderSync(dirname(path) || ".");
  body();
}
