/** The storage monitor on the real file system: its worker, the shared flag, levels, and what it may not do. */
import assert from "node:assert/strict";
import { diskSpace } from "../../lib/storage/disk.ts";
import { type MonitorReading, startMonitor } from "../../lib/storage/monitor.ts";
import { withFolder } from "./storage_scenario.ts";

const until = async (condition: () => boolean) => {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, "the monitor is slow");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

/** Runs a monitor whose threshold makes the disk's free share look like `level`. */
async function watch(folder: string, thresholdPercent: number, infoSeconds: number, readings: number) {
  const told: MonitorReading[] = [];
  using monitor = startMonitor({
    folder,
    intervalSeconds: 0.01,
    thresholdPercent,
    infoSeconds,
    onReading: (reading) => told.push(reading),
  });
  await until(() => monitor.readings() >= readings && told.length > 0);
  return { told, critical: monitor.isCritical() };
}

Deno.test("levels follow the free share: info above the threshold, warning below it, error below half of it", async () => {
  await withFolder(async (folder) => {
    const { freeBytes, totalBytes } = await diskSpace(folder);
    const percent = 100 * freeBytes / totalBytes;
    const cases: [number, MonitorReading["level"], boolean][] = [
      [percent / 2, "INFO", false],
      [Math.min(99.9, percent * 1.5), "WARNING", true],
      ...(percent < 45 ? [[percent * 2.2, "ERROR", true] as [number, MonitorReading["level"], boolean]] : []),
    ];
    for (const [threshold, level, critical] of cases) {
      const found = await watch(folder, threshold, 600, 5);
      assert.deepEqual([found.told.map((one) => one.level), found.critical], [[level], critical]);
      const [reading] = found.told;
      assert.equal(reading!.totalBytes, totalBytes);
      assert.match(reading!.message, /^[\d.]+ \S+ of [\d.]+ \S+ free \([\d.]+%\) for \//);
      assert.equal(/deno task cleanup/.test(reading!.message), critical);
    }
  });
});

Deno.test("a level is told once and then every so often, however often it is read", async () => {
  await withFolder(async (folder) => {
    assert.equal((await watch(folder, 0, 600, 20)).told.length, 1);
    assert.ok((await watch(folder, 0, 0.02, 20)).told.length >= 5);
  });
});

Deno.test("a folder that is not there is a warning, and no crash", async () => {
  const { told, critical } = await watch("/nowhere/at/all", 10, 600, 3);
  assert.deepEqual(told.map((one) => one.level), ["WARNING"]);
  assert.match(told[0]!.message, /^free space unknown: /);
  assert.equal(critical, false);
});

Deno.test("a disposed monitor reads no more", async () => {
  await withFolder(async (folder) => {
    const monitor = startMonitor({ folder, intervalSeconds: 0.01, thresholdPercent: 10, onReading: () => {} });
    await until(() => monitor.readings() > 2);
    monitor[Symbol.dispose]();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const readings = monitor.readings();
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(monitor.readings(), readings);
  });
});
