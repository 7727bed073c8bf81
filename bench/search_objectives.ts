/** Functions to search on, each of which `tests/peers/tpe_search.py` has too; all are to be minimised. */
import type { Category, Distribution } from "../lib/hpo/space.ts";

/** How an objective asks for a parameter. */
export type Suggest = (name: string, distribution: Distribution) => Category;

const real = (low: number, high: number, log = false): Distribution => ({ type: "float", low, high, log });

/** Branin's function on [−5, 10] × [0, 15]; three minima of 0.397887. */
function branin(suggest: Suggest): number {
  const x = suggest("x", real(-5, 10)) as number, y = suggest("y", real(0, 15)) as number;
  return (y - 5.1 / (4 * Math.PI ** 2) * x * x + 5 / Math.PI * x - 6) ** 2 +
    10 * (1 - 1 / (8 * Math.PI)) * Math.cos(x) + 10;
}

/** Σ (i + 1)·(x_i − (i − 2))² on [−5, 5]⁵; minimum 0. */
function sphere5(suggest: Suggest): number {
  let sum = 0;
  for (let i = 0; i < 5; i++) sum += (i + 1) * (suggest(`x${i}`, real(-5, 5)) as number - (i - 2)) ** 2;
  return sum;
}

const ENCODERS = ["minilm", "bert", "roberta", "mental"];

/**
 * What a loss of our own space might look like: the encoder shifts the best learning rate, a head has parameters of its own,
 * dropout and batch size come in steps. Minimum 0.
 */
function conditional(suggest: Suggest): number {
  const encoder = ENCODERS.indexOf(suggest("encoder", { type: "categorical", choices: ENCODERS }) as string);
  const head = suggest("head", { type: "categorical", choices: ["linear", "mlp", "gated"] });
  const rate = Math.log10(suggest("learning_rate", real(1e-6, 1e-3, true)) as number);
  const dropout = suggest("dropout", { type: "float", low: 0, high: 0.5, step: 0.05 }) as number;
  const batch = suggest("batch_size", { type: "int", low: 4, high: 64, log: true }) as number;
  let loss = [0.3, 0.15, 0.05, 0][encoder]! + (rate - [-3.6, -4.3, -4.7, -4.5][encoder]!) ** 2 +
    4 * (dropout - 0.15) ** 2 + 0.05 * Math.log2(batch / 16) ** 2;
  if (head === "linear") loss += 0.25;
  if (head === "mlp") {
    const hidden = suggest("mlp.hidden_dim", { type: "int", low: 32, high: 1024, log: true }) as number;
    const activation = suggest("mlp.activation", { type: "categorical", choices: ["relu", "gelu", "tanh"] });
    loss += 0.08 * Math.log2(hidden / 256) ** 2 + (activation === "gelu" ? 0 : 0.1);
  }
  if (head === "gated") {
    const layers = suggest("gated.layers", { type: "int", low: 1, high: 4 }) as number;
    loss += 0.1 + 0.05 * (layers - 2) ** 2 + (suggest("gated.bias", real(-3, 3)) as number - 1) ** 2 / 10;
  }
  return loss;
}

/** The objectives by name. */
export const OBJECTIVES = { branin, sphere5, conditional };

/** The name of an objective. */
export type ObjectiveName = keyof typeof OBJECTIVES;
