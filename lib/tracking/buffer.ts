/**
 * Tracking operations on disk, in the order in which they were put there, while their store is away: a JSON lines file. A
 * value of a metric is a line `{run_id, metric, step, value, timestamp}`, anything else a line with its `type`.
 *
 * What is delivered is passed over, and the file goes when all of it is. How far it is delivered is not written down: a
 * file that a crash leaves is delivered from its beginning, which stores take as once (see outbox.ts).
 */
import { dirname } from "node:path";
import { diskFileSystem, type FileSystem, makeFoldersSync, wholeLineBytes } from "../support/file_system.ts";
import { type JsonLinesWriter, openJsonLines } from "../support/json_lines.ts";
import type { MetricEvent, TrackingOperation } from "./tracker.ts";

/** Bytes that are read at a time; a line may be longer. */
const CHUNK_BYTES = 256 << 10;

/** An operation that was read, and where the next one begins. */
export interface StoredOperation {
  readonly operation: TrackingOperation;
  /** Bytes from the file's beginning. */
  readonly end: number;
}

/** Operations on disk. */
export interface OperationBuffer {
  readonly path: string;
  /** Whether all that was appended is passed over. */
  readonly isEmpty: boolean;
  /** Bytes of the file, those that are passed over included. */
  readonly bytes: number;
  /** Appends an operation. @throws the file system's error; all of it is there, or the values before the one that failed */
  append(operation: TrackingOperation): void;
  /** What was appended is on the disk when this returns. @throws the file system's error */
  sync(): void;
  /** The next operations, at least one where it is not empty. What is not JSON is left out. */
  peek(): readonly StoredOperation[];
  /** Passes over what lies before `end`; the file goes when that is all. @throws the file system's error */
  advance(end: number): void;
  /** Lines that an earlier process has left and that are not JSON. */
  readonly unreadableLines: number;
  /** Closes the file, which stays if it is not empty. */
  close(): void;
}

/**
 * Opens the buffer at a path. The file is made with the first operation.
 *
 * @param onEvent is called with each value that an earlier process has left
 * @throws the file system's error where a file that is there cannot be read
 */
export function openOperationBuffer(
  path: string,
  onEvent: (event: MetricEvent) => void = () => {},
  fs: FileSystem = diskFileSystem,
): OperationBuffer {
  let size = wholeSize(fs, path), position = 0, unreadableLines = 0, isDirty = false;
  let writer: JsonLinesWriter | undefined;
  let parsed: StoredOperation[] = [];

  /** The lines from a position on, at least one where there is one. */
  const readFrom = (from: number): { operations: StoredOperation[]; end: number; unreadable: number } => {
    for (let length = CHUNK_BYTES;; length *= 4) {
      const bytes = fs.readSync(path, from, Math.min(length, size - from));
      const last = bytes.lastIndexOf(10);
      if (last < 0 && from + bytes.length < size) continue;
      const operations: StoredOperation[] = [];
      let unreadable = 0;
      for (let start = 0; start <= last;) {
        const stop = bytes.indexOf(10, start);
        const operation = parseLine(new TextDecoder().decode(bytes.subarray(start, stop)));
        start = stop + 1;
        if (operation) operations.push({ operation, end: from + start });
        else unreadable++;
      }
      return { operations, end: from + Math.max(0, last + 1), unreadable };
    }
  };
  for (let at = 0; at < size;) {
    const { operations, end, unreadable } = readFrom(at);
    unreadableLines += unreadable;
    for (const { operation } of operations) {
      if (operation.type === "log") operation.batch.metrics?.forEach(onEvent);
    }
    at = end;
  }

  const drop = () => {
    writer?.close();
    writer = undefined;
    fs.removeSync(path);
    size = position = 0;
    parsed = [];
    isDirty = false;
  };
  const buffer: OperationBuffer = {
    path,
    get isEmpty() {
      return position >= size;
    },
    get bytes() {
      return size;
    },
    unreadableLines,
    append(operation) {
      if (writer === undefined) {
        makeFoldersSync(dirname(path), fs);
        writer = openJsonLines(path, fs);
      }
      for (const line of linesOf(operation)) {
        size += writer.write(line);
        isDirty = true;
      }
    },
    sync() {
      if (isDirty) writer?.sync();
      isDirty = false;
    },
    peek() {
      while (parsed.length === 0 && position < size) {
        const { operations, end } = readFrom(position);
        parsed = operations;
        // Nothing but lines that cannot be read.
        if (operations.length === 0) position = end;
      }
      return parsed;
    },
    advance(end) {
      position = Math.max(position, end);
      parsed = parsed.filter((one) => one.end > position);
      if (position >= size && size > 0) drop();
    },
    close() {
      if (buffer.isEmpty && size > 0) drop();
      writer?.close();
      writer = undefined;
    },
  };
  return buffer;
}

/** Bytes of the whole lines of a file, 0 where there is none. */
function wholeSize(fs: FileSystem, path: string): number {
  try {
    return wholeLineBytes(fs, path, fs.statusSync(path).size);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

/** Values first, as a store takes them. */
function linesOf(operation: TrackingOperation): unknown[] {
  if (operation.type !== "log") return [operation];
  const { metrics = [], ...rest } = operation.batch;
  const values = metrics.map(({ run_id, metric, step, value, timestamp }) => ({
    ...{ run_id, metric, step },
    value: Number.isFinite(value) ? value : String(value),
    timestamp,
  }));
  return rest.tags || rest.params ? [...values, { type: "log", batch: rest }] : values;
}

function parseLine(line: string): TrackingOperation | undefined {
  let found;
  try {
    found = JSON.parse(line);
  } catch {
    return undefined; // what a crash of the machine has left of it
  }
  if (typeof found?.type === "string") return found;
  if (typeof found?.run_id !== "string") return undefined;
  return { type: "log", batch: { run_id: found.run_id, metrics: [{ ...found, value: Number(found.value) }] } };
}
