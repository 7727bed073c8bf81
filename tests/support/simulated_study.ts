/** Studies without training: checkpoints of given sizes and metrics, kept by the code that keeps real ones. */
import { join } from "node:path";
import { type Checkpoint, OPTIMIZER_FILE } from "../../lib/storage/checkpoint.ts";
import { openKeeper } from "../../lib/storage/keeper.ts";
import { checkpointsFolder } from "../../lib/storage/layout.ts";
import { MANIFEST_FILE, manifestText } from "../../lib/storage/manifest.ts";
import {
  decideRetention,
  type RetentionDecision,
  type RetentionState,
  type StudyCheckpoint,
  type StudyPolicy,
  type TrialStanding,
} from "../../lib/storage/retention_decision.ts";

/** BERT-base (109,482,240 parameters in float32), AdamW's two moments, and the files beside them. */
export const BERT_BASE = { weights: 437_928_960, optimizer: 875_857_920, rest: 1_000_000 } as const;

/** The defaults of configs/base.yaml. */
export const DEFAULT_POLICY: StudyPolicy = {
  keep_last_n: 1,
  keep_best_k: 1,
  keep_best_k_max: 2,
  maxTotalBytes: 10e9,
  strategy: "oldest_first",
};

/** The objective after an epoch: rises, falls, repeats. A hash of both, so that every run is the same. */
export function simulatedValue(trial: number, epoch: number): number {
  const hash = Math.imul(Math.imul(trial + 1, 0x9e3779b1) ^ Math.imul(epoch + 1, 0x85ebca6b), 0xc2b2ae35) >>> 0;
  return Math.round((0.4 + 0.3 * (1 - Math.exp(-epoch / 3)) + 0.2 * hash / 2 ** 32) * 100) / 100;
}

/** A study in numbers alone. */
export interface VirtualStudy {
  readonly trials: TrialStanding[];
  checkpoints: StudyCheckpoint[];
  tightFrom: number | null;
  /** Highest sum of the checkpoints' bytes, saves on top included. */
  peakBytes: number;
}

/** What a decision leaves. */
export function applyDecision(study: VirtualStudy, decision: RetentionDecision<StudyCheckpoint>): void {
  const reduced = decision.reduce.map((one) => ({
    ...one,
    resumable: false,
    bytes: one.bytes - one.optimizerBytes,
    optimizerBytes: 0,
  }));
  study.checkpoints = [...decision.keep, ...reduced];
  study.tightFrom = decision.tightFrom;
}

/** Bytes of a study's checkpoints. */
export const totalBytes = (study: VirtualStudy) => study.checkpoints.reduce((sum, one) => sum + one.bytes, 0);

/** What a virtual run does. */
export interface VirtualRun {
  readonly policy: StudyPolicy;
  readonly nTrials: number;
  readonly epochs: number;
  readonly weights: number;
  readonly optimizer: number;
  value(trial: number, epoch: number): number;
  /** How a trial ends; COMPLETE unless given. */
  ending?(trial: number): "COMPLETE" | "FAIL" | "PRUNED";
  /** Free bytes of the disk without any checkpoint; unbounded unless given. */
  readonly diskBytes?: number;
  /** Called after each decision. */
  onDecision?(state: RetentionState<StudyCheckpoint>, decision: RetentionDecision<StudyCheckpoint>): void;
}

