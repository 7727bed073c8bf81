/** The special tokens that frame a model's input, by role. */
import { inputError } from "../support/errors.ts";
import type { AddedToken, NumberedToken } from "./added_tokens.ts";

/** The special tokens by role, as they are written. */
export interface SpecialTokens {
  pad: string;
  unk: string;
  cls: string;
  sep: string;
  mask: string;
}

/** The names that BERT and DistilBERT give their special tokens. */
export const BERT_SPECIAL_TOKENS: Readonly<SpecialTokens> = {
  pad: "[PAD]",
  unk: "[UNK]",
  cls: "[CLS]",
  sep: "[SEP]",
  mask: "[MASK]",
};

/** The names that RoBERTa gives its special tokens. */
export const ROBERTA_SPECIAL_TOKENS: Readonly<SpecialTokens> = {
  pad: "<pad>",
  unk: "<unk>",
  cls: "<s>",
  sep: "</s>",
  mask: "<mask>",
};

/** Ids of the special tokens, as a `Tokenizer` has them. */
export interface SpecialIds {
  padId: number;
  unkId: number;
  clsId: number;
  sepId: number;
  maskId: number;
}

/** The added-token entry of a special token: found in the original text, nothing stripped. */
export function specialToken(content: string): AddedToken {
  return { content, singleWord: false, lstrip: false, rstrip: false, normalized: false };
}

/**
 * The ids of the special tokens.
 *
 * @throws an input error when one is in neither the vocabulary nor the added tokens
 */
export function specialIds(
  special: SpecialTokens,
  vocabulary: ReadonlyMap<string, number>,
  addedTokens: readonly NumberedToken[],
): SpecialIds {
  const idOf = (token: string, role: string): number => {
    const id = addedTokens.find((added) => added.content === token)?.id ?? vocabulary.get(token);
    if (id === undefined) {
      throw inputError(
        `The vocabulary has no ${role} token "${token}"`,
        "Check that the vocabulary belongs to the model and that tokenizer_config.json names its special tokens",
      );
    }
    return id;
  };
  return {
    unkId: idOf(special.unk, "unknown"),
    clsId: idOf(special.cls, "classification"),
    sepId: idOf(special.sep, "separator"),
    padId: idOf(special.pad, "padding"),
    maskId: idOf(special.mask, "mask"),
  };
}
