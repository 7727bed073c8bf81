/**
 * `winnow.json` of an exported model: what prediction needs beside the weights, and where they come from. It may come from
 * anybody, so every number in it has a bound. `contracts/model.schema.json` is generated from the schema here.
 */
import { z } from "zod";
import { configSchema } from "../config/schema.ts";
import { INPUT_FORMATS, WINDOW_AGGREGATIONS } from "../data/input_frame.ts";
import { sha256, time } from "./fields.ts";
import { criteriaThresholdsSchema, evidenceThresholdsSchema } from "./split_schema.ts";

const name = z.string().min(1).max(1000);
const metrics = z.record(z.string(), z.number().nullable());

/** How posts become input rows, as checkpoints record it. */
export const inputSettingsSchema = z.object({
  input_format: z.enum(Object.keys(INPUT_FORMATS) as (keyof typeof INPUT_FORMATS)[]),
  max_length: z.int().min(4).max(65_536).describe("tokens of one input, special tokens and criterion text included"),
  doc_stride: z.int().min(0).max(65_535).nullable().describe("tokens that neighbouring windows share; null cuts off"),
  window_aggregation: z.enum(Object.keys(WINDOW_AGGREGATIONS) as (keyof typeof WINDOW_AGGREGATIONS)[]).nullable()
    .describe("null where there are no windows"),
  criterion_texts: z.array(z.string()).nullable().describe("what stands before the post, by criterion; binary_pairs"),
});

/** What is built on the encoder; names and meanings are those of the configuration's `model`. */
export const architectureSchema = z.strictObject(
  configSchema.shape.model.pick({
    activation: true,
    criteria_head_type: true,
    criteria_hidden_dim: true,
    criteria_pooling: true,
    evidence_head_type: true,
    evidence_hidden_dim: true,
    max_span_tokens: true,
    max_spans_per_doc: true,
    task_coupling: true,
    coupling_method: true,
    coupling_pooling: true,
    pool_before_combination: true,
  }).shape,
);

const settings = {
  criteria: z.array(name).min(1).max(1000).describe("in the order of the outputs"),
  architecture: architectureSchema,
  input: inputSettingsSchema,
  batch_size: z.int().min(1).max(1024).describe("input rows that are predicted at a time"),
  thresholds: criteriaThresholdsSchema,
  evidence_thresholds: evidenceThresholdsSchema,
};

/** What prediction needs beside encoder, weights and tokenizer. */
export type PredictionSettings = z.infer<z.ZodObject<typeof settings>>;

/** The schema of `winnow.json`. */
export const modelRecordSchema = z.strictObject({
  format: z.literal("winnow-model/1"),
  written: time,
  version: z.string().describe("Winnow's version"),
  ...settings,
  trained: z.strictObject({
    study_id: z.string(),
    trial_id: z.string(),
    trial_number: z.int().min(0),
    epoch: z.int().min(0),
    step: z.int().min(0),
    base: z.strictObject({
      id: z.string().describe("hub id, name of a local folder, or random"),
      revision: z.string(),
      license: z.string().nullable().describe("as the catalog of models has it; null where it is not known"),
    }),
    config: z.record(z.string(), z.json()).describe("the trial's configuration as far as it made the model"),
    adapter: z.string().nullable().describe("the GPU that it was trained on; null where no report says"),
  }),
  metrics: z.strictObject({
    metric: z.string().describe("what the search optimised, on the validation split"),
    direction: z.enum(["maximize", "minimize"]),
    validation: metrics.describe("of the exported weights"),
    test: metrics.nullable().describe("of the exported weights; null where they were not evaluated on the test split"),
    baseline: metrics.nullable().describe("test metrics of always predicting the majority, where a report has them"),
  }),
  data: z.strictObject({
    id: z.string(),
    revision: z.string().nullable(),
    sha256,
    split_sha256: sha256,
    posts: z.record(z.string(), z.int().min(0)),
  }).nullable().describe("what it was trained on; null where the trial has no report"),
}).meta({
  title: "Winnow model",
  description: "winnow.json of an exported model: what `deno task predict --model` needs, and where the model is from.",
});

/** `winnow.json` of an exported model. */
export type ModelRecord = z.infer<typeof modelRecordSchema>;
