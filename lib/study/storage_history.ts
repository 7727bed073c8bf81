/** Bytes of a study's checkpoints over time, out of what its logs tell of saves and prunings. */
import type { Pruning, StorageHistory, StoragePoint } from "../report/study_report/data.ts";
import type { LogEvent } from "../support/logging.ts";

/** The messages that tell of checkpoints. */
export const CHECKPOINT_SAVED = "checkpoint saved";
export const CHECKPOINTS_PRUNED = "checkpoints pruned";

/** `trial_…/checkpoints/step_…`: saves name checkpoints relative to the experiments folder, prunings by whole paths. */
const nameOf = (path: unknown): string => String(path).split(/[\\/]/).slice(-3).join("/");

const bytesOf = (value: unknown): number =>
  typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;

/** What a pruning lists. */
function listed(value: unknown): { name: string; bytes: number }[] {
  return Array.isArray(value) ? value.map((one) => ({ name: nameOf(one?.path), bytes: bytesOf(one?.bytes) })) : [];
}

/**
 * The history in events of both messages, by time. A pruning tells all bytes that are left, also those of a checkpoint whose
 * save is logged after it; before it, what it freed was there too.
 */
export function storageHistoryOf(events: readonly LogEvent[], capBytes: number | null): StorageHistory {
  const present = new Map<string, number>();
  const points: StoragePoint[] = [];
  const prunings: Pruning[] = [];
  for (const { time: iso, message, context } of events) {
    const time = Date.parse(iso);
    if (message === CHECKPOINT_SAVED) {
      present.set(nameOf(context["folder"]), bytesOf(context["bytes"]));
      let bytes = 0;
      for (const one of present.values()) bytes += one;
      points.push({ time, bytes });
    } else if (message === CHECKPOINTS_PRUNED) {
      const removed = listed(context["removed"]), reduced = listed(context["optimizer_dropped"]);
      for (const { name } of removed) present.delete(name);
      for (const { name, bytes } of reduced) present.set(name, Math.max(0, (present.get(name) ?? bytes) - bytes));
      const bytes = bytesOf(context["bytes"]), freedBytes = bytesOf(context["freed_bytes"]);
      points.push({ time, bytes: bytes + freedBytes }, { time, bytes });
      prunings.push({ time, bytes, freedBytes, checkpoints: removed.length + reduced.length });
    }
  }
  return { points, prunings, capBytes };
}
