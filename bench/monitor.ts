/**
 * CPU time of the storage monitor: `deno task bench:monitor [--json]`. It reads a thousand times as often as it does in a
 * study; what that takes more than a worker that waits, by reading, is taken for the readings of 60 seconds.
 */
import process from "node:process";
import { startMonitor } from "../lib/storage/monitor.ts";

const SECONDS = 10, INTERVAL = 0.06, DEFAULT_INTERVAL = 60;

/** CPU seconds of this process, user and system, while a monitor reads every `intervalSeconds`. */
async function measure(intervalSeconds: number): Promise<{ cpu: number; readings: number }> {
  using monitor = startMonitor({ folder: ".", intervalSeconds, thresholdPercent: 10, onReading: () => {} });
  while (monitor.readings() === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  const before = cpuSeconds(), readBefore = monitor.readings();
  await new Promise((resolve) => setTimeout(resolve, 1000 * SECONDS));
  return { cpu: cpuSeconds() - before, readings: monitor.readings() - readBefore };
}

/** CPU seconds of this process so far, all its threads, user and system. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

const idle = await measure(3600), busy = await measure(INTERVAL);
const perReading = Math.max(0, busy.cpu - idle.cpu) / busy.readings;
const result = {
  readings: busy.readings,
  milliseconds_per_reading: 1000 * perReading,
  cpu_percent_waiting: 100 * idle.cpu / SECONDS,
  cpu_percent: 100 * (idle.cpu / SECONDS + perReading / DEFAULT_INTERVAL),
};
if (Deno.args.includes("--json")) console.log(JSON.stringify(result));
else for (const [name, value] of Object.entries(result)) console.log(`${name.padEnd(26)}${value.toPrecision(3)}`);
