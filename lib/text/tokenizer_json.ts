/** tokenizer.json, the file of Hugging Face's `tokenizers`: its outline, and refusals of parts that we do not have. */
import { z } from "zod";
import { inputError } from "../support/errors.ts";
import { addedTokenJson } from "./tokenizer_config.ts";

const part = z.looseObject({ type: z.string() }).nullish();

/** The outline of tokenizer.json; model, normalizer and the like have schemas of their own. */
export const tokenizerJson = z.object({
  added_tokens: z.array(addedTokenJson).nullish(),
  normalizer: part,
  pre_tokenizer: part,
  post_processor: part,
  model: z.looseObject({ type: z.string().optional() }),
});

/** tokenizer.json in outline. */
export type TokenizerJson = z.infer<typeof tokenizerJson>;

/**
 * Refuses a tokenizer.json that has other parts than a tokenizer of its kind.
 *
 * @param parts what each part is called, its type in the file, and its type in this kind ("none" where there is none)
 * @throws an input error that names the part
 */
export function refuseParts(
  path: string,
  parts: readonly (readonly [part: string, found: string | undefined, supported: string])[],
): void {
  for (const [part, found = "none", supported] of parts) {
    if (found !== supported) {
      throw inputError(
        `The tokenizer of ${path} has the ${part} ${found}; supported is ${supported}`,
        "Choose a model of the families BERT, DistilBERT or RoBERTa with its own tokenizer",
      );
    }
  }
}
