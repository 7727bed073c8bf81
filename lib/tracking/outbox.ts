/**
 * Between a run and its store: operations are queued and carried out in order, so that logging never waits for a server.
 *
 * While the store is away the queue lies in memory and is bounded; what is in it when the process ends is lost, and a
 * warning says so. A buffer on disk takes this file's place: it stores the same `TrackingOperation`s, and `deliver` gives
 * them to the store in the same way.
 */
import { WinnowError } from "../support/errors.ts";
import { deliver, type MetricEvent, type Tracker, TrackerAway, type TrackingOperation } from "./tracker.ts";

/** Most metric events that wait for a store that is away: 20 MB. */
const MAX_PENDING = 100_000;
/** Between two tries at a store that is away, in milliseconds. Each try of a server is five attempts. */
const PAUSE_MS = 15_000;
/** Most metric events of one delivery. */
const MAX_MERGED = 1000;

/** How an outbox behaves. */
export interface OutboxOptions {
  /** The store is away or back, has refused something, or events were lost. */
  onWarning(message: string): void;
  readonly maxPending?: number;
  readonly pause?: number;
}

/** Takes operations and carries them out later. */
export interface Outbox {
  /** Queues an operation; returns at once and never throws. */
  put(operation: TrackingOperation): void;
  /** Waits until the queue is empty, the store is found to be away, or so many milliseconds have passed. */
  settle(milliseconds: number): Promise<void>;
  /** Tries once more to carry out what is left, warns of what is lost, and closes the store. */
  close(): Promise<void>;
}

/** Opens an outbox in front of a store, which it closes in the end. */
export function openOutbox(tracker: Tracker, options: OutboxOptions): Outbox {
  const { onWarning, maxPending = MAX_PENDING, pause = PAUSE_MS } = options;
  const queue: TrackingOperation[] = [];
  const said = new Set<string>();
  let pending = 0, lost = 0, isAway = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<void> | undefined;

  const refused = (error: unknown) => {
    const message = error instanceof WinnowError
      ? `tracking: ${error.message}${error.remedy && `. ${error.remedy}`}`
      : `tracking: ${error}`;
    if (!said.has(message)) onWarning(message);
    said.add(message);
  };
  const goAway = ({ message }: TrackerAway) => {
    if (!isAway) onWarning(`${tracker.where} is away: ${message}. The run goes on, and what it logs waits in memory`);
    isAway = true;
    timer = setTimeout(start, pause);
    timer.unref(); // the process need not stay for it
  };
  const work = async () => {
    // A tick later, so that what is logged in one go is one delivery.
    await Promise.resolve();
    while (queue.length > 0) {
      const taken = queue.splice(0, mergeable(queue));
      try {
        await deliver(tracker, merged(taken));
      } catch (error) {
        if (error instanceof TrackerAway) {
          queue.unshift(...taken);
          goAway(error);
          break;
        }
        refused(error);
      }
      for (const operation of taken) pending -= eventsOf(operation).length;
      if (isAway) onWarning(`${tracker.where} is back`);
      isAway = false;
    }
    running = undefined;
  };
  const start = (): Promise<void> => {
    clearTimeout(timer);
    return running ??= work();
  };

  return {
    put(operation) {
      queue.push(operation);
      pending += eventsOf(operation).length;
      // The oldest go first: the newest say how the run is doing.
      while (pending > maxPending) {
        const oldest = queue.findIndex((one) => eventsOf(one).length > 0);
        if (oldest < 0) break;
        const dropped = eventsOf(queue.splice(oldest, 1)[0]!).length;
        pending -= dropped;
        lost += dropped;
      }
      if (!isAway) start();
    },
    async settle(milliseconds) {
      if (isAway || !running) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const limit = setTimeout(resolve, milliseconds);
      await Promise.race([running, promise]);
      clearTimeout(limit);
    },
    async close() {
      // What has just been tried in vain is not tried again: somebody waits for the command to end.
      await (running ?? (queue.length > 0 ? start() : undefined));
      clearTimeout(timer);
      if (lost > 0 || queue.length > 0) {
        onWarning(
          `${tracker.where} did not get ${lost + pending} metric values in ${queue.length} operations: ` +
            "they are lost there, and in the logs of the trials alone",
        );
      }
      await tracker[Symbol.asyncDispose]();
    },
  };
}

const eventsOf = (operation: TrackingOperation): readonly MetricEvent[] =>
  operation.type === "log" ? operation.batch.metrics ?? [] : [];

/** How many operations from the front of a queue are one delivery: metrics of one run go together. */
function mergeable(queue: readonly TrackingOperation[]): number {
  const first = queue[0]!;
  if (first.type !== "log") return 1;
  let events = eventsOf(first).length;
  const end = queue.findIndex((next, i) => {
    if (i === 0) return false;
    const isSame = next.type === "log" && next.batch.run_id === first.batch.run_id && !next.batch.params &&
      !next.batch.tags;
    return !isSame || (events += eventsOf(next).length) > MAX_MERGED;
  });
  return end < 0 ? queue.length : end;
}

function merged(operations: readonly TrackingOperation[]): TrackingOperation {
  const first = operations[0]!;
  if (first.type !== "log") return first;
  return { type: "log", batch: { ...first.batch, metrics: operations.flatMap(eventsOf) } };
}
