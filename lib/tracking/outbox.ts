/**
 * Between a run and its store: operations are queued and carried out in order, so that logging never waits for a server,
 * and wait on disk while it is away, so that nothing is lost.
 *
 * Each value arrives once. What is delivered twice has the same timestamp, and stores keep it once. What is computed twice,
 * by a run that was killed and resumed, has another: a value whose (run, metric, step) was put before, by this process
 * or into the buffer by an earlier one, is left out here; and before a run's first values are delivered its store is
 * asked which steps it has already.
 */
import { WinnowError } from "../support/errors.ts";
import type { OperationBuffer } from "./buffer.ts";
import { metricKey } from "./limits.ts";
import { isForPerson } from "./mlflow_http.ts";
import { deliver, type MetricEvent, type Tracker, TrackerAway, type TrackingOperation } from "./tracker.ts";

/** Between two tries at a store that is away, in milliseconds. Each try of a server is five attempts. */
const PAUSE_MS = 15_000;
/** The same where a person has to do something first, such as renew a token. */
const PERSON_PAUSE_MS = 300_000;
/** Most values of one delivery. */
const MAX_MERGED = 1000;
/** Bytes of a buffer that are worth a warning. */
const LARGE_BYTES = 100e6;

/** How an outbox behaves. */
export interface OutboxOptions {
  /** Where operations wait while the store is away; closed with the outbox. */
  readonly buffer: OperationBuffer;
  /** Steps by run and metric that the buffer holds of an earlier process. */
  readonly buffered?: SeenSteps;
  /** The store is away or back, has refused something, or the buffer is large or damaged. */
  onWarning(message: string): void;
  /** What brings the store what still waits when the command has ended. */
  readonly remedy?: string;
  /** Milliseconds between two tries at a store that is away. */
  readonly pause?: number;
  /** The same where a person has to do something first. */
  readonly personPause?: number;
}

/** Takes operations and carries them out later. */
export interface Outbox {
  /** Queues an operation; returns at once and never throws. Values at steps that the run has already are left out. */
  put(operation: TrackingOperation): void;
  /**
   * Waits until all that was put before is in the store, or after so many milliseconds on disk; at once on disk where the
   * store is known to be away or behind. `insist` tries it all the same, and waits for what is put meanwhile too.
   */
  secure(milliseconds: number, options?: { insist?: boolean }): Promise<void>;
  /** Secures what is left within so many milliseconds, tells what still waits, and closes store and buffer. */
  close(milliseconds?: number): Promise<void>;
}

/** Steps by run and `metricKey`. */
export type SeenSteps = Map<string, Map<string, Set<number>>>;

/** Notes a value. @returns whether it is new */
export function noteStep(seen: SeenSteps, { run_id, metric, step }: MetricEvent): boolean {
  const key = metricKey(metric);
  const metrics = seen.get(run_id) ?? new Map<string, Set<number>>();
  const steps = metrics.get(key) ?? new Set();
  if (steps.has(step)) return false;
  seen.set(run_id, metrics.set(key, steps.add(step)));
  return true;
}

/** What is on its way to the store: the first operations of the buffer or of the queue. */
interface Delivery {
  readonly operations: readonly TrackingOperation[];
  /** How many of them the queue still has; the others are in the buffer, up to `end`. */
  queued: number;
  end: number;
}

