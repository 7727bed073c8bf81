/**
 * Optimizers, learning rates by depth, schedules, moving averages and adversarial training against PyTorch: gradients,
 * ten losses and what ten steps come to, on one small model.
 */
import assert from "node:assert/strict";
import type { Batch } from "../../lib/data/batches.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { learningRateAt, type Schedule } from "../../lib/train/schedule.ts";
import { encoderConfigJson } from "../../lib/weights/encoder_config.ts";
import { firstSpans } from "../support/agents.ts";
import { norm, relativeDifference } from "../support/golden.ts";
import { askPython } from "../support/python.ts";
import {
  openSmall,
  planSmall,
  randomBatch,
  readArray,
  type SmallOptions,
  stepOptions,
} from "../support/small_engine.ts";

const STEPS = 10;
const BETAS = [0.9, 0.99] as const;

/** One run in both engines. */
interface Case {
  readonly optimizer: "adamw" | "adam" | "sgd" | "lion";
  readonly learningRate: number;
  readonly schedule: Schedule;
  readonly warmup?: number;
  readonly ratio?: number;
  readonly decay?: number;
  readonly epsilon?: number;
  readonly average?: number;
  readonly accumulation?: number;
}

/** What PyTorch made of a case; arrays by checkpoint name. */
interface Answer {
  readonly losses: number[];
  readonly norms: number[];
  readonly rates: number[];
  readonly scales: Record<string, number>;
  readonly gradients: Record<string, number[]>;
  readonly parameters: Record<string, number[]>;
  readonly averages?: Record<string, number[]>;
  readonly averageLoss?: number;
}

const CASES: Record<string, Case> = {
  "adamw with rates by depth, along a cosine": {
    optimizer: "adamw",
    learningRate: 3e-3,
    schedule: "cosine",
    warmup: 3,
    ratio: 0.5,
    decay: 0.8,
  },
  "adam with rates by depth, along a line": { optimizer: "adam", learningRate: 3e-3, schedule: "linear", decay: 0.7 },
  "sgd with momentum, at one rate": { optimizer: "sgd", learningRate: 0.05, schedule: "constant", warmup: 2 },
  "lion with a slower encoder": { optimizer: "lion", learningRate: 3e-4, schedule: "cosine", ratio: 0.3 },
  "an average of the weights": { optimizer: "adamw", learningRate: 3e-3, schedule: "linear", average: 0.8 },
  "attacked words": { optimizer: "sgd", learningRate: 0.05, schedule: "constant", epsilon: 0.5 },
  "attacked words, accumulated": {
    optimizer: "adamw",
    learningRate: 3e-3,
    schedule: "constant",
    epsilon: 0.5,
    accumulation: 2,
  },
  "all at once": {
    optimizer: "adamw",
    learningRate: 3e-3,
    schedule: "cosine",
    warmup: 1,
    ratio: 0.5,
    decay: 0.8,
    epsilon: 0.3,
    average: 0.9,
    accumulation: 2,
  },
};

const gpu = await openGpu();

/** The engine's options of a case; gradients are over the clip norm in some steps and below it in others. */
const optionsOf = ({ optimizer, ratio = 1, decay = 1, epsilon = 0, average }: Case): SmallOptions => ({
  optimizer: {
    name: optimizer,
    weightDecay: 0.05,
    beta1: BETAS[0],
    beta2: BETAS[1],
    maxGradNorm: 2,
    averageDecay: average,
  },
  learningRates: { differentialRatio: ratio, layerDecay: decay },
  adversarialEpsilon: epsilon,
});

/** Micro-batches of every step: three sets in turn, the second of each longer and with a row of filler. */
const batchesOf = ({ accumulation = 1 }: Case): Batch[][] =>
  Array.from(
    { length: STEPS },
    (_, step) =>
      Array.from(
        { length: accumulation },
        (_, i) => randomBatch(`${step % 3} ${i}`, { length: i ? 13 : 8, filler: i }),
      ),
  );

/** The same weights for every case, as the peer takes them. */
async function weights() {
  const engine = await openSmall(gpu);
  const parameters: Record<string, { shape: readonly number[]; data: number[] }> = {};
  for (const { name, shape, data } of engine.tensors("parameter")) {
    parameters[name] = { shape, data: [...await data()] };
  }
  engine.close();
  return parameters;
}

const sent = (batch: Batch) => ({
  size: batch.size,
  length: batch.length,
  ...Object.fromEntries(
    (["ids", "mask", "types", "labels", "sampleWeight", "spanWeight"] as const).map((name) => [name, [...batch[name]]]),
  ),
  spanStart: [...firstSpans(batch).start],
  spanEnd: [...firstSpans(batch).end],
});

