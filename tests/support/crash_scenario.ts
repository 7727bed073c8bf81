/**
 * A trial reduced to what it writes: configuration, log, metrics buffer, checkpoints written while the next steps run,
 * retention, report. All of it goes through the code that a real trial uses, and follows from the step alone.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { makeFolder, writeFileAtomic } from "../../lib/storage/atomic_file.ts";
import {
  type Checkpoint,
  cleanPartials,
  cleanTemporaries,
  latestValid,
  listCheckpoints,
  publishCheckpoint,
  verifyCheckpoint,
} from "../../lib/storage/checkpoint.ts";
import { checkpointsFolder, trialFolder } from "../../lib/storage/layout.ts";
import { lockFolder } from "../../lib/storage/lock.ts";
import { openKeeper } from "../../lib/storage/keeper.ts";
import { createBackground } from "../../lib/support/background.ts";
import { type FileSystem, readText } from "../../lib/support/file_system.ts";
import { openOperationBuffer } from "../../lib/tracking/buffer.ts";
import { createLogger, openLogFiles } from "../../lib/support/logging.ts";
import { initialState, readState, type StateCopy, type TrainerState, writeCopy } from "../../lib/train/state.ts";
import { withoutEmptyRows } from "../../lib/train/stored_rows.ts";

export const EXPERIMENTS = "/disk/experiments";
const TRIAL = "1";
const FOLDER = trialFolder(EXPERIMENTS, TRIAL);
const CHECKPOINTS = checkpointsFolder(EXPERIMENTS, TRIAL);
/** The store is away all the time. */
const METRICS = join(FOLDER, "tracking_buffer.jsonl");
const CONFIG = "seed: 1\n" + "# a configuration that takes more than a sector\n".repeat(12);
const STEPS_PER_EPOCH = 4;

/** The objective of each epoch: a tie for the best, and a last one that is not. */
const SCORES = [0.3, 0.9, 0.5, 0.4, 0.9, 0.2];

/** What a trial has been told that it may rely on. */
export type Assurance =
  | { kind: "synced"; step: number }
  | { kind: "published"; step: number; epoch: number }
  | { kind: "resumed"; step: number }
  | { kind: "finished" };

/** How far the run goes. */
export interface ScenarioOptions {
  fs: FileSystem;
  mark(promise: Assurance): void;
  /** Ends behind so many more checkpoints, without ceremony. */
  saves?: number;
}

const policy = {
  keep_last_n: 1,
  keep_best_k: 1,
  keep_best_k_max: 4,
  maxTotalBytes: Infinity,
  strategy: "oldest_first",
} as const;

/** The value of the metric "loss" at a step. */
const lossAt = (step: number) => 1 / (step + 1);

/** The state of a run after a step, with arrays that follow from the step; of 40 rows of the moments 3 are not zero. */
function copyAt(state: TrainerState): StateCopy {
  const moments = new Float32Array(40 * 8);
  for (const row of [0, 7, 39]) moments.fill(state.step + row, row * 8, row * 8 + 8);
  return {
    weights: [{ name: "encoder.weight", shape: [20, 16], data: new Float32Array(320).fill(state.step + 0.5) }],
    optimizer: withoutEmptyRows("first_moment.encoder.weight", [40, 8], moments),
    files: new Map([
      ["trainer_state.json", JSON.stringify(state)],
      ["vocab.txt", "word\n".repeat(150)],
    ]),
  };
}

