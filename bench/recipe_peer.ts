/**
 * One training recipe in Winnow and in PyTorch, on the same batches in the same order from the same first values: the
 * losses of both step by step, and the metrics of both on the test split by the same scoring code.
 */
import { join, relative, resolve } from "node:path";
import type { Config } from "../lib/config/schema.ts";
import { type Batch, lengthBuckets, materialise, planBatches } from "../lib/data/batches.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { openDataset, trainingTexts } from "../lib/study/data_source.ts";
import { initialiseParameters, openModel } from "../lib/study/model_source.ts";
import { encodedSplits, engineOptions, evaluateOptions, type StudyContext } from "../lib/study/trial_context.ts";
import { createTrialCache } from "../lib/study/trial_cache.ts";
import type { ScoredSpan } from "../lib/model/evidence_heads/evidence_head.ts";
import { openEngine } from "../lib/train/engine.ts";
import { planEngine } from "../lib/train/engine_plan.ts";
import { evaluationBatches, scorePredictions } from "../lib/train/evaluator.ts";
import { flatMetrics } from "../lib/train/metrics.ts";
import { learningRateAt, warmupSteps } from "../lib/train/schedule.ts";
import { encoderConfigJson } from "../lib/weights/encoder_config.ts";
import { openSafetensors, writeSafetensors } from "../lib/weights/safetensors.ts";

/** What one engine made of the recipe. */
export interface RecipeRun {
  /** Loss of every optimizer step. */
  readonly loss: readonly number[];
  /** Test metrics by their flat names; empty when the run was cut short. */
  readonly test: Readonly<Record<string, number>>;
  /** Seconds of the training steps. */
  readonly seconds: number;
}

/** Both engines on one recipe. */
export interface RecipeComparison {
  readonly seed: number;
  readonly steps: number;
  readonly winnow: RecipeRun;
  readonly pytorch: RecipeRun;
}

const batchTensors = (batch: Batch) => {
  const { size, length } = batch;
  const criteria = batch.labels.length / size;
  const tensor = (name: string, shape: number[], data: ArrayLike<number>) => ({
    name,
    shape,
    data: Float32Array.from(data),
  });
  return [
    ...(["ids", "mask", "types"] as const).map((name) => tensor(name, [size, length], batch[name])),
    ...(["labels", "spanWeight"] as const).map((name) => tensor(name, [size, criteria], batch[name])),
    tensor("tags", [size, length, criteria], batch.tags),
    tensor("sampleWeight", [size], batch.sampleWeight),
  ];
};

const numbered = (prefix: string, index: number) => `${prefix}_${String(index).padStart(5, "0")}.safetensors`;

/**
 * Runs a configuration in both engines.
 *
 * @param folder a scratch folder for what the two exchange
 * @param maxSteps cut both short after so many optimizer steps, without a test
 * @throws when Python fails; WINNOW_PYTHON names the one with `tests/peers/requirements.txt`
 */
