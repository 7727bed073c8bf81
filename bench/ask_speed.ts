/**
 * The time of asking for a trial after 1,000 finished ones, on a conditional space of 30 parameters, against Optuna's in the
 * same run (WINNOW_PYTHON) with the same trials. `--json` prints the figures.
 */
import { tpeSampler } from "../lib/hpo/samplers/tpe.ts";
import { randomSampler } from "../lib/hpo/samplers/random.ts";
import { type Category, type Distribution, type Params, toOptunaJson } from "../lib/hpo/space.ts";
import type { FrozenTrial, StudyHistory } from "../lib/hpo/trial.ts";
import { askPython } from "../tests/support/python.ts";
import { runTrial } from "./search_loop.ts";
import type { Suggest } from "./search_objectives.ts";
import { median } from "../lib/support/median.ts";

/** A parameter and what others have to be for it to be asked for. */
type Conditional = readonly [Distribution, Readonly<Record<string, Category>> | null];

/** 30 parameters: 12 always, three heads with four, an optimizer and an augmentation with three of their own. */
export function conditionalSpace(): Record<string, Conditional> {
  const float = (low: number, high: number, log = false): Distribution => ({ type: "float", low, high, log });
  const int = (low: number, high: number, log = false): Distribution => ({ type: "int", low, high, log });
  const choices = (...values: Category[]): Distribution => ({ type: "categorical", choices: values });
  const space: Record<string, Conditional> = {
    encoder: [choices("minilm", "bert", "roberta", "mental", "psych"), null],
    head: [choices("linear", "mlp", "gated", "biaffine"), null],
    optimizer: [choices("adamw", "sgd"), null],
    augmentation: [choices("none", "synonyms"), null],
    learning_rate: [float(1e-6, 1e-3, true), null],
    weight_decay: [float(1e-4, 0.3, true), null],
    dropout: [{ type: "float", low: 0, high: 0.5, step: 0.05 }, null],
    batch_size: [int(4, 64, true), null],
    epochs: [int(1, 12), null],
    warmup: [float(0, 0.3), null],
    schedule: [choices("linear", "cosine", "constant"), null],
    label_smoothing: [float(0, 0.2), null],
  };
  for (const head of ["mlp", "gated", "biaffine"]) {
    space[`${head}.hidden_dim`] = [int(32, 1024, true), { head }];
    space[`${head}.activation`] = [choices("relu", "gelu", "tanh"), { head }];
    space[`${head}.dropout`] = [float(0, 0.6), { head }];
    space[`${head}.layers`] = [int(1, 4), { head }];
  }
  space["sgd.momentum"] = [float(0.5, 0.99), { optimizer: "sgd" }];
  space["sgd.nesterov"] = [choices(true, false), { optimizer: "sgd" }];
  space["sgd.dampening"] = [float(0, 0.5), { optimizer: "sgd" }];
  space["synonyms.rate"] = [float(0.01, 0.4, true), { augmentation: "synonyms" }];
  space["synonyms.copies"] = [int(1, 8), { augmentation: "synonyms" }];
  space["synonyms.share"] = [{ type: "float", low: 0.1, high: 1, step: 0.1 }, { augmentation: "synonyms" }];
  return space;
}

/** Asks for all that applies; the value is one of no further interest. */
export function suggestAll(space: Record<string, Conditional>, suggest: Suggest): number {
  const values: Params = {};
  for (const [name, [distribution, parents]] of Object.entries(space)) {
    const applies = Object.entries(parents ?? {}).every(([parent, value]) => values[parent] === value);
    if (applies) values[name] = suggest(name, distribution);
  }
  return (Math.log10(values["learning_rate"] as number) + 4.5) ** 2 + (values["dropout"] as number);
}

/** Medians of both sides. */
export async function askSpeed(finished: number, repetitions: number) {
  const space = conditionalSpace();
  const trials: FrozenTrial[] = [];
  const history: StudyHistory = { studyName: "speed", directions: ["minimize"], trials };
  const random = randomSampler({ seed: 1 });
  while (trials.length < finished) trials.push(runTrial(random, history, (suggest) => suggestAll(space, suggest)));
  const request = {
    repetitions,
    trials: trials.map(({ params, values }) => ({ params, value: values![0] })),
    space: Object.fromEntries(
      Object.entries(space).map(([name, [distribution, parents]]) => [name, [toOptunaJson(distribution), parents]]),
    ),
  };
  const sampler = tpeSampler({ seed: 1, group: true });
  const milliseconds: number[] = [];
  for (let i = 0; i < repetitions; i++) {
    const start = performance.now();
    const trial = runTrial(sampler, history, (suggest) => suggestAll(space, suggest));
    milliseconds.push(performance.now() - start);
    trials.push({ ...trial, values: [1 + i] });
  }
  const theirs = await askPython<{ optuna: string; seconds: number[] }>("tpe_ask.py", [], request);
  const winnow = median(milliseconds), optuna = 1000 * median(theirs.seconds);
  return {
    ...{ parameters: Object.keys(space).length, finished, repetitions, version: theirs.optuna },
    ...{ winnow_ms: winnow, winnow_first_ms: milliseconds[0]!, optuna_ms: optuna, ratio: optuna / winnow },
  };
}

if (import.meta.main) {
  const figures = await askSpeed(1000, 30);
  if (Deno.args.includes("--json")) console.log(JSON.stringify(figures, null, 2));
  else {
    const { parameters, finished, version, winnow_ms, winnow_first_ms, optuna_ms, ratio } = figures;
    console.log(`ask, ${parameters} conditional parameters, ${finished} finished trials, medians of one run:`);
    console.log(`Winnow ${winnow_ms.toFixed(2)} ms (the first, without caches, ${winnow_first_ms.toFixed(1)} ms)`);
    console.log(`Optuna ${version} ${optuna_ms.toFixed(1)} ms: ${ratio.toFixed(1)} times as long`);
  }
}
