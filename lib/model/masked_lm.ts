/**
 * What an encoder knows of words that could stand in a place: the logits of its masked-language-model head at one token
 * of each text, and the similarity of rows in its table of word embeddings. Outside of training only.
 */
import { createGraph, type Graph, type Target } from "../graph/graph.ts";
import { activate } from "../graph/ops/elementwise.ts";
import { layerNorm } from "../graph/ops/layer_norm.ts";
import { linear } from "../graph/ops/linear.ts";
import { pool } from "../graph/ops/pool.ts";
import type { ParameterSet, ParameterSpec } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";
import { ACTIVATIONS, type EncoderConfig } from "../weights/encoder_config.ts";
import { encoder, type EncoderInputs, encoderParameters } from "./encoder.ts";
import { linearParameters } from "./layers.ts";

/** The table of word embeddings. [V, C] */
const WORDS = "embeddings.word_embeddings.weight";
/** Names of the head's parameters begin with this; what follows is as `resolveMaskedLMNames` has it. */
export const HEAD_PREFIX = "masked_lm.";

/** Scores of some vocabulary entries, [B, rows], that begin at `firstRow`. */
export interface VocabularyScores {
  readonly scores: Tensor;
  readonly firstRow: number;
  readonly rows: number;
}

/** The parameters of encoder and head; a tied head decodes by the table of word embeddings. */
export function maskedLMParameters(config: EncoderConfig, { tied }: { tied: boolean }): ParameterSpec[] {
  const { hidden_size: hidden, vocab_size: vocabulary } = config;
  const vector = (name: string, size: number): ParameterSpec => ({
    name: HEAD_PREFIX + name,
    shape: [size],
    initialisation: "zeros",
    decay: false,
  });
  const [decoder] = linearParameters(`${HEAD_PREFIX}decoder`, vocabulary, hidden);
  return [
    ...encoderParameters(config),
    ...linearParameters(`${HEAD_PREFIX}dense`, hidden, hidden),
    vector("norm.weight", hidden),
    vector("norm.bias", hidden),
    vector("decoder.bias", vocabulary),
    ...(tied ? [] : [decoder!]),
  ];
}

/** Rows of the vocabulary whose products are made by one GEMM: a multiple of every tile and of every binding offset. */
const WINDOW_UNIT = 128;

/**
 * Windows of a table [rows, width] and of a vector [rows], each within the binding limit, whose offsets are aligned in
 * both. What is left over of whole units stands in a window of its own, so that the rest meets the fast GEMM kernels.
 *
 * @throws {RangeError} when a window of one unit is over the limit
 */
export function vocabularyWindows(
  rows: number,
  width: number,
  { maxBindingBytes, alignment }: Pick<Target, "maxBindingBytes" | "alignment">,
): { firstRow: number; rows: number }[] {
  const unit = Math.max(WINDOW_UNIT, alignment / 4);
  const perWindow = Math.floor(maxBindingBytes / (4 * width * unit)) * unit;
  if (perWindow === 0 && rows > 0) {
    throw new RangeError(`${unit} rows of ${width} are over the adapter's binding limit of ${maxBindingBytes} bytes`);
  }
  const windows: { firstRow: number; rows: number }[] = [];
  const whole = rows - rows % unit;
  for (let firstRow = 0; firstRow < whole; firstRow += perWindow) {
    windows.push({ firstRow, rows: Math.min(perWindow, whole - firstRow) });
  }
  if (whole < rows) windows.push({ firstRow: whole, rows: rows - whole });
  return windows;
}

/** x [B, C] · tableᵀ + bias for a parameter table [V, C], window by window, kept for reading back. */
function vocabularyScores(
  g: Graph,
  parameters: ParameterSet,
  x: Tensor,
  names: { table: string; bias?: string },
  [rows, width]: readonly [number, number],
): VocabularyScores[] {
  const part = (name: string, window: { firstRow: number; rows: number }, columns: number) => {
    const { chunk, offset } = parameters.slot(name);
    const bytes = 4 * columns;
    const shape = columns > 1 ? [window.rows, columns] : [window.rows];
    const slot = { chunk, offset: offset + window.firstRow * bytes, size: window.rows * bytes };
    return g.fixed(`${name} from ${window.firstRow}`, shape, "parameter", slot);
  };
  return vocabularyWindows(rows, width, g.target).map((window) => {
    const weight = part(names.table, window, width);
    const scores = linear(g, {
      x,
      weight,
      ...(names.bias === undefined ? {} : { bias: part(names.bias, window, 1) }),
    });
    g.keep(scores);
    return { scores, ...window };
  });
}

/**
 * The head's logits at one token of each text, as `BertForMaskedLM`, `RobertaForMaskedLM` and `DistilBertForMaskedLM`.
 *
 * @param bind the encoder's inputs, and `selected` [B, T]: 1 at that token of each text, else 0
 */
export function maskedLMGraph(
  target: Target,
  config: EncoderConfig,
  parameters: ParameterSet,
  bind: (g: Graph) => { inputs: EncoderInputs; selected: Tensor },
): { graph: Graph; logits: VocabularyScores[] } {
  const g = createGraph(target, false);
  const { inputs, selected } = bind(g);
  const parameter = (name: string) => parameters.tensor(g, name);
  const head = (name: string) => parameter(HEAD_PREFIX + name);
  const hidden = encoder(g, config, parameter, inputs).at(-1)!; //              [B, T, C]
  const token = pool(g, hidden, "mean", selected); //                           [B, C]: the mean over one token
  const dense = linear(g, { x: token, weight: head("dense.weight"), bias: head("dense.bias") });
  // RoBERTa's head is written with GELU by erf, whatever its layers have.
  const kind = config.model_type === "roberta" ? "gelu_erf" : ACTIVATIONS[config.hidden_act];
  const normal = layerNorm(g, {
    x: activate(g, dense, kind),
    gamma: head("norm.weight"),
    beta: head("norm.bias"),
  }, { epsilon: config.layer_norm_eps }); //                                    [B, C]
  const own = `${HEAD_PREFIX}decoder.weight`;
  const table = parameters.specs.some(({ name }) => name === own) ? own : WORDS;
  const names = { table, bias: `${HEAD_PREFIX}decoder.bias` };
  return { graph: g, logits: vocabularyScores(g, parameters, normal, names, [config.vocab_size, config.hidden_size]) };
}

/** The table of word embeddings alone. [V, C] */
export function wordTable({ vocab_size, hidden_size }: EncoderConfig): ParameterSpec {
  return { name: WORDS, shape: [vocab_size, hidden_size], initialisation: "normal", decay: true };
}

/** Products of rows [B, C] with every row of the word table: cosines, where all rows have length 1. */
export function wordProductsGraph(
  target: Target,
  config: EncoderConfig,
  parameters: ParameterSet,
  bind: (g: Graph) => Tensor,
): { graph: Graph; products: VocabularyScores[] } {
  const g = createGraph(target, false);
  const shape = [config.vocab_size, config.hidden_size] as const;
  return { graph: g, products: vocabularyScores(g, parameters, bind(g), { table: WORDS }, shape) };
}
