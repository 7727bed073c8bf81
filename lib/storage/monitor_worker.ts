/** The worker of monitor.ts: reads how full the disk is, at once and then every so often. */
import { statfs } from "node:fs/promises";
import type { MonitorMessage, MonitorReading, MonitorTask } from "./monitor.ts";

// Not imported from monitor.ts: that starts this file.
const CRITICAL = 0, READINGS = 1;

const worker = self as unknown as {
  onmessage: ((event: MessageEvent<MonitorTask>) => void) | null;
  postMessage(message: MonitorMessage): void;
};

worker.onmessage = ({ data: { folder, intervalMs, infoMs, thresholdPercent, shared } }) => {
  const state = new Int32Array(shared);
  let told: { level: MonitorReading["level"] | "unknown"; at: number } | undefined;
  const tell = (level: MonitorReading["level"] | "unknown", message: MonitorMessage) => {
    const now = performance.now();
    if (told && told.level === level && now - told.at < infoMs) return;
    told = { level, at: now };
    worker.postMessage(message);
  };
  const read = async () => {
    try {
      const { bavail, blocks, bsize } = await statfs(folder);
      const percent = 100 * bavail / blocks;
      Atomics.store(state, CRITICAL, percent < thresholdPercent ? 1 : 0);
      const level = percent < thresholdPercent / 2 ? "ERROR" : percent < thresholdPercent ? "WARNING" : "INFO";
      tell(level, { level, freeBytes: bavail * bsize, totalBytes: blocks * bsize });
    } catch (error) {
      tell("unknown", { failure: error instanceof Error ? error.message : String(error) });
    }
    Atomics.add(state, READINGS, 1);
    setTimeout(read, intervalMs);
  };
  read();
};
