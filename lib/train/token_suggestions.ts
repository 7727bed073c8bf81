/**
 * Tokens that could stand in a place of a text, from a checkpoint: by its masked-language-model head where it has one,
 * else by the neighbours of the present token in its table of word embeddings. All products are made on the GPU.
 */
import type { Gpu } from "../gpu/device.ts";
import { inputError } from "../support/errors.ts";
import type { EncoderConfig } from "../weights/encoder_config.ts";
import { resolveEncoderNames, resolveMaskedLMNames } from "../weights/encoder_names.ts";
import { openWeights } from "../weights/weights_file.ts";
import { openEmbeddingNeighbours } from "./embedding_neighbours.ts";
import { openMaskedLM } from "./masked_lm_runner.ts";

/** A token that could stand in a place. */
export interface TokenCandidate {
  readonly id: number;
  /** The head's logit, or the cosine of the two embeddings. */
  readonly score: number;
}

/** A text and the token in it to be replaced. */
export interface TokenQuery {
  /** Token ids with the special tokens around them. */
  readonly ids: Uint32Array;
  /** Index in `ids`. */
  readonly position: number;
}

/** Suggests tokens. */
export interface TokenSuggester {
  readonly source: "masked_lm" | "embedding";
  /**
   * For each text the `count` best tokens, best first; among equals the smaller id. `masked_lm` puts the mask in the
   * token's place and may well suggest the token itself; `embedding` never does. Special tokens are not left out. A text
   * of more tokens than the model has positions is cut to those around the place.
   *
   * @throws an input error for an id that the vocabulary lacks
   */
  suggest(rows: readonly TokenQuery[], count: number): Promise<TokenCandidate[][]>;
  /** Frees the GPU's memory. */
  close(): void;
}

/** What a suggester is opened for. */
export interface TokenSuggesterOptions {
  readonly encoder: EncoderConfig;
  /** Holds the weights. */
  readonly folder: string;
  readonly maskId: number;
  readonly padId: number;
  readonly clsId: number;
  readonly sepId: number;
}

/**
 * Opens the weights in a model's folder for suggestions: by its head where it has one, else by its embeddings.
 *
 * @throws an input error when the folder lacks weights, they do not go with `encoder`, or the GPU refuses the memory
 */
export async function openTokenSuggester(gpu: Gpu, options: TokenSuggesterOptions): Promise<TokenSuggester> {
  const { folder, encoder } = options;
  using file = openWeights(folder);
  const names = resolveEncoderNames(file.tensors.keys(), encoder.model_type);
  const head = resolveMaskedLMNames(file.tensors.keys(), encoder.model_type);
  /** A tensor of the file in the shape that the architecture has for it. */
  const read = (name: string, stored: string | undefined, shape: readonly number[]) => {
    const found = stored === undefined ? undefined : file.tensors.get(stored);
    if (stored === undefined || found?.shape.join() !== shape.join()) {
      throw inputError(
        `${folder}: expected ${name} of shape [${shape}] but found ` +
          (found ? `shape [${found.shape}]` : "no such tensor"),
        "Check that weights and config.json belong to the same model",
      );
    }
    return file.readFloat32(stored);
  };
  return head
    ? await openMaskedLM(gpu, options, {
      encoder: (name, shape) => read(name, names.get(name), shape),
      head: (name, shape) => read(name, head.get(name), shape),
      decodes: head.has("decoder.weight"),
    })
    : await openEmbeddingNeighbours(gpu, encoder, (name, shape) => read(name, names.get(name), shape));
}
