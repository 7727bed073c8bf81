/**
 * What padding costs on texts of real lengths: tokens/s of the real tokens of an epoch's batches, against the same steps
 * with every row full. Both run the same shapes in the same order, turn by turn, so that the ratio is one of a run.
 *
 *   deno task bench:lengths [--config FILE] [--steps 40] [--json] [key=value ...]
 *
 * The steps are taken from the epoch at equal distances. The last line of output is one JSON object.
 */
import { parseArgs } from "node:util";
import { loadConfig } from "../lib/config/compose.ts";
import { type Batch, lengthBuckets, materialise, planBatches, type PlannedBatch } from "../lib/data/batches.ts";
import { openContext } from "../lib/study/context.ts";
import { initialiseParameters } from "../lib/study/model_source.ts";
import { encodedSplits, engineOptions, evaluateOptions } from "../lib/study/trial_context.ts";
import { openEngine } from "../lib/train/engine.ts";
import { planEngine } from "../lib/train/engine_plan.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    config: { type: "string", default: "configs/tweet_minilm.yaml" },
    steps: { type: "string", default: "40" },
    json: { type: "boolean", default: false },
  },
});
const steps = Number(values.steps);
if (!(Number.isInteger(steps) && steps > 0)) {
  console.error(`error: Expected --steps to be an integer above 0 but found ${JSON.stringify(values.steps)}`);
  Deno.exit(2);
}
const experiments = await Deno.makeTempDir();
const config = loadConfig({ file: values.config, overrides: [...positionals, `paths.experiments=${experiments}`] });
const context = await openContext(config, crypto.randomUUID(), new AbortController().signal);
const { splits } = encodedSplits(context);
const { padId } = evaluateOptions(context);
const { batch_size: batchSize } = config.training;
const epoch = planBatches(splits.train, {
  batchSize,
  buckets: lengthBuckets(config.data.max_length),
  shuffle: { seed: config.seed, epoch: 0 },
});
const realTokens = (planned: readonly PlannedBatch[]) =>
  planned.reduce(
    (sum, { indices }) => sum + indices.reduce((all, index) => all + (splits.train[index]?.ids.length ?? 0), 0),
    0,
  );
const allTokens = (planned: readonly PlannedBatch[]) =>
  planned.reduce((sum, { length, indices }) => sum + length * indices.length, 0);
const sampled = Array.from(
  { length: Math.min(steps, epoch.length) },
  (_, i) => epoch[Math.floor(i * epoch.length / Math.min(steps, epoch.length))]!,
);

/** The same batch with a token in the place of all padding. */
function filled(batch: Batch): Batch {
  const token = batch.ids[1]!;
  return {
    ...batch,
    ids: batch.ids.map((id, i) => batch.mask[i] ? id : token),
    mask: batch.mask.slice().fill(1),
    sampleWeight: batch.sampleWeight.slice().fill(1),
  };
}

const engine = await openEngine(context.gpu, planEngine(context.gpu, engineOptions(context)));
initialiseParameters(engine, context.model, config.seed);
let step = 0;
const milliseconds = async (batch: Batch) => {
  const started = performance.now();
  step++;
  engine.step([batch], { seed: 1, step, learningRate: 1e-5, draw: step, lambdaClass: 1, lambdaSpan: 1 });
  await engine.drain();
  return performance.now() - started;
};
const totals = { real: 0, full: 0 };
for (const planned of sampled) {
  const batch = materialise(planned, splits.train, padId), full = filled(batch);
  // Programs of a length are recorded at its first step.
  await milliseconds(batch);
  for (const turn of step % 2 ? ["real", "full"] as const : ["full", "real"] as const) {
    totals[turn] += await milliseconds(turn === "real" ? batch : full);
  }
}
const rate = (tokens: number, ms: number) => Number((tokens / ms * 1000).toFixed(1));
const real = rate(realTokens(sampled), totals.real), full = rate(allTokens(sampled), totals.full);
const result = {
  bench: "real_lengths",
  adapter: context.gpu.name,
  config: values.config,
  batch_size: batchSize,
  inputs: splits.train.length,
  steps: sampled.length,
  lengths: new Set(epoch.map(({ length }) => length)).size,
  real_share_of_epoch: Number((realTokens(epoch) / allTokens(epoch)).toFixed(4)),
  real_share_of_steps: Number((realTokens(sampled) / allTokens(sampled)).toFixed(4)),
  real_tokens_per_second: real,
  full_tokens_per_second: full,
  ratio: Number((real / full).toFixed(3)),
};
engine.close();
await Deno.remove(experiments, { recursive: true });
if (!values.json) {
  console.log(
    `${real} real tokens/s, ${full} without padding: ${(100 * real / full).toFixed(1)} %; of an epoch's tokens ` +
      `${(100 * result.real_share_of_epoch).toFixed(1)} % are real, in ${result.lengths} lengths`,
  );
}
console.log(JSON.stringify(result));
Deno.exit(0);