/** Runs a study through the decisions of retention, as the keeper does: before each save, after it, at each trial's end. */
export function runVirtually(run: VirtualRun): VirtualStudy {
  const { policy, nTrials, epochs, weights, optimizer, diskBytes = Infinity } = run;
  const study: VirtualStudy = { trials: [], checkpoints: [], tightFrom: null, peakBytes: 0 };
  const decide = (current: string | null, neededBytes: number, more: { saving: boolean; finished?: boolean }) => {
    const freeBytes = more.saving ? diskBytes - totalBytes(study) : Infinity;
    const state: RetentionState<StudyCheckpoint> = {
      policy,
      metric: "f1",
      direction: "maximize",
      trials: study.trials,
      checkpoints: study.checkpoints,
      current,
      ...(more.finished ? { finished: true } : {}),
      tightFrom: study.tightFrom,
      room: { freeBytes, neededBytes, wantedBytes: 0 },
    };
    const decision = decideRetention(state);
    run.onDecision?.(state, decision);
    applyDecision(study, decision);
  };
  const bytes = weights + optimizer;
  for (let number = 0; number < nTrials; number++) {
    const id = `t${number}`;
    study.trials.push({ id, number, state: "RUNNING", value: null });
    decide(id, 0, { saving: false });
    for (let epoch = 1; epoch <= epochs; epoch++) {
      decide(id, bytes, { saving: true });
      const info = { step: epoch * 100, metrics: { f1: run.value(number, epoch) } };
      study.checkpoints.push({ trial: id, name: `e${epoch}`, resumable: true, info, bytes, optimizerBytes: optimizer });
      study.peakBytes = Math.max(study.peakBytes, totalBytes(study));
      decide(id, bytes, { saving: false });
    }
    decide(id, 0, { saving: false, finished: true });
    const state = run.ending?.(number) ?? "COMPLETE";
    const best = Math.max(...Array.from({ length: epochs }, (_, i) => run.value(number, i + 1)));
    study.trials[number] = { id, number, state, value: state === "COMPLETE" ? best : null };
  }
  decide(null, 0, { saving: false });
  return study;
}

/** SHA-256 is not what is tried here: files are sparse and their contents are never read. */
const UNREAD = "0".repeat(64);

/** Publishes a checkpoint of sparse files, with a manifest. */
export async function publishSparse(
  parent: string,
  epoch: number,
  value: number,
  sizes: { weights: number; optimizer: number },
): Promise<Checkpoint> {
  const name = `step_${String(epoch).padStart(8, "0")}`;
  const folder = join(parent, name), aside = join(parent, `.${name}.partial-${Deno.pid}`);
  await Deno.mkdir(aside, { recursive: true });
  const files: Parameters<typeof manifestText>[1] = {};
  for (const [file, bytes] of [["model.safetensors", sizes.weights], [OPTIMIZER_FILE, sizes.optimizer]] as const) {
    await Deno.writeFile(join(aside, file), new Uint8Array());
    await Deno.truncate(join(aside, file), bytes);
    files[file] = { bytes, sha256: UNREAD };
  }
  const info = { step: epoch * 100, epoch, kind: "epoch", metrics: { f1: value } };
  await Deno.writeTextFile(join(aside, MANIFEST_FILE), manifestText(info, files));
  await Deno.rename(aside, folder);
  return { folder, name, info, files, bytes: sizes.weights + sizes.optimizer, resumable: true };
}

/** Runs a study in real folders of sparse files through the keeper; `measure` is called after each save, before pruning. */
export async function runInFolders(
  experiments: string,
  run: Pick<VirtualRun, "policy" | "nTrials" | "epochs" | "weights" | "optimizer" | "value">,
  measure: (trial: number, epoch: number) => Promise<void>,
): Promise<{ trials: TrialStanding[] }> {
  const trials: TrialStanding[] = [];
  const keeper = openKeeper({
    experiments,
    policy: run.policy,
    metric: "f1",
    direction: "maximize",
    thresholdPercent: 10,
    trials: () => trials,
    isCritical: () => false,
    // Sparse files take no room of the disk, but those that they stand for would.
    space: () => Promise.resolve({ freeBytes: 1e15, totalBytes: 1e15 }),
    verify: (folder) => Deno.stat(join(folder, MANIFEST_FILE)),
  });
  const sizes = { weights: run.weights, optimizer: run.optimizer };
  for (let number = 0; number < run.nTrials; number++) {
    const id = `t${number}`;
    trials.push({ id, number, state: "RUNNING", value: null });
    await keeper.sweep();
    const trial = keeper.trial(id, run.weights + run.optimizer);
    let best = -Infinity;
    for (let epoch = 1; epoch <= run.epochs; epoch++) {
      const value = run.value(number, epoch);
      best = Math.max(best, value);
      await trial.save(async () => {
        const saved = await publishSparse(checkpointsFolder(experiments, id), epoch, value, sizes);
        await measure(number, epoch);
        return saved;
      });
    }
    await trial.finish();
    trials[number] = { id, number, state: "COMPLETE", value: best };
  }
  await keeper.sweep();
  return { trials };
}