export async function compareRecipe(
  config: Config,
  gpu: Gpu,
  folder: string,
  { maxSteps }: { maxSteps?: number } = {},
): Promise<RecipeComparison> {
  if (config.training.accumulation_steps !== 1) throw new RangeError("Expected training.accumulation_steps to be 1");
  if (config.model.criteria_dropout !== config.model.evidence_dropout) {
    throw new RangeError("Expected criteria_dropout and evidence_dropout to be equal: the peer has one head dropout");
  }
  const data = await openDataset(config);
  const model = await openModel(config, trainingTexts(config, data));
  const context: StudyContext = {
    config,
    studyId: crypto.randomUUID(),
    gpu,
    data,
    model,
    signal: new AbortController().signal,
    cache: createTrialCache(),
  };
  const { splits } = encodedSplits(context);
  const options = evaluateOptions(context);
  const { training, seed } = config;
  const epochs = Array.from({ length: training.epochs }, (_, epoch) =>
    planBatches(splits.train, {
      batchSize: training.batch_size,
      buckets: lengthBuckets(config.data.max_length),
      shuffle: { seed, epoch },
    })
      .map((planned) => materialise(planned, splits.train, options.padId)));
  const batches = epochs.flat();
  const total = Math.min(training.max_steps ?? Infinity, batches.length);
  const steps = Math.min(maxSteps ?? Infinity, total);
  const schedule = {
    learningRate: training.learning_rate,
    schedule: training.schedule,
    warmupSteps: warmupSteps(training.warmup_ratio, total),
    totalSteps: total,
  };
  const tests = maxSteps === undefined ? evaluationBatches(splits.test, training.batch_size, options) : [];

  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(folder, { recursive: true });
  for (const [i, batch] of batches.slice(0, steps).entries()) {
    await writeSafetensors(join(folder, numbered("train", i)), batchTensors(batch));
  }
  const shown = tests.length > 0 ? tests : [batches[0]!];
  for (const [i, batch] of shown.entries()) {
    await writeSafetensors(join(folder, numbered("test", i)), batchTensors(batch));
  }

  const engine = await openEngine(gpu, planEngine(gpu, engineOptions(context)));
  initialiseParameters(engine, model, seed);
  const first = engine.tensors("parameter");
  const isHead = (name: string) => name.startsWith("criteria_head") || name.startsWith("evidence_head");
  await writeSafetensors(join(folder, "init.safetensors"), first.filter(({ name }) => isHead(name)));
  if (model.folder === undefined) {
    await writeSafetensors(join(folder, "encoder.safetensors"), first.filter(({ name }) => !isHead(name)));
    const stored = encoderConfigJson(model.encoder);
    await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(stored));
  }
  const agent = engine.plan.options.model;
  const recipe = {
    ...(model.folder === undefined
      ? { config: "config.json", weights: "encoder.safetensors" }
      : { model_folder: relative(folder, resolve(model.folder)) }),
    criteria: agent.criteria,
    pooling: agent.pooling,
    lambda_class: training.lambda_class,
    lambda_span: training.lambda_span,
    learning_rate: training.learning_rate,
    weight_decay: training.weight_decay,
    betas: [training.adam_beta1, training.adam_beta2],
    eps: training.adam_epsilon,
    max_grad_norm: training.max_grad_norm,
    warmup_steps: schedule.warmupSteps,
    total_steps: total,
    schedule: training.schedule,
    hidden_dropout: agent.encoder.hidden_dropout_prob,
    attention_dropout: agent.encoder.attention_probs_dropout_prob,
    head_dropout: agent.criteriaHead.dropout,
    seed,
  };
  await Deno.writeTextFile(join(folder, "recipe.json"), JSON.stringify(recipe, null, 2));

  const started = performance.now();
  const loss: number[] = [];
  for (let i = 0; i < steps; i++) {
    engine.step([batches[i]!], {
      seed,
      step: i + 1,
      learningRate: learningRateAt(i, schedule),
      draw: i,
      lambdaClass: training.lambda_class,
      lambdaSpan: training.lambda_span,
    });
    if ((i + 1) % training.log_every === 0 || i + 1 === steps) {
      loss.push(...(await engine.drain()).map((metrics) => metrics.loss));
    }
  }
  const seconds = (performance.now() - started) / 1000;
  const score = (predictions: Parameters<typeof scorePredictions>[1]) => {
    if (tests.length === 0) return {};
    const { criteria, evidence } = scorePredictions(splits.test, predictions, options);
    return flatMetrics(criteria, evidence);
  };
  const evaluation = tests.length > 0 ? await engine.evaluate(tests, options) : { predictions: [] };
  const winnow = { loss, test: score(evaluation.predictions), seconds };
  engine.close();

  const out = join(folder, "pytorch");
  const result = await runPython(folder, out, steps);
  const predictions = tests.map((batch, i) => {
    using file = openSafetensors(join(out, numbered("predictions", i)));
    return {
      batch,
      probabilities: file.readFloat32("criteriaProbabilities"),
      spans: boundarySpans(batch, file.readFloat32("evidenceLogits"), agent.evidenceHead.maxSpanTokens),
    };
  });
  return { seed, steps, winnow, pytorch: { loss: result.loss, test: score(predictions), seconds: result.seconds } };
}

/**
 * The best span of every (text, criterion) by boundary logits [B, T, 2K], as BERT's reader for SQuAD v2 decodes it; further
 * spans of a text are left aside.
 */
function boundarySpans(
  { size, length, mask, begins }: Batch,
  logits: Float32Array,
  maxTokens: number,
): ScoredSpan[][] {
  const width = logits.length / (size * length);
  return Array.from({ length: size * width / 2 }, (_, pair) => {
    const row = Math.floor(pair / (width / 2)), column = 2 * (pair % (width / 2));
    const at = (token: number, boundary: 0 | 1) => logits[(row * length + token) * width + column + boundary]!;
    const separator = mask.subarray(row * length, (row + 1) * length).lastIndexOf(1);
    const best = { first: 0, last: 0, score: -Infinity };
    for (let first = begins[row]!; first < separator; first++) {
      for (let last = first; last < Math.min(separator, first + maxTokens); last++) {
        const score = at(first, 0) + at(last, 1);
        if (score > best.score) Object.assign(best, { first, last, score });
      }
    }
    return best.last === 0 ? [] : [{ ...best, score: best.score - at(0, 0) - at(0, 1) }];
  });
}

async function runPython(folder: string, out: string, steps: number): Promise<{ loss: number[]; seconds: number }> {
  const python = Deno.env.get("WINNOW_PYTHON");
  if (!python) throw new Error("Set WINNOW_PYTHON to a Python with tests/peers/requirements.txt");
  const script = new URL("../tests/peers/train_recipe.py", import.meta.url).pathname;
  const { success, stderr } = await new Deno.Command(python, {
    args: [script, folder, out, "--max-steps", String(steps)],
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`train_recipe.py failed:\n${new TextDecoder().decode(stderr)}`);
  return JSON.parse(await Deno.readTextFile(join(out, "result.json")));
}
