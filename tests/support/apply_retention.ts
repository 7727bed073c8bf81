/** Retention of one trial's folder, for tests of what it does to a disk. */
import { type Checkpoint, listCheckpoints, type OnWarning, verifyCheckpoint } from "../../lib/storage/checkpoint.ts";
import { carryOut, soundPlan } from "../../lib/storage/retention.ts";
import { newest, planRetention, type RetentionRule } from "../../lib/storage/retention_rule.ts";
import { diskFileSystem, type FileSystem } from "../../lib/support/file_system.ts";

/**
 * Applies the rule to the folder of one trial's checkpoints: removes, and drops optimizer states.
 *
 * @returns the checkpoints that are there afterwards, by ascending step, and the names of the removed ones.
 */
export async function applyRetention(
  parent: string,
  rule: RetentionRule,
  onWarning: OnWarning = () => {},
  fs: FileSystem = diskFileSystem,
): Promise<{ kept: Checkpoint[]; removed: string[] }> {
  const { plan } = await soundPlan(
    await listCheckpoints(parent, onWarning, fs),
    (sound) => planRetention(sound, rule),
    ({ keep, reduce }) => [newest([...keep, ...reduce])!],
    new Set(),
    onWarning,
    (folder) => verifyCheckpoint(folder, fs),
  );
  const { reduced } = await carryOut(plan, fs);
  const kept = [...plan.keep, ...reduced.values()].sort((a, b) => a.info.step - b.info.step);
  return { kept, removed: plan.remove.map((one) => one.name) };
}
