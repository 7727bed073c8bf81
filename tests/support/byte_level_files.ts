/** tokenizer.json files of small byte-level BPE tokenizers. */
import { BYTE_CHARACTERS } from "../../lib/text/byte_alphabet.ts";

export const ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];

/** RoBERTa's vocabulary in small: special tokens, bytes, then what each merge gives. */
export function byteLevelVocabulary(merges: readonly string[]): Record<string, number> {
  const tokens = [
    ...new Set([...ROBERTA_SPECIAL, ...BYTE_CHARACTERS, ...merges.map((merge) => merge.replace(" ", ""))]),
  ];
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

/** An entry of `added_tokens` for a special token. */
export function addedTokenEntry(content: string, id: number, more: object = {}): object {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return { ...flags, id, content, ...more };
}

/** The post-processor that RoBERTa has. */
export function robertaProcessing(vocab: Record<string, number>, addPrefixSpace = false, trimOffsets = true): object {
  return {
    type: "RobertaProcessing",
    sep: ["</s>", vocab["</s>"]],
    cls: ["<s>", vocab["<s>"]],
    trim_offsets: trimOffsets,
    add_prefix_space: addPrefixSpace,
  };
}

/** The pre-tokenizer that RoBERTa has, which may stand as a post-processor, too. */
export function byteLevel(addPrefixSpace = false, trimOffsets = true, useRegex = true): object {
  return { type: "ByteLevel", add_prefix_space: addPrefixSpace, trim_offsets: trimOffsets, use_regex: useRegex };
}

/** RoBERTa's tokenizer.json in small, for merges such as "Ġ t". */
export function byteLevelJson(merges: readonly string[]) {
  const vocab = byteLevelVocabulary(merges);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: ROBERTA_SPECIAL.map((content) =>
      addedTokenEntry(content, vocab[content]!, { lstrip: content === "<mask>" })
    ),
    normalizer: null as object | null,
    pre_tokenizer: byteLevel() as object | null,
    post_processor: robertaProcessing(vocab) as object | null,
    decoder: byteLevel(true),
    model: {
      type: "BPE",
      dropout: null as number | null,
      unk_token: null as string | null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      vocab: vocab as unknown,
      merges: merges as unknown,
    } as Record<string, unknown>,
  };
}
