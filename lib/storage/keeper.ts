/**
 * Keeps the checkpoints of a study within its policy, its cap and the disk: looks for room before a save, saves, prunes
 * after it. What goes is decided by retention_decision.ts from the manifests of all trials; here it is carried out and told.
 */
import { join } from "node:path";
import { storageError } from "../support/errors.ts";
import { diskFileSystem, type FileSystem } from "../support/file_system.ts";
import { type Checkpoint, listCheckpoints, OPTIMIZER_FILE, verifyCheckpoint } from "./checkpoint.ts";
import { diskSpace, formatBytes } from "./free_space.ts";
import { checkpointsFolder } from "./layout.ts";
import { carryOut, soundPlan, type Verified } from "./retention.ts";
import {
  decideRetention,
  type RetentionDecision,
  type StudyCheckpoint,
  type StudyPolicy,
  type TrialStanding,
} from "./retention_decision.ts";
import { bestBy, byStep, type Direction, newest } from "./retention_rule.ts";
import { type Artifact, fullDiskError, isFullDiskError } from "./usage.ts";

/** A study whose checkpoints are kept. */
export interface KeeperOptions {
  readonly experiments: string;
  readonly policy: StudyPolicy;
  readonly metric: string;
  readonly direction: Direction;
  /** Share of the disk that should be free, in percent. */
  readonly thresholdPercent: number;
  /** The trials of the study as they stand. */
  trials(): readonly TrialStanding[];
  /** Whether the storage monitor found little room; it is looked at before each save. */
  isCritical(): boolean;
  /** Free and total bytes; those of the file system of `experiments` unless given. */
  space?(): Promise<{ freeBytes: number; totalBytes: number }>;
  /** Tells whether a checkpoint that is relied upon is sound, by throwing; `verifyCheckpoint` unless given. */
  verify?(folder: string): Promise<unknown>;
  onEvent?(event: RetentionEvent): void;
  /** Trials from this number on are held to the least since an earlier run of the study; not given: none is. */
  readonly tightFrom?: number | null;
  /**
   * Stores `tightFrom` for later runs. It is called when what may go has gone; where the disk is full all the same, it is
   * called again after the next pruning.
   */
  storeTight?(from: number): void;
  /** Where the checkpoints are; the disk if not given. */
  readonly fs?: FileSystem;
}

/** What the keeper did or met. */
export type RetentionEvent =
  | {
    readonly type: "pruned";
    /** Paths with bytes freed and the reason. */
    readonly removed: readonly (Artifact & { readonly reason: string })[];
    readonly reduced: readonly (Artifact & { readonly reason: string })[];
    readonly pressure: RetentionDecision<unknown>["pressure"];
    readonly freedBytes: number;
    /** Of all checkpoints of the study, afterwards. */
    readonly bytes: number;
  }
  | { readonly type: "warning"; readonly message: string };

/** The saving side of one trial. */
export interface TrialKeeper {
  /**
   * Runs `publish` with room for it, and prunes afterwards.
   *
   * @throws a storage error with all numbers when the disk is full all the same, or what `publish` threw
   */
  save(publish: () => Promise<Checkpoint>): Promise<Checkpoint>;
  /** Prunes after the last save, when no resume point is needed. @returns the trial's checkpoints by ascending step */
  finish(): Promise<Checkpoint[]>;
}

/** Keeps one study's checkpoints. */
export interface Keeper {
  /** For the trial that runs. `checkpointBytes` is what one of its checkpoints takes at least. */
  trial(id: string, checkpointBytes: number): TrialKeeper;
  /** Prunes between trials: what has ended and is not among the best goes. */
  sweep(): Promise<void>;
  /** Bytes of the study's checkpoints that are there now. */
  bytes(): Promise<number>;
}

type Stored = Checkpoint & StudyCheckpoint;

/** A checkpoint as decisions see it. */
export function describeStored(trial: string, checkpoint: Checkpoint): Stored {
  return { ...checkpoint, trial, optimizerBytes: checkpoint.files[OPTIMIZER_FILE]?.bytes ?? 0 };
}

/** Which checkpoints a decision relies on: in each trial that loses one the newest that stays, and the best of all. */
export function reliedOn<T extends StudyCheckpoint>(
  { keep, reduce, remove }: RetentionDecision<T>,
  metric: string,
  direction: Direction,
): T[] {
  const staying = [...keep, ...reduce].sort(byStep);
  const trials = new Set(remove.map((one) => one.trial));
  const [best = staying[0]] = bestBy(staying, ({ info }) => info.metrics[metric] ?? null, {
    k: 1,
    max: undefined,
    direction,
  });
  const newestOf = (trial: string) => newest(staying.filter((one) => one.trial === trial));
  const relied = [...trials, ...reduce.map((one) => one.trial)].map(newestOf);
  return [...new Set([...relied, best])].filter((one) => one !== undefined);
}

