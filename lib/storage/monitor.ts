/**
 * Watches the free space of the experiments folder from a worker of its own, so that neither a long step nor a save delays
 * it. It only watches. What it found stands in shared memory: whoever saves reads a number there and waits for no
 * message. Messages carry what is to be logged, and nothing depends on them.
 */
import { resolve } from "node:path";
import { formatBytes } from "./free_space.ts";

/** What is watched and how often. */
export interface MonitorOptions {
  readonly folder: string;
  readonly intervalSeconds: number;
  /** Below this share of the disk free it is critical; below half of it an error. */
  readonly thresholdPercent: number;
  /** Seconds between two readings that are told without a cause; 600 unless given. */
  readonly infoSeconds?: number;
  onReading(reading: MonitorReading): void;
}

/** A reading worth telling: the first, every ten minutes, and each that changes the level. */
export interface MonitorReading {
  readonly level: "INFO" | "WARNING" | "ERROR";
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly message: string;
}

/** A monitor at work. */
export interface Monitor extends Disposable {
  /** Whether the last reading was below the threshold. */
  isCritical(): boolean;
  /** Readings so far. */
  readings(): number;
}

/** Places in the shared memory, of 32 bits each. */
const CRITICAL = 0, READINGS = 1, PLACES = 2;

/** What the worker is sent once. */
export interface MonitorTask {
  readonly folder: string;
  readonly intervalMs: number;
  readonly infoMs: number;
  readonly thresholdPercent: number;
  readonly shared: SharedArrayBuffer;
}

/** What the worker tells. */
export type MonitorMessage = Pick<MonitorReading, "level" | "freeBytes" | "totalBytes"> | { readonly failure: string };

/** Starts watching; disposing of the result ends it. */
export function startMonitor(options: MonitorOptions): Monitor {
  const { intervalSeconds, thresholdPercent, infoSeconds = 600, onReading } = options;
  const folder = resolve(options.folder);
  const shared = new SharedArrayBuffer(4 * PLACES);
  const state = new Int32Array(shared);
  // It reads how full a disk is, and can do nothing else. (deno.json names the unstable feature, worker-options.)
  const confined: WorkerOptions & { deno: object } = {
    type: "module",
    name: "storage monitor",
    deno: { permissions: { read: [folder], sys: ["statfs"] } },
  };
  const worker = new Worker(new URL("./monitor_worker.ts", import.meta.url), confined);
  worker.onmessage = ({ data }: MessageEvent<MonitorMessage>) => {
    if ("failure" in data) {
      onReading({ level: "WARNING", freeBytes: NaN, totalBytes: NaN, message: `free space unknown: ${data.failure}` });
    } else onReading({ ...data, message: describe(data, folder, thresholdPercent) });
  };
  worker.onerror = (event) => {
    event.preventDefault();
    onReading({
      level: "WARNING",
      freeBytes: NaN,
      totalBytes: NaN,
      message: `the storage monitor ended: ${event.message}`,
    });
  };
  const task: MonitorTask = {
    folder,
    intervalMs: 1000 * intervalSeconds,
    infoMs: 1000 * infoSeconds,
    thresholdPercent,
    shared,
  };
  worker.postMessage(task);
  return {
    isCritical: () => Atomics.load(state, CRITICAL) === 1,
    readings: () => Atomics.load(state, READINGS),
    [Symbol.dispose]: () => worker.terminate(),
  };
}

function describe(
  { level, freeBytes, totalBytes }: Pick<MonitorReading, "level" | "freeBytes" | "totalBytes">,
  folder: string,
  thresholdPercent: number,
): string {
  const free = `${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} free (${
    (100 * freeBytes / totalBytes).toFixed(1)
  }%) for ${folder}`;
  if (level === "INFO") return free;
  const least = level === "ERROR" ? thresholdPercent / 2 : thresholdPercent;
  return `${free}, below ${least}%: checkpoints are kept to the least; free some space, or see \`deno task cleanup\``;
}