/** Opens an outbox in front of a store, which it closes in the end. What the buffer holds is delivered first. */
export function openOutbox(tracker: Tracker, options: OutboxOptions): Outbox {
  const { buffer, onWarning, pause = PAUSE_MS, personPause = PERSON_PAUSE_MS, remedy } = options;
  const seen: SeenSteps = options.buffered ?? new Map();
  /** Steps that the store had of a run before this process sent it any. */
  const had = new Map<string, ReadonlyMap<string, ReadonlySet<number>>>();
  const queue: TrackingOperation[] = [];
  const said = new Set<string>();
  let isAway = false, isClosed = false, isLarge = false;
  /** Operations that were taken so far, and how many of them have left the queue. */
  let taken = 0, left = 0;
  let progress = Promise.withResolvers<void>();
  let current: Delivery | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<void> | undefined;

  const sayOnce = (message: string) => {
    if (!said.has(message)) onWarning(message);
    said.add(message);
  };
  const describe = (error: unknown) =>
    error instanceof WinnowError ? `${error.message}${error.remedy && `. ${error.remedy}`}` : String(error);

  /** Moves the queue to the disk; what a full disk refuses stays in it. */
  const spill = () => {
    while (queue.length > 0) {
      try {
        buffer.append(queue[0]!);
      } catch (error) {
        sayOnce(`${buffer.path} cannot be written, so what ${tracker.where} does not get waits in memory: ${error}`);
        return;
      }
      queue.shift();
      left++;
      if (current && current.queued > 0) {
        current.queued--;
        current.end = buffer.bytes;
      }
    }
    if (buffer.bytes < LARGE_BYTES || isLarge) return;
    isLarge = true;
    onWarning(
      `${buffer.path} has ${(buffer.bytes / 1e6).toFixed(0)} MB of values that ${tracker.where} has not got yet; ` +
        "it grows until that is there again",
    );
  };
  const goAway = (reason: string, wait: number) => {
    if (!isAway) {
      onWarning(`${tracker.where} is away: ${reason}. The run goes on, and what it logs waits in ${buffer.path}`);
    }
    isAway = true;
    timer = setTimeout(start, wait);
    timer.unref(); // the process need not stay for it
    spill();
  };
  const next = (): Delivery | undefined => {
    if (!buffer.isEmpty) {
      const stored = buffer.peek();
      const count = mergeable(stored.map(({ operation }) => operation));
      if (count > 0) {
        const taken = stored.slice(0, count);
        return { operations: taken.map(({ operation }) => operation), queued: 0, end: taken.at(-1)!.end };
      }
      buffer.advance(buffer.bytes); // nothing in it could be read
    }
    const operations = queue.slice(0, mergeable(queue));
    return operations.length > 0 ? { operations, queued: operations.length, end: 0 } : undefined;
  };
  /** Leaves out what the store had before. */
  const send = async (operation: TrackingOperation) => {
    if (operation.type !== "log" || !operation.batch.metrics) return await deliver(tracker, operation);
    const { run_id } = operation.batch;
    if (!had.has(run_id)) had.set(run_id, await tracker.loggedSteps(run_id));
    const known = had.get(run_id)!;
    const metrics = operation.batch.metrics.filter(({ metric, step }) => !known.get(metricKey(metric))?.has(step));
    await deliver(tracker, { type: "log", batch: { ...operation.batch, metrics } });
  };
  const work = async () => {
    // A tick later, so that what is logged in one go is one delivery.
    await Promise.resolve();
    for (current = next(); current && !isClosed; current = next()) {
      try {
        await send(merged(current.operations));
      } catch (error) {
        if (isClosed) break;
        if (error instanceof TrackerAway || isForPerson(error)) {
          if (error instanceof TrackerAway) goAway(error.message, pause);
          else goAway(describe(error), personPause);
          break;
        }
        sayOnce(`tracking: ${describe(error)}`);
      }
      for (const one of current.operations) if (one.type === "end") had.delete(one.end.run_id);
      queue.splice(0, current.queued);
      left += current.queued;
      progress.resolve();
      progress = Promise.withResolvers();
      if (current.end > 0) buffer.advance(current.end);
      if (isAway) onWarning(`${tracker.where} is back`);
      isAway = isLarge = false;
    }
    current = undefined;
    running = undefined;
  };
  const start = (): Promise<void> => {
    clearTimeout(timer);
    return running ??= work().catch((error) => {
      // The buffer cannot be read or removed.
      current = running = undefined;
      if (!isClosed) goAway(String(error), pause);
    });
  };
  const secure: Outbox["secure"] = async (milliseconds, { insist = false } = {}) => {
    if (insist && isAway) start();
    const before = taken;
    const { promise, resolve } = Promise.withResolvers<void>();
    let isLate = false;
    const limit = setTimeout(() => {
      isLate = true;
      resolve();
    }, milliseconds);
    // Training goes on putting: what comes after the call is not waited for, or there would be no end.
    const isWaiting = () => insist || (left < before && !isAway && buffer.isEmpty);
    while (running && !isLate && isWaiting()) {
      await Promise.race([insist ? running : progress.promise, running, promise]);
    }
    clearTimeout(limit);
    if (insist || left < before) spill();
    try {
      buffer.sync();
    } catch (error) {
      sayOnce(`${buffer.path} cannot be written: ${error}`);
    }
  };

  if (buffer.unreadableLines > 0) {
    onWarning(
      `${buffer.unreadableLines} line(s) of ${buffer.path} cannot be read, as a crash of the machine leaves them: ` +
        `${tracker.where} will not get them, and their values are in the trials' logs alone`,
    );
  }
  if (!buffer.isEmpty) start();
  return {
    put(operation) {
      if (operation.type === "log" && operation.batch.metrics) {
        const { metrics, ...rest } = operation.batch;
        const fresh = metrics.filter((event) => noteStep(seen, event));
        if (fresh.length === 0 && !rest.params && !rest.tags) return;
        operation = { type: "log", batch: { ...rest, ...(fresh.length > 0 ? { metrics: fresh } : {}) } };
      }
      if (operation.type === "end") seen.delete(operation.end.run_id);
      queue.push(operation);
      taken++;
      if (isAway) spill();
      else start();
    },
    secure,
    async close(milliseconds = 10_000) {
      // What has just been tried in vain is tried once more, but not for long: somebody waits for the command to end.
      await secure(milliseconds, { insist: true });
      isClosed = true;
      clearTimeout(timer);
      const lost = queue.flatMap(eventsOf).length;
      if (queue.length > 0) {
        onWarning(
          `${tracker.where} did not get ${lost} values, and the disk is full: they are in the trials' logs alone`,
        );
      }
      if (!buffer.isEmpty) {
        onWarning(
          `${tracker.where} has not got everything yet: what is left waits in ${buffer.path}` +
            (remedy ? `. ${remedy}` : ""),
        );
      }
      buffer.close();
      await tracker[Symbol.asyncDispose]();
    },
  };
}