/** Lets what runs beside go on a little: the same number of turns each time. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await null;
}

class Stopped extends Error {}

/** Runs or continues the trial. */
export async function runTrial({ fs, mark, saves: savesLeft = Infinity }: ScenarioOptions): Promise<void> {
  using _lock = await lockFolder(EXPERIMENTS, 0, fs);
  await makeFolder(FOLDER, fs);
  await cleanTemporaries(FOLDER, fs);
  await writeFileAtomic(join(FOLDER, "config.yaml"), CONFIG, fs);
  await makeFolder(CHECKPOINTS, fs);
  await cleanPartials(CHECKPOINTS, fs);
  const logs = openLogFiles(join(FOLDER, "logs"), { fs });
  const log = createLogger([logs.sink], { component: "trainer", trial: TRIAL });
  const known = new Set<number>();
  const metrics = openOperationBuffer(METRICS, ({ step }) => known.add(step), fs);

  const newest = await latestValid(CHECKPOINTS, { resumable: true, fs });
  const state = newest ? await readState(newest, fs) : initialState(1, {});
  mark({ kind: "resumed", step: state.step });
  log.info("trial started", { step: state.step });

  const keeper = openKeeper({
    experiments: EXPERIMENTS,
    ...{ policy, metric: "f1", direction: "maximize", thresholdPercent: 0, fs },
    trials: () => [{ id: TRIAL, number: 0, state: "RUNNING", value: null }],
    isCritical: () => false,
    space: () => Promise.resolve({ freeBytes: 1e9, totalBytes: 1e9 }),
  }).trial(TRIAL, 1e3);
  const saves = createBackground();
  const save = async (kind: string, values: Record<string, number>) => {
    await saves.settle();
    if (savesLeft-- <= 0) throw new Stopped();
    const copy = copyAt(structuredClone(state));
    const info = { step: state.step, epoch: state.epoch, kind, metrics: values };
    // What a resume will not do again must be on the disk before the checkpoint that it goes on from.
    metrics.sync();
    mark({ kind: "synced", step: state.step });
    await saves.start(async () => {
      const write = (folder: string, files: FileSystem) => writeCopy(folder, copy, files);
      const publish = () => publishCheckpoint(CHECKPOINTS, `step_${info.step}`, write, info, { fs });
      const told = async () => {
        const checkpoint = await publish();
        mark({ kind: "published", step: info.step, epoch: info.epoch });
        return checkpoint;
      };
      // As a run does that was taken back to an earlier checkpoint: the same name once more.
      if (info.epoch === 3) await publish();
      await keeper.save(told);
      log.info("checkpoint saved", { step: info.step });
    });
  };
  try {
    while (state.epoch < SCORES.length) {
      while (state.epoch_step < STEPS_PER_EPOCH) {
        state.step++;
        state.epoch_step++;
        if (saves.hasFailed) await saves.settle();
        log.info("step", { step: state.step, loss: lossAt(state.step) });
        if (!known.has(state.step)) {
          const event = {
            run_id: TRIAL,
            metric: "loss",
            step: state.step,
            value: lossAt(state.step),
            timestamp: state.step,
          };
          metrics.append({ type: "log", batch: { run_id: TRIAL, metrics: [event] } });
        }
        await turns(25);
        if (state.epoch_step === 2 && state.epoch % 2 === 1) await save("step", {});
      }
      const f1 = SCORES[state.epoch]!;
      state.epoch++;
      state.epoch_step = 0;
      state.history.push({ epoch: state.epoch, step: state.step, train_loss: null, validation: { f1 }, seconds: 0 });
      await save("epoch", { f1 });
    }
    await saves.settle();
    await keeper.finish();
    const report = JSON.stringify({ history: state.history, note: "x".repeat(600) });
    await writeFileAtomic(join(FOLDER, "report.json"), report, fs);
    mark({ kind: "finished" });
  } catch (error) {
    await saves.settle().catch(() => {});
    if (!(error instanceof Stopped)) throw error;
  } finally {
    logs.close();
    metrics.close();
  }
}

/** The checkpoints that are seen at once, and those that are seen when the half done is set right: all must be whole. */
async function visibleCheckpoints(fs: FileSystem): Promise<Checkpoint[]> {
  const look = async () => {
    const warnings: string[] = [];
    const found = await listCheckpoints(CHECKPOINTS, (one) => warnings.push(one), fs);
    assert.deepEqual(warnings, [], "a visible checkpoint is damaged");
    for (const one of found) {
      await verifyCheckpoint(one.folder, fs);
      assert.equal((await readState(one, fs)).step, one.info.step);
    }
    return found;
  };
  const before = await look();
  const names = await fs.list(CHECKPOINTS).catch(() => []);
  if (!names.some(({ name }) => name.startsWith("."))) return before;
  await cleanPartials(CHECKPOINTS, fs);
  const after = await look();
  // A checkpoint that was moved for its successor of the same name comes back; none goes.
  for (const { name } of before) assert.ok(after.some((one) => one.name === name), `cleaning removed ${name}`);
  return after;
}

