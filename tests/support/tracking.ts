/** Runs and events for the tests of the tracking stores. */
import { DatabaseSync } from "node:sqlite";
import type { MetricEvent, RunDescription } from "../../lib/tracking/tracker.ts";

/** Our ids of a study's and a trial's run. */
export const STUDY = "0b8e5a4e-9f0e-4b63-8f0a-3d1f2c4b5a69", TRIAL = "7c1d2e3f-4a5b-4c6d-8e7f-90a1b2c3d4e5";

/** A run with no tags. */
export const run = (run_id: string, more: Partial<RunDescription> = {}): RunDescription => ({
  run_id,
  name: "a run",
  start_time: 1_700_000_000_000,
  tags: {},
  ...more,
});

/** An event of TRIAL. */
export const event = (
  metric: string,
  step: number,
  value: number,
  timestamp = 1_700_000_001_000 + step,
): MetricEvent => ({
  run_id: TRIAL,
  metric,
  step,
  value,
  timestamp,
});

/** Rows of a database that others may have open. */
export function rows(path: string, query: string, ...values: string[]): Record<string, unknown>[] {
  const db = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
  try {
    return db.prepare(query).all(...values).map((row) => ({ ...row }));
  } finally {
    db.close();
  }
}
