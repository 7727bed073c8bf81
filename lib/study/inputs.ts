/** What the configuration says about input rows, for checkpoints and for the preflight. */
import type { Config } from "../config/schema.ts";
import { shortestMaxLength } from "../data/input_frame.ts";
import { encodingOptions, type SplitDataset } from "./data_source.ts";
import type { ModelSource } from "./model_source.ts";

/**
 * How posts become input rows, as checkpoints record it: no aggregation where there are no windows, and the texts of
 * the criteria where inputs have them. Configurations with equal records encode alike.
 */
export function inputRecord(config: Config, { dataset }: SplitDataset) {
  const { format, maxLength, docStride, aggregation, criteria } = encodingOptions(config, dataset.criteria);
  return {
    input_format: format,
    max_length: maxLength,
    doc_stride: docStride,
    window_aggregation: docStride === null ? null : aggregation,
    criterion_texts: format === "binary_pairs" ? criteria.map(({ text }) => text) : null,
  };
}

/** The least `data.max_length` that the rest of the configuration allows. @throws an input error when it has less */
export function shortestLength(
  { config, data, model }: { config: Config; data: SplitDataset; model: ModelSource },
): number {
  return shortestMaxLength(model.tokenizer, encodingOptions(config, data.dataset.criteria));
}
