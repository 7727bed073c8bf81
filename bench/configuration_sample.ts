/**
 * Random configurations of the full search space on a tiny encoder: each is trained a few steps as it was drawn, and then
 * has to learn one fixed batch. The encoder, the data, the batch size and the number of steps are not drawn, and of the
 * augmentation methods only those that need neither pretrained weights nor translations.
 */
import { loadConfig, withParams } from "../lib/config/compose.ts";
import { configKeys } from "../lib/config/fields.ts";
import type { Config } from "../lib/config/schema.ts";
import { type Batch, materialise, planBatches } from "../lib/data/batches.ts";
import type { EncodedInput } from "../lib/data/encoding.ts";
import type { OptimizerName } from "../lib/graph/optimizer.ts";
import { type ConditionalSpace, conditionalSpace, drawParams as drawFrom } from "../lib/hpo/conditional_space.ts";
import { type Params, valueAt } from "../lib/hpo/space.ts";
import { encodeAugmented, trainingAugmentation } from "../lib/study/augmentation.ts";
import { openContext } from "../lib/study/context.ts";
import { initialiseParameters } from "../lib/study/model_source.ts";
import { encodedSplits, engineOptions, type StudyContext, trialContext } from "../lib/study/trial_context.ts";
import { randomStream } from "../lib/support/rng.ts";
import { type Engine, openEngine, type StepMetrics } from "../lib/train/engine.ts";
import { planEngine } from "../lib/train/engine_plan.ts";
import { learningRateAt, warmupSteps } from "../lib/train/schedule.ts";

/** Optimizer steps of each configuration as it was drawn. */
export const STEPS = 3;
/** Optimizer steps on the fixed batch. */
export const OVERFIT_STEPS = 12;

/** Tokens of every input row. */
const LENGTH = 48;
const BATCH_SIZE = 4;

/**
 * Learning rates at which a random encoder learns one batch in a few steps: the usual 1e-3 of Adam, a fifth of it for
 * Lion, whose every step has the full length in each parameter, and one hundred times as much for SGD, whose gradient is clipped to a
 * norm of 1.
 */
const OVERFIT_LEARNING_RATE: Readonly<Record<OptimizerName, number>> = {
  adamw: 1e-3,
  adam: 1e-3,
  lion: 2e-4,
  sgd: 0.02,
};

/** The weighted losses of the two agents, and their sum. */
export type AgentLosses = Pick<StepMetrics, "loss" | "criteriaLoss" | "spanLoss">;

/** What became of one configuration. */
export interface ConfigurationResult {
  readonly index: number;
  readonly params: Params;
  /** Losses of the steps as drawn. */
  readonly losses: readonly number[];
  /** Losses on the fixed batch: before the first step and after the last one. */
  readonly overfit: { readonly first: AgentLosses; readonly last: AgentLosses } | null;
  readonly seconds: number;
  /** What went wrong; null where nothing did. */
  readonly failure: string | null;
}

/** Layers of the encoder: fewer than what the full space may freeze. */
const LAYERS = 2;

/** Axes that the sample fixes. */
const FIXED = ["model.id", "training.batch_size", "training.epochs"];

/** The full space without what the sample fixes. */
export function sampledSpace(): ConditionalSpace {
  const { search_space } = loadConfig({ file: new URL("../configs/hpo_study.yaml", import.meta.url).pathname });
  const axes = Object.entries(search_space).filter(([key]) => !FIXED.includes(key));
  return conditionalSpace(Object.fromEntries(axes.map(([key, distribution]) => {
    if (key === "tuning.freeze_layers") {
      return [key, { type: "int", low: 0, high: LAYERS - 1, when: distribution.when }];
    }
    // A biaffine form is the square of it: at 1024 columns the CPU takes half a minute for a configuration.
    if (key === "model.evidence_hidden_dim") return [key, { ...distribution, high: 256 }];
    if (key !== "augmentation.methods" || distribution.type !== "categorical") return [key, distribution];
    const choices = distribution.choices.filter((methods) => !/insert|back_translation/.test(String(methods)));
    return [key, { ...distribution, choices }];
  })));
}

/** Opens the encoder, the data and the adapter that all configurations of a sample share. */
export async function openSample(folder: string): Promise<StudyContext> {
  const encoder = [
    ...["hidden_size=32", `num_hidden_layers=${LAYERS}`, "num_attention_heads=2", "intermediate_size=64"],
    ...["vocab_size=400", `max_position_embeddings=${LENGTH}`],
  ];
  const config = loadConfig({
    file: new URL("../configs/quickstart.yaml", import.meta.url).pathname,
    overrides: [
      ...["search_space={}", `paths.experiments=${folder}`],
      ...encoder.map((setting) => `model.encoder.${setting}`),
      ...["data.synthetic.posts=60", `data.max_length=${LENGTH}`, `training.batch_size=${BATCH_SIZE}`],
    ],
  });
  return await openContext(config, "sample", new AbortController().signal);
}

/** The configuration `index` of a sample, by its seed alone: each axis uniformly, or evenly in the logarithm. */
export function drawParams(space: ConditionalSpace, seed: number, index: number): Params {
  const random = randomStream(seed, "configuration", index);
  return drawFrom(space, (_, distribution) => valueAt(distribution, random.uniform()));
}

