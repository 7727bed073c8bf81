/**
 * A log file that grows for as long as a study runs: a new one begins each day (UTC) and at a size, and the last few old
 * ones are kept as `training.2026-01-31.001.jsonl`. Several processes may append to one file. Nothing is dropped: a line
 * that meets a rotation is in the old file or the new one, and what a full disk refuses waits in memory.
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join, parse } from "node:path";

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
}

/** A log file open for appending. */
export interface LogFile {
  /** Appends text that ends with a line break. @throws the file system's error, but for a full disk */
  append(text: string): void;
  /** Writes what waits, and closes. @returns bytes that a full disk has refused to the end */
  close(): number;
}

const dayOf = (date: Date) => date.toISOString().slice(0, 10);
const isFull = (error: unknown) => ["ENOSPC", "EDQUOT"].includes((error as { code?: string }).code ?? "");

/** A full file of a log: its day and its number on that day. */
interface Rotated {
  readonly path: string;
  readonly day: string;
  readonly n: number;
}

function listRotated(path: string): Rotated[] {
  const { dir, name, ext } = parse(path);
  return readdirSync(dir || ".").flatMap((one) => {
    if (!one.startsWith(`${name}.`) || !one.endsWith(ext)) return [];
    const middle = one.slice(name.length + 1, one.length - ext.length);
    const [, day, n] = /^(\d{4}-\d{2}-\d{2})\.(\d{3,12})$/.exec(middle) ?? [];
    return day === undefined ? [] : [{ path: join(dir, one), day, n: Number(n) }];
  }).sort((a, b) => a.day < b.day ? -1 : a.day > b.day ? 1 : a.n - b.n);
}

/** The full files of a log, oldest first; the one that is written to is not among them. */
export const rotatedFiles = (path: string): string[] => listRotated(path).map((one) => one.path);

/** Opens a log file for appending, creating it where it is missing. A last line that a crash has torn is taken off. */
export function openLogFile(path: string, options: LogFileOptions = {}): LogFile {
  const { limits = LOG_LIMITS, now = () => new Date(), onFull } = options;
  let file = openSync(path, "a+");
  locked(path, () => dropTornLine(file));
  let { ino, size, mtime } = fstatSync(file);
  /** The day of the last line. */
  let day = size > 0 ? dayOf(mtime) : dayOf(now());
  /** Bytes to write, and how many of the first are written. */
  const waiting: Uint8Array[] = [];
  let written = 0, waitingBytes = 0;

  const reopen = () => {
    closeSync(file);
    file = openSync(path, "a+");
    ({ ino, size, mtime } = fstatSync(file));
    day = size > 0 ? dayOf(mtime) : dayOf(now());
  };
  const isCurrent = () => {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found) size = found.size;
    return found?.ino === ino;
  };
  const isDue = (bytes: number) => size > 0 && (day !== dayOf(now()) || size + bytes > limits.maxBytes);
  const rotate = (bytes: number) =>
    locked(path, () => {
      // Another process may have been faster.
      if (!isCurrent()) reopen();
      if (!isDue(bytes)) return;
      const { dir, name, ext } = parse(path);
      const n = 1 + Math.max(0, ...listRotated(path).filter((one) => one.day === day).map((one) => one.n));
      renameSync(path, join(dir, `${name}.${day}.${String(n).padStart(3, "0")}${ext}`));
      reopen();
      for (const old of rotatedFiles(path).toReversed().slice(limits.keep)) unlinkSync(old);
    });
  const flush = () => {
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      while (written < first.length) {
        const before = fstatSync(file).size;
        try {
          written += writeSync(file, first, written);
        } catch (error) {
          // A write that fails may have begun: the rest belongs behind what is there.
          written += Math.min(first.length - written, Math.max(0, fstatSync(file).size - before));
          throw error;
        } finally {
          size = fstatSync(file).size;
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
        if (!isFull(error) || waitingBytes > MAX_WAITING_BYTES) throw error;
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
      closeSync(file);
      return waitingBytes;
    },
  };
}

/** Runs `body` while no other process rotates in this folder. */
function locked(path: string, body: () => void): void {
  using folder = Deno.openSync(dirname(path) || ".", { read: true });
  folder.lockSync(true);
  body();
}

/** Takes off what follows the last line break: a process that was killed wrote it, in part. */
function dropTornLine(file: number): void {
  const { size } = fstatSync(file);
  const chunk = new Uint8Array(64 * 1024);
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - chunk.length);
    const count = readSync(file, chunk, 0, end - start, start);
    const last = chunk.subarray(0, count).lastIndexOf(10);
    if (last >= 0) return start + last + 1 < size ? ftruncateSync(file, start + last + 1) : undefined;
    end = start;
  }
  if (size > 0) ftruncateSync(file, 0);
}