/** Opens the keeping of a study's checkpoints. Nothing is read before it is asked. */
export function openKeeper(options: KeeperOptions): Keeper {
  const { experiments, policy, metric, direction, thresholdPercent, onEvent = () => {}, fs = diskFileSystem } = options;
  const space = options.space ?? (() => diskSpace(experiments));
  const verified: Verified = new Set();
  /** Those that were read whole and were not sound. */
  const damaged = new Set<string>();
  /** Checkpoints by trial, as of the last look. Those of trials that have ended change here only. */
  const inventory = new Map<string, Stored[]>();
  let tightFrom = options.tightFrom ?? null, storedTight = tightFrom;
  const warned = new Set<string>();
  const warn = (message: string) => {
    if (warned.has(message)) return;
    warned.add(message);
    onEvent({ type: "warning", message });
  };

  const look = async (trial: string) => {
    const found = await listCheckpoints(checkpointsFolder(experiments, trial), warn, fs);
    inventory.set(trial, found.filter((one) => !damaged.has(one.folder)).map((one) => describeStored(trial, one)));
  };
  const lookAtAll = async (trials: readonly TrialStanding[], current: string | null) => {
    for (const { id } of trials) if (id === current || !inventory.has(id)) await look(id);
    return trials.flatMap(({ id }) => inventory.get(id) ?? []);
  };

  /** Decides, carries out, tells. */
  const prune = async (about: { current: string | null; finished?: boolean; neededBytes: number; saving: boolean }) => {
    const trials = options.trials();
    const all = await lookAtAll(trials, about.current);
    const { freeBytes, totalBytes } = await space();
    const critical = about.saving && options.isCritical();
    const room = {
      // After a save only the cap counts: whether the disk has room is asked before the next one.
      freeBytes: about.saving ? freeBytes : Infinity,
      neededBytes: about.neededBytes,
      wantedBytes: critical ? totalBytes * thresholdPercent / 100 : 0,
    };
    const { plan, sound } = await soundPlan(
      all,
      (sound) => decideRetention({ ...options, ...about, trials, checkpoints: sound, tightFrom, room }),
      (decision) => reliedOn(decision, metric, direction),
      verified,
      warn,
      options.verify ?? ((folder) => verifyCheckpoint(folder, fs)),
    );
    for (const one of all) if (!sound.includes(one)) damaged.add(one.folder);
    for (const trial of new Set(all.filter((one) => damaged.has(one.folder)).map((one) => one.trial))) {
      await look(trial);
    }
    if (plan.tightFrom !== tightFrom) {
      tightFrom = plan.tightFrom;
      warn(
        `storage is short: trials that have ended, and those from trial ${tightFrom} on, keep their best checkpoint only ` +
          "(keep_best_k=1, keep_last_n=0)",
      );
    }
    const gone = (checkpoints: readonly Stored[], bytesOf: (one: Stored) => number) =>
      checkpoints.map((one) => ({ path: one.folder, bytes: bytesOf(one), reason: plan.reasons.get(one) ?? "" }));
    if (plan.remove.length + plan.reduce.length > 0) {
      await carryOut(plan, fs);
      for (const trial of new Set([...plan.remove, ...plan.reduce].map((one) => one.trial))) await look(trial);
      onEvent({
        type: "pruned",
        removed: gone(plan.remove, (one) => one.bytes),
        reduced: gone(plan.reduce, (one) => one.optimizerBytes),
        pressure: plan.pressure,
        freedBytes: plan.freedBytes,
        bytes: plan.bytes,
      });
    }
    storeTight();
    return { plan, removed: gone(plan.remove, (one) => one.bytes) };
  };
  /** A later run has to know, but this one does not end for it. */
  const storeTight = () => {
    if (tightFrom === null || tightFrom === storedTight) return;
    try {
      options.storeTight?.(tightFrom);
      storedTight = tightFrom;
    } catch (error) {
      if (!isFullDiskError(error)) throw error;
    }
  };

  const trial = (id: string, checkpointBytes: number): TrialKeeper => {
    const folder = checkpointsFolder(experiments, id);
    const neededBytes = () =>
      Math.max(checkpointBytes, ...(inventory.get(id) ?? []).filter((one) => one.resumable).map((one) => one.bytes));
    return {
      async save(publish) {
        const { plan, removed } = await prune({ current: id, neededBytes: neededBytes(), saving: true });
        if (plan.bytes > policy.maxTotalBytes) {
          throw storageError(
            `the checkpoints that must stay take ${formatBytes(plan.bytes)}, more than retention.max_total_size ` +
              formatBytes(policy.maxTotalBytes),
            "Raise retention.max_total_size, or start a study with tuning.mode=lora or a smaller model",
          );
        }
        const full = (path: string, more: Artifact[] = [], cause?: unknown) =>
          fullDiskError({
            experiments,
            action: "saving a checkpoint",
            path,
            neededBytes: neededBytes(),
            pruned: [...removed, ...more],
          }, cause);
        if ((await space()).freeBytes < checkpointBytes) throw await full(folder);
        let saved: Checkpoint;
        try {
          saved = await publish();
        } catch (error) {
          if (!isFullDiskError(error)) throw error;
          // Something else took the room since. Once more with the least that must stay.
          const { removed: more } = await prune({
            current: id,
            neededBytes: Math.max(neededBytes(), 2 * (await space()).freeBytes),
            saving: true,
          });
          const path = /\(([^()]*)\)$/.exec(error instanceof Error ? error.message : "")?.[1] ?? join(folder);
          if (more.length === 0) throw await full(path, more, error);
          try {
            saved = await publish();
          } catch (again) {
            throw isFullDiskError(again) ? await full(path, more, again) : again;
          }
        }
        // A save of the same step replaces what was known of that folder.
        verified.delete(saved.folder);
        damaged.delete(saved.folder);
        await prune({ current: id, neededBytes: neededBytes(), saving: false });
        return saved;
      },
      async finish() {
        await prune({ current: id, finished: true, neededBytes: 0, saving: false });
        return [...inventory.get(id) ?? []];
      },
    };
  };

  return {
    trial,
    sweep: async () => {
      await prune({ current: null, neededBytes: 0, saving: false });
    },
    bytes: async () => (await lookAtAll(options.trials(), null)).reduce((sum, one) => sum + one.bytes, 0),
  };
}