/** Trains a configuration of the sample. What goes wrong is told in its `failure`. */
export async function tryConfiguration(
  study: StudyContext,
  params: Params,
  index: number,
): Promise<ConfigurationResult> {
  const started = performance.now();
  const losses: number[] = [];
  let overfit: ConfigurationResult["overfit"] = null;
  let failure: string | null = null;
  try {
    const context = await trialContext(study, params);
    const train = await trainingRows(context);
    for (const metrics of await trainAsDrawn(context, train)) {
      losses.push(metrics.loss);
      failure ??= stepFailure(metrics);
    }
    overfit = await learnBatch(context, train);
    failure ??= overfitFailure(overfit);
  } catch (error) {
    failure = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
  return { index, params, losses, overfit, seconds: (performance.now() - started) / 1000, failure };
}

/** The rows that a trial trains on, augmented copies included. */
async function trainingRows(context: StudyContext): Promise<readonly EncodedInput[]> {
  const { train } = encodedSplits(context).splits;
  const augmentation = await trainingAugmentation(context);
  return augmentation ? [...train, ...encodeAugmented(context, augmentation)] : train;
}

function stepFailure({ step, loss, gradientNorm, skippedSteps }: StepMetrics): string | null {
  if (Number.isFinite(loss) && gradientNorm > 0 && Number.isFinite(gradientNorm) && skippedSteps === 0) return null;
  return `step ${step}: loss ${loss}, gradient norm ${gradientNorm}, ${skippedSteps} steps skipped`;
}

/** The sum has to fall, which is what is trained: a clipped step may give the smaller of the two losses away for the other. */
function overfitFailure({ first, last }: NonNullable<ConfigurationResult["overfit"]>): string | null {
  if (last.loss < first.loss) return null;
  return `the loss on one batch went from ${first.loss} to ${last.loss} in ${OVERFIT_STEPS} steps`;
}

/** Runs `work` on an engine of the configuration. */
async function withEngine<T>(context: StudyContext, work: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await openEngine(
    context.gpu,
    planEngine(context.gpu, { ...engineOptions(context), lengths: [LENGTH] }),
  );
  try {
    initialiseParameters(engine, context.model, context.config.seed);
    return await work(engine);
  } finally {
    engine.close();
  }
}

const lambdas = ({ training }: Config) => ({ lambdaClass: training.lambda_class, lambdaSpan: training.lambda_span });

/** The first steps of a run, as the trainer would make them. */
async function trainAsDrawn(context: StudyContext, train: readonly EncodedInput[]): Promise<StepMetrics[]> {
  const { config: { training, seed }, config, model } = context;
  const plan = planBatches(train, { batchSize: BATCH_SIZE, buckets: [LENGTH], shuffle: { seed, epoch: 0 } });
  const schedule = {
    learningRate: training.learning_rate,
    schedule: training.schedule,
    warmupSteps: warmupSteps(training.warmup_ratio, STEPS),
    totalSteps: STEPS,
  };
  return await withEngine(context, async (engine) => {
    let draw = 0;
    for (let step = 1; step <= STEPS; step++) {
      const group = Array.from(
        { length: training.accumulation_steps },
        (_, i) => materialise(plan[(draw + i) % plan.length]!, train, model.tokenizer.padId),
      );
      engine.step(group, { ...lambdas(config), seed, step, draw, learningRate: learningRateAt(step - 1, schedule) });
      draw += group.length;
    }
    return await engine.drain();
  });
}

/**
 * Trains on one batch again and again, without dropout and at a learning rate that suits the optimizer; the rest is as it was
 * drawn.
 */
async function learnBatch(
  context: StudyContext,
  train: readonly EncodedInput[],
): Promise<NonNullable<ConfigurationResult["overfit"]>> {
  const dropouts = configKeys.filter((key) => /^(model|tuning)\..*dropout$/.test(key));
  const config = withParams(context.config, Object.fromEntries(dropouts.map((key) => [key, 0])));
  const batch = batchWithEvidence(train, context.model.tokenizer.padId);
  const learningRate = OVERFIT_LEARNING_RATE[config.training.optimizer];
  return await withEngine({ ...context, config }, async (engine) => {
    for (let step = 1; step <= OVERFIT_STEPS + 1; step++) {
      engine.step([batch], { ...lambdas(config), seed: config.seed, step, draw: step, learningRate });
    }
    const losses = await engine.drain();
    return { first: losses[0]!, last: losses.at(-1)! };
  });
}

/** Rows with evidence and rows without, half and half where there are both. */
function batchWithEvidence(train: readonly EncodedInput[], padId: number): Batch {
  const found = (row: EncodedInput) => row.spans.some(({ reason }) => reason === "evidence");
  const indices = [true, false].flatMap((wanted) =>
    train.flatMap((row, i) => found(row) === wanted ? [i] : []).slice(0, BATCH_SIZE / 2)
  );
  while (indices.length < BATCH_SIZE) indices.push(-1);
  return materialise({ length: LENGTH, indices }, train, padId);
}