const isThere = (fs: FileSystem, path: string) => fs.status(path).then(() => true, () => false);

function readMetrics(fs: FileSystem): { step: number; value: number }[] {
  const found: { step: number; value: number }[] = [];
  openOperationBuffer(METRICS, (event) => found.push(event), fs).close();
  return found;
}

/**
 * What must hold of a tree after a crash, whatever was going on. Unfinished checkpoints are cleaned away by it.
 *
 * @param promises what the run had been told before the crash
 */
export async function checkCrashed(fs: FileSystem, promises: readonly Assurance[]): Promise<void> {
  const published = promises.filter((one) => one.kind === "published");
  const finished = promises.some(({ kind }) => kind === "finished");
  if (await isThere(fs, join(FOLDER, "config.yaml"))) {
    assert.equal(await readText(fs, join(FOLDER, "config.yaml")), CONFIG, "the configuration is torn");
  } else assert.equal(published.length, 0, "the configuration is gone");
  if (await isThere(fs, join(FOLDER, "report.json"))) JSON.parse(await readText(fs, join(FOLDER, "report.json")));
  else assert.ok(!finished, "the report is gone");
  const found = await visibleCheckpoints(fs);
  const newest = Math.max(0, ...found.map(({ info }) => info.step));
  const lastPublished = Math.max(0, ...published.map(({ step }) => step));
  assert.ok(newest >= lastPublished, `step ${lastPublished} was published and ${newest} is the newest`);
  if (!finished && lastPublished > 0) {
    const resumable = Math.max(0, ...found.filter((one) => one.resumable).map(({ info }) => info.step));
    // The end of the trial drops optimizer states on purpose, after the last epoch is published; its run may have crashed
    // before it was told so.
    const isOver = newest === SCORES.length * STEPS_PER_EPOCH;
    assert.ok(resumable >= lastPublished || isOver, "no resume point");
  }
  const best = Math.max(0, ...SCORES.slice(0, Math.max(0, ...published.map(({ epoch }) => epoch))));
  const there = Math.max(0, ...found.map(({ info }) => info.metrics["f1"] ?? 0));
  assert.ok(there >= best, `the best of the published epochs has ${best}, the best that is there ${there}`);
  const synced = Math.max(0, ...promises.map((one) => one.kind === "synced" ? one.step : 0));
  if (synced > 0) checkMetrics(fs, synced);
}

/** All steps up to one have their metric, once. */
function checkMetrics(fs: FileSystem, steps: number): void {
  const seen = new Map<number, number>();
  for (const { step, value } of readMetrics(fs)) {
    assert.equal(value, lossAt(step), `step ${step} has another value`);
    assert.ok(!seen.has(step), `step ${step} is there twice`);
    seen.set(step, value);
  }
  for (let step = 1; step <= steps; step++) assert.ok(seen.has(step), `the metric of step ${step} is lost`);
}

/** What must hold after a resume has come to its end. */
export async function checkFinished(fs: FileSystem): Promise<void> {
  checkMetrics(fs, SCORES.length * STEPS_PER_EPOCH);
  for (const folder of [FOLDER, CHECKPOINTS]) {
    const hidden = (await fs.list(folder)).filter(({ name }) => name.startsWith("."));
    assert.deepEqual(hidden, [], "leftovers of a crash");
  }
  for (const one of await listCheckpoints(CHECKPOINTS, (message) => assert.fail(message), fs)) {
    const names = (await fs.list(one.folder)).map(({ name }) => name).sort();
    assert.deepEqual(names, ["manifest.json", ...Object.keys(one.files)].sort(), "leftovers in a checkpoint");
  }
}
