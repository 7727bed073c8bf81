/** The shape of a BERT model, from the config.json beside its weights. */
import { join } from "node:path";
import { z } from "zod";
import { inputError } from "../support/errors.ts";

const positive = z.int().min(1).max(2 ** 24);
const probability = z.number().min(0).max(1);

/**
 * What Winnow needs of a `BertConfig`; names, defaults and meanings are those of Hugging Face. Other keys are let pass.
 */
export const bertConfigSchema = z.object({
  model_type: z.literal("bert"),
  hidden_size: positive.default(768),
  num_hidden_layers: positive.default(12),
  num_attention_heads: positive.default(12),
  intermediate_size: positive.default(3072),
  vocab_size: positive.default(30522),
  max_position_embeddings: positive.default(512),
  type_vocab_size: positive.default(2),
  layer_norm_eps: z.number().positive().max(1).default(1e-12),
  hidden_act: z.enum(["gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_python", "relu"]).default("gelu"),
  hidden_dropout_prob: probability.default(0.1),
  attention_probs_dropout_prob: probability.default(0.1),
  pad_token_id: z.int().min(0).default(0),
}).refine((config) => config.hidden_size % config.num_attention_heads === 0, {
  path: ["num_attention_heads"],
  message: "expected a divisor of hidden_size",
}).refine((config) => config.pad_token_id < config.vocab_size, {
  path: ["pad_token_id"],
  message: "expected an id below vocab_size",
});

/** A BERT model's shape and rates. */
export type BertConfig = z.infer<typeof bertConfigSchema>;

/**
 * The configuration in a model's folder.
 *
 * @throws an input error when config.json is missing, damaged, of another model family than BERT, or asks for relative
 * positions
 */
export async function readBertConfig(folder: string): Promise<BertConfig> {
  const path = join(folder, "config.json");
  let json: unknown;
  try {
    json = JSON.parse(await Deno.readTextFile(path));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw inputError(`${folder} has no config.json`, "Choose a model folder as `save_pretrained` writes it", {
        cause,
      });
    }
    if (!(cause instanceof SyntaxError)) throw cause;
    throw inputError(`${path} is not JSON: ${cause.message}`, "Fetch the model again", { cause });
  }
  const family = z.looseObject({ model_type: z.string(), position_embedding_type: z.string().nullish() }).safeParse(
    json,
  );
  if (!family.success) throw inputError(`${path} names no model_type`, "Choose a model of the type bert");
  const { model_type, position_embedding_type } = family.data;
  if (model_type !== "bert") {
    throw inputError(
      `${path} describes a model of the family ${JSON.stringify(model_type)}; supported is "bert"`,
      "Choose a BERT model, such as google-bert/bert-base-uncased",
    );
  }
  if ((position_embedding_type ?? "absolute") !== "absolute") {
    throw inputError(
      `${path} asks for ${JSON.stringify(position_embedding_type)} position embeddings; supported is "absolute"`,
      "Choose a BERT model with absolute positions",
    );
  }
  const config = bertConfigSchema.safeParse(json);
  if (config.success) return config.data;
  const issue = config.error.issues[0]!;
  throw inputError(
    `${path}: ${issue.path.join(".")}: ${issue.message}`,
    "Correct config.json or fetch the model again",
  );
}
