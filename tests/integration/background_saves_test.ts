/** Checkpoints written while training goes on: real training, on a disk that is slow or full at will. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { loadConfig } from "../../lib/config/compose.ts";
import { latestValid } from "../../lib/storage/checkpoint.ts";
import { openKeeper } from "../../lib/storage/keeper.ts";
import { checkpointsFolder } from "../../lib/storage/layout.ts";
import { contextPreflight, openContext } from "../../lib/study/context.ts";
import { initialiseParameters } from "../../lib/study/model_source.ts";
import { studyPolicy } from "../../lib/study/study_storage.ts";
import { encodedSplits, evaluateOptions, signatureOf, type StudyContext } from "../../lib/study/trial_context.ts";
import { exitCode, WinnowError } from "../../lib/support/errors.ts";
import { diskFileSystem, type FileSystem } from "../../lib/support/file_system.ts";
import { openEngine } from "../../lib/train/engine.ts";
import { fit, type FitResult } from "../../lib/train/trainer.ts";
import { ROOT, TINY, withFolder } from "../support/commands.ts";

/** One epoch of 21 steps with a checkpoint each 4 steps. */
async function tinyContext(folder: string): Promise<StudyContext> {
  const config = loadConfig({
    file: join(ROOT, "configs", "quickstart.yaml"),
    overrides: [
      ...TINY,
      "training.epochs=1",
      "training.batch_size=2",
      "training.log_every=1",
      "retention.save_every_steps=4",
      `paths.experiments=${folder}`,
    ],
  });
  return await openContext(config, "study", new AbortController().signal);
}

interface RunOptions {
  fs?: FileSystem;
  resume?: boolean;
  onStep?(step: number): void;
  onSaved?(step: number): void;
}

/** Trains in a folder of its own. */
async function run(context: StudyContext, folder: string, options: RunOptions = {}): Promise<FitResult> {
  const { config } = context;
  const { plan } = await contextPreflight(context);
  const engine = await openEngine(context.gpu, plan);
  const { splits } = encodedSplits(context);
  const { metric, direction } = config.study;
  const keeper = openKeeper({
    experiments: dirname(folder),
    policy: studyPolicy(config),
    ...{ metric, direction },
    thresholdPercent: 0,
    trials: () => [{ id: basename(folder), number: 0, state: "RUNNING", value: null }],
    isCritical: () => false,
    ...(options.fs ? { fs: options.fs } : {}),
  });
  const checkpoints = checkpointsFolder(dirname(folder), basename(folder));
  try {
    return await fit({
      calibration: "per_class",
      engine,
      train: splits.train,
      validation: splits.validation,
      training: config.training,
      evaluation: evaluateOptions(context),
      seed: config.seed,
      ...{ metric, direction },
      signature: signatureOf(context),
      files: { config: {}, tokenizer: new Map() },
      checkpoints,
      retention: config.retention,
      keeper: keeper.trial(basename(folder), 0),
      resume: options.resume ?? false,
      signal: context.signal,
      initialise: () => initialiseParameters(engine, context.model, config.seed),
      onProgress: ({ step }) => options.onStep?.(step),
      onCheckpoint: ({ info }) => options.onSaved?.(info.step),
      ...(options.fs ? { fs: options.fs } : {}),
    });
  } finally {
    engine.close();
  }
}

const weights = ({ checkpoint }: FitResult) =>
  createHash("sha256").update(Deno.readFileSync(join(checkpoint.folder, "model.safetensors"))).digest("hex");

Deno.test("steps go on while a checkpoint is written; the next save waits for it; the bits are the same", async () => {
  await withFolder(async (folder) => {
    const context = await tinyContext(folder);
    const whole = await run(context, join(folder, "whole"));

    const events: string[] = [];
    const { promise: opened, resolve: open } = Promise.withResolvers<void>();
    let waited = false;
    const slow: FileSystem = {
      ...diskFileSystem,
      async rename(from, to) {
        if (basename(to) === "step_00000004" && !waited) {
          waited = true;
          await opened;
        }
        await diskFileSystem.rename(from, to);
      },
    };
    const running = run(context, join(folder, "slow"), {
      fs: slow,
      onStep: (step) => events.push(`step ${step}`),
      onSaved: (step) => events.push(`saved ${step}`),
    });
    // Until the next save there are four steps; then it waits, and the steps with it.
    while (!events.includes("step 8")) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(events.at(-1), "step 8");
    assert.ok(!events.some((one) => one.startsWith("saved")), "a checkpoint was saved behind a closed door");
    open();
    const result = await running;
    assert.deepEqual(
      events.filter((one) => one.startsWith("saved")),
      [4, 8, 12, 16, 20, 21].map((step) => `saved ${step}`),
    );
    assert.equal(weights(result), weights(whole));
  });
});

Deno.test("a checkpoint that cannot be written ends the run with the disk's error, and it can be resumed to the same bits", async () => {
  await withFolder(async (folder) => {
    const context = await tinyContext(folder);
    const whole = await run(context, join(folder, "whole"));

    const place = join(folder, "full"), checkpoints = checkpointsFolder(folder, "full");
    const full: FileSystem = {
      ...diskFileSystem,
      async open(path, mode) {
        const file = await diskFileSystem.open(path, mode);
        if (!path.includes("step_00000012") || !path.endsWith("optimizer.safetensors")) return file;
        const refused = () => Promise.reject(Object.assign(new Error("No space left"), { code: "ENOSPC" }));
        return { ...file, write: refused };
      },
    };
    const steps: number[] = [];
    await assert.rejects(
      run(context, place, { fs: full, onStep: (step) => steps.push(step) }),
      (error: WinnowError) => {
        assert.match(error.message, /^disk full while saving a checkpoint: .* needed, .* free \(.*step_00000012\)$/m);
        return exitCode(error) === 3;
      },
    );
    assert.ok(steps.at(-1)! < 17, `the run went on to step ${steps.at(-1)}`);
    assert.equal((await latestValid(checkpoints, { resumable: true }))?.info.step, 8);
    assert.deepEqual([...Deno.readDirSync(checkpoints)].filter(({ name }) => name.startsWith(".")), []);
    assert.equal(weights(await run(context, place, { resume: true })), weights(whole));
  });
});
