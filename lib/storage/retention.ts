/**
 * Carrying out what retention_decision.ts decides. Deleting happens after a save, so at the worst there is one checkpoint
 * too many and never none. Before anything goes, what stays in its place is relied upon and therefore read whole and
 * compared with its manifest; if it is damaged it counts as absent, with a warning, and the rule is asked again.
 */
import type { WinnowError } from "../support/errors.ts";
import { diskFileSystem, type FileSystem } from "../support/file_system.ts";
import { type Checkpoint, dropOptimizer, type OnWarning, removeCheckpoint, verifyCheckpoint } from "./checkpoint.ts";
import type { RetentionPlan } from "./retention_rule.ts";

/** Folders of checkpoints that were read whole by this process and were sound. */
export type Verified = Set<string>;

/**
 * Asks for a plan until what it relies on is sound.
 *
 * @param checkpoints All there are; those found damaged are left out of later questions.
 * @param reliedOn Which of those that stay a plan relies on.
 * @returns the plan, and the checkpoints that count.
 */
export async function soundPlan<T extends Checkpoint, P extends RetentionPlan<T>>(
  checkpoints: readonly T[],
  plan: (sound: readonly T[]) => P,
  reliedOn: (plan: P) => readonly T[],
  verified: Verified,
  onWarning: OnWarning,
  verify: (folder: string) => Promise<unknown> = verifyCheckpoint,
): Promise<{ plan: P; sound: readonly T[] }> {
  let sound = checkpoints;
  for (;;) {
    const found = plan(sound);
    if (found.remove.length + found.reduce.length === 0) return { plan: found, sound };
    let damaged: T | undefined;
    for (const one of reliedOn(found).filter(({ folder }) => !verified.has(folder))) {
      const damage = await verify(one.folder).then(() => null, (error: WinnowError) => error);
      if (damage === null) {
        verified.add(one.folder);
        continue;
      }
      onWarning(damage.message);
      damaged = one;
      break;
    }
    if (damaged === undefined) return { plan: found, sound };
    sound = sound.filter((one) => one !== damaged);
  }
}

/** Removes and reduces as planned. Removing comes first: a manifest needs room to be written, and the disk may be full. */
export async function carryOut<T extends Checkpoint>(
  plan: RetentionPlan<T>,
  fs: FileSystem = diskFileSystem,
): Promise<{ reduced: Map<T, Checkpoint> }> {
  for (const one of plan.remove) await removeCheckpoint(one.folder, fs);
  const reduced = new Map<T, Checkpoint>();
  for (const one of plan.reduce) reduced.set(one, await dropOptimizer(one, undefined, fs));
  return { reduced };
}
