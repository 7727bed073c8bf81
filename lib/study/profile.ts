/** The profile of a configuration's training step: the model and the batches that training would run, timed by kernel. */
import { dirname, resolve } from "node:path";
import type { Config } from "../config/schema.ts";
import { lengthBuckets, materialise, planBatches, type PlannedBatch } from "../data/batches.ts";
import { checkTimestamps } from "../gpu/timer.ts";
import { profileFigures, type ProfileReport, profileSchema } from "../report/profile.ts";
import { profileTrace } from "../report/profile_trace.ts";
import { writeFileAtomic } from "../storage/atomic_file.ts";
import { inputError } from "../support/errors.ts";
import { VERSION } from "../support/version.ts";
import { openEngine } from "../train/engine.ts";
import { type ProfileOptions, profileStep, queuedStepMs } from "../train/profile.ts";
import { plannedProducts } from "./autotune.ts";
import { openContext } from "./context.ts";
import { shortestLength } from "./inputs.ts";
import { initialiseParameters } from "./model_source.ts";
import { planWithinMemory } from "./preflight.ts";
import { encodedSplits, engineOptions, evaluateOptions } from "./trial_context.ts";

/** What is profiled. */
export interface ProfileRequest {
  /** Timed steps. */
  readonly steps: number;
  /** Tokens of the batches to take; those that an epoch has most of unless given. */
  readonly length?: number | undefined;
  /** A file for the trace. */
  readonly trace?: string | undefined;
}

/** Batches of an epoch by length, the shortest first. */
function countLengths(plan: readonly PlannedBatch[]): { length: number; batches: number }[] {
  return [...Map.groupBy(plan, ({ length }) => length)]
    .map(([length, batches]) => ({ length, batches: batches.length }))
    .sort((a, b) => a.length - b.length);
}

/** The length asked for, or the one of most batches, of several the longest. @throws an input error */
function chooseLength(lengths: ReturnType<typeof countLengths>, wanted: number | undefined): number {
  if (wanted === undefined) return lengths.toSorted((a, b) => b.batches - a.batches || b.length - a.length)[0]!.length;
  if (lengths.some(({ length }) => length === wanted)) return wanted;
  throw inputError(
    `No batch of an epoch is of ${wanted} tokens`,
    `Set --length to one of ${lengths.map(({ length }) => length).join(", ")}`,
  );
}

/** As many batches of a length as a step has: those with fewest rows of filler, again from the first if they are few. */
function chooseBatches(plan: readonly PlannedBatch[], length: number, count: number): PlannedBatch[] {
  const filler = ({ indices }: PlannedBatch) => indices.filter((index) => index < 0).length;
  const fitting = plan.filter((batch) => batch.length === length).sort((a, b) => filler(a) - filler(b));
  return Array.from({ length: count }, (_, i) => fitting[i % fitting.length]!);
}

/** Refuses a trace file that could not be written, before minutes are spent. */
async function checkTraceFile(path: string): Promise<void> {
  const folder = dirname(resolve(path));
  const [found, itself] = await Promise.all([folder, path].map((one) => Deno.stat(one).catch(() => null)));
  if (!found?.isDirectory) {
    throw inputError(`There is no folder ${folder} for --trace`, "Make it, or name another file");
  }
  if (itself?.isDirectory) throw inputError(`--trace ${path} is a folder`, "Name a file in it");
}

/**
 * Profiles the training step that a configuration asks for, on its own data. Copies that augmentation would make are left
 * out; parameters are not changed, and nothing is saved but the trace (and a generated sample where there is none yet).
 *
 * @param onStage Told before and during each part that may take seconds
 * @throws an input error for what is missing or does not fit together, and where the adapter has no timestamps; a storage
 * error where the trace cannot be written
 */
export async function profileTraining(
  config: Config,
  { steps, length: wanted, trace }: ProfileRequest,
  signal: AbortSignal,
  onStage: (what: string) => void = () => {},
): Promise<ProfileReport> {
  if (trace !== undefined) await checkTraceFile(trace);
  onStage("opening data, model and adapter");
  const context = await openContext(config, "profile", signal);
  const { gpu, model } = context;
  checkTimestamps(gpu);
  const { training, tuning, seed, data } = config;
  const options = engineOptions(context);
  const inputs = encodedSplits(context).splits.train;
  const epoch = planBatches(inputs, {
    batchSize: training.batch_size,
    buckets: lengthBuckets(data.max_length),
    shuffle: { seed, epoch: 0 },
  });
  const lengths = countLengths(epoch);
  const length = chooseLength(lengths, wanted);
  const chosen = chooseBatches(epoch, length, training.accumulation_steps);
  const planned = () => planWithinMemory(config, gpu, options, shortestLength(context)).plan;
  let plan = planned();
  // As before training: the step runs the variants that it would run there.
  const isTuned = await context.autotuner?.tune(plannedProducts(plan), signal, {
    onStart: (count) => onStage(`trying ${count} matrix products`),
  });
  if (isTuned) plan = planned();
  const evaluation = evaluateOptions(context);
  const engine = await openEngine(gpu, plan);
  try {
    initialiseParameters(engine, model, seed);
    const profiling: ProfileOptions = {
      batches: () => chosen.map((batch) => materialise(batch, inputs, evaluation.padId)),
      lambdas: { lambdaClass: evaluation.lambdaClass, lambdaSpan: evaluation.lambdaSpan },
      steps,
      signal,
      onStep: (done, all) => onStage(`step ${done} of ${all}`),
    };
    onStage("compiling kernels");
    const profile = await profileStep(engine, profiling);
    onStage("steps one behind the other");
    const queued = await queuedStepMs(engine, profiling);
    const batches = profiling.batches();
    const tokens = batches.reduce((sum, { mask }) => sum + mask.length, 0);
    const real = batches.reduce((sum, { mask }) => sum + mask.reduce((ones, one) => ones + one, 0), 0);
    const step = `${chosen.length} × ${training.batch_size} × ${length} tokens`;
    if (trace !== undefined) {
      const about = { winnow: VERSION, model: model.id, step };
      await writeFileAtomic(trace, JSON.stringify(profileTrace(profile, gpu.name, about)));
    }
    return profileSchema.parse({
      format: "winnow-profile/1",
      version: VERSION,
      adapter: { name: gpu.name, preset: gpu.preset, tick_ns: profile.tickNs },
      model: {
        id: model.id,
        layers: model.encoder.num_hidden_layers,
        hidden: model.encoder.hidden_size,
        heads: model.encoder.num_attention_heads,
        precision: training.precision,
        recompute: training.recompute,
        tuning: tuning.mode,
      },
      batch: {
        texts: training.batch_size,
        length,
        micro_batches: chosen.length,
        tokens,
        real_tokens: real,
        lengths,
      },
      queued_ms: queued,
      tokens_per_second: { real: 1e3 * real / queued, padded: 1e3 * tokens / queued },
      trace: trace ?? null,
      ...profileFigures(profile),
    });
  } finally {
    engine.close();
  }
}