const eventsOf = (operation: TrackingOperation): readonly MetricEvent[] =>
  operation.type === "log" ? operation.batch.metrics ?? [] : [];

/** How many operations from the front are one delivery: metrics of one run go together. */
function mergeable(operations: readonly TrackingOperation[]): number {
  const first = operations[0];
  if (first === undefined || first.type !== "log") return Math.min(1, operations.length);
  let events = eventsOf(first).length;
  const end = operations.findIndex((next, i) => {
    if (i === 0) return false;
    const isSame = next.type === "log" && next.batch.run_id === first.batch.run_id && !next.batch.params &&
      !next.batch.tags;
    return !isSame || (events += eventsOf(next).length) > MAX_MERGED;
  });
  return end < 0 ? operations.length : end;
}

/** One operation, its values in the order of time and then of steps, each once. */
function merged(operations: readonly TrackingOperation[]): TrackingOperation {
  const first = operations[0]!;
  if (first.type !== "log") return first;
  const events = new Map(
    operations.flatMap(eventsOf).map((event) => [`${event.metric} ${event.step} ${event.timestamp}`, event]),
  );
  if (events.size === 0) return first;
  const metrics = [...events.values()].sort((a, b) => a.timestamp - b.timestamp || a.step - b.step);
  return { type: "log", batch: { ...first.batch, metrics } };
}