const answers = await askPython<Answer[]>("regularization.py", [], {
  config: encoderConfigJson(planSmall(gpu).options.model.encoder),
  parameters: await weights(),
  cases: Object.values(CASES).map((one) => ({
    batches: batchesOf(one).map((step) => step.map(sent)),
    optimizer: {
      name: one.optimizer,
      learningRate: one.learningRate,
      weightDecay: 0.05,
      momentum: BETAS[0],
      betas: BETAS,
      eps: 1e-8,
      clip: 2,
    },
    schedule: one.schedule,
    warmup: one.warmup ?? 0,
    ratio: one.ratio ?? 1,
    decay: one.decay ?? 1,
    epsilon: one.epsilon ?? 0,
    average: one.average ?? null,
    lambdaClass: stepOptions(1).lambdaClass,
    lambdaSpan: stepOptions(1).lambdaSpan,
  })),
});

/** Parameters whose true gradient is 0, so that optimizers step by the sign of noise; see golden_model.py. */
const isInvariant = (name: string) => name.endsWith("attention.self.key.bias") || name === "evidence_head.bias";

const close = (actual: number, expected: number, tolerance: number, what: string) =>
  assert.ok(Math.abs(actual - expected) <= tolerance * Math.abs(expected), `${what}: ${actual}, not ${expected}`);

Object.entries(CASES).forEach(([name, one], index) => {
  const answer = answers[index]!;

  Deno.test(`${name}: ten steps as PyTorch's`, async () => {
    const engine = await openSmall(gpu, optionsOf(one));
    const schedule = {
      learningRate: one.learningRate,
      schedule: one.schedule,
      warmupSteps: one.warmup ?? 0,
      totalSteps: STEPS,
    };
    const scaled = engine.plan.parameters.specs.flatMap(({ name, parts = [name], learningRateScale = 1 }) =>
      parts.map((part): [string, number] => [part, learningRateScale])
    );
    assert.equal(scaled.length, Object.keys(answer.scales).length);
    for (const [parameter, scale] of scaled) close(scale, answer.scales[parameter]!, 1e-12, `scale of ${parameter}`);
    batchesOf(one).forEach((batches, step) => {
      const learningRate = learningRateAt(step, schedule);
      close(learningRate, answer.rates[step]!, 1e-12, `rate of step ${step + 1}`);
      engine.step(batches, { ...stepOptions(step + 1), learningRate });
    });
    const metrics = await engine.drain();
    metrics.forEach(({ loss, gradientNorm }, step) => {
      close(loss, answer.losses[step]!, 5e-6, `loss of step ${step + 1}`);
      close(gradientNorm, answer.norms[step]!, 2e-5, `norm of step ${step + 1}`);
    });
    const compare = async (array: "parameter" | "average", expected: Record<string, number[]>) => {
      for (const [parameter, values] of await readArray(engine, array)) {
        if (isInvariant(parameter)) continue;
        const difference = relativeDifference(values, expected[parameter]!);
        // A gradient element near 0 is all rounding, and so is its sign, by which Lion steps and Adam nearly does.
        assert.ok(difference < 1e-4, `${array} ${parameter} differs by ${difference}`);
      }
    };
    await compare("parameter", answer.parameters);
    await compare("average", answer.averages ?? answer.parameters);
    if (answer.averages) {
      const moved = relativeDifference(
        answer.averages["criteria_head.weight"]!,
        answer.parameters["criteria_head.weight"]!,
      );
      assert.ok(moved > 5e-3, `the average is ${moved} from the parameters`);
      const { criteriaLoss, spanLoss } = await engine.evaluate([batchesOf(one)[0]![0]!], stepOptions(1));
      close(criteriaLoss + spanLoss, answer.averageLoss!, 5e-6, "evaluation on the average");
    }
    engine.close();
  });

  if (one.epsilon && !one.accumulation) {
    Deno.test(`${name}: every gradient as PyTorch's, beside the loss of the clean words`, async () => {
      const batch = batchesOf(one)[0]![0]!;
      const gradientOf = async (epsilon: number) => {
        const engine = await openSmall(gpu, { ...optionsOf(one), adversarialEpsilon: epsilon });
        const before = await readArray(engine, "parameter");
        engine.gradient(batch, stepOptions(1));
        const gradients = await readArray(engine, "gradient");
        const [metrics] = await engine.drain();
        assert.deepEqual(await readArray(engine, "parameter"), before, "the table is as it was");
        engine.close();
        return { gradients, loss: metrics!.loss };
      };
      const [attacked, clean] = [await gradientOf(one.epsilon!), await gradientOf(0)];
      const whole = norm(Object.values(answer.gradients).map(norm));
      for (const [parameter, values] of attacked.gradients) {
        const expected = answer.gradients[parameter]!;
        const difference = norm(values.map((value, i) => value - expected[i]!));
        const size = isInvariant(parameter) ? whole : norm(expected);
        assert.ok(difference <= 2e-5 * size, `${parameter}: ${difference} of ${size}`);
        if (isInvariant(parameter)) continue;
        // Not twice the clean gradient: the words have moved.
        const doubled = clean.gradients.get(parameter)!.map((value) => 2 * value);
        assert.ok(relativeDifference(doubled, expected) > 0.01, parameter);
      }
      assert.equal(attacked.loss, clean.loss);
    });
  }
});
