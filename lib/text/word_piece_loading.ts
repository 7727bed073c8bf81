/** BERT's and DistilBERT's tokenizer from their files: tokenizer.json, or vocab.txt alone. */
import { join } from "node:path";
import { z } from "zod";
import { BERT_SPECIAL_TOKENS } from "./special_tokens.ts";
import type { Tokenizer } from "./tokenizer.ts";
import {
  addedTokensWithoutJson,
  specialNames,
  stateSettings,
  toAddedToken,
  type TokenizerConfig,
} from "./tokenizer_config.ts";
import { check, readJson, tokenIds, type TokenizerFiles } from "./tokenizer_files.ts";
import { refuseParts, type TokenizerJson } from "./tokenizer_json.ts";
import { tokenizerFrom, type WordPieceDefinition } from "./word_piece_tokenizer.ts";

const normalizerJson = z.object({
  clean_text: z.boolean(),
  handle_chinese_chars: z.boolean(),
  strip_accents: z.boolean().nullish(),
  lowercase: z.boolean(),
});

const modelJson = z.object({
  unk_token: z.string(),
  continuing_subword_prefix: z.string().default("##"),
  max_input_chars_per_word: z.int().min(1).max(10_000).default(100),
  vocab: z.unknown(),
});

/**
 * The tokenizer of a tokenizer.json with a WordPiece model. What tokenizer_config.json says of case, accents and
 * ideographs goes before it.
 *
 * @throws an input error when the file is damaged or has parts that BERT has not
 */
export function wordPieceFromJson(
  files: TokenizerFiles,
  fast: TokenizerJson,
  config: TokenizerConfig,
  lowerCase: boolean | undefined,
): Tokenizer {
  const path = join(files.folder, "tokenizer.json");
  refuseParts(path, [
    ["normalizer", fast.normalizer?.type, "BertNormalizer"],
    ["pre-tokenizer", fast.pre_tokenizer?.type, "BertPreTokenizer"],
  ]);
  const model = check(modelJson, fast.model, `"model" in ${path}`);
  const normalizer = check(normalizerJson, fast.normalizer, `"normalizer" in ${path}`);
  const lowercase = lowerCase ?? config.do_lower_case ?? normalizer.lowercase;
  const definition: WordPieceDefinition = {
    vocabulary: tokenIds(model.vocab, `"vocab" in ${path}`),
    normalizer: {
      cleanText: normalizer.clean_text,
      handleChineseChars: config.tokenize_chinese_chars ?? normalizer.handle_chinese_chars,
      stripAccents: config.strip_accents ?? normalizer.strip_accents ?? lowercase,
      lowercase,
    },
    special: { ...specialNames(config, BERT_SPECIAL_TOKENS), unk: model.unk_token },
    addedTokens: (fast.added_tokens ?? []).map(toAddedToken),
    continuingPrefix: model.continuing_subword_prefix,
    maxCharactersPerWord: model.max_input_chars_per_word,
  };
  return tokenizerFrom(definition, () => statedFiles(files, definition));
}

/**
 * The tokenizer of a vocab.txt. Where neither the caller nor tokenizer_config.json says whether the model is cased, text
 * is lowered, whatever the vocabulary holds: so `transformers` does.
 *
 * @throws an input error when a special token is missing
 */
export function wordPieceFromLines(
  files: TokenizerFiles,
  lines: readonly string[],
  config: TokenizerConfig,
  lowerCase: boolean | undefined,
): Tokenizer {
  const vocabulary = vocabularyOf(lines);
  const special = specialNames(config, BERT_SPECIAL_TOKENS);
  const lowercase = lowerCase ?? config.do_lower_case ?? true;
  const definition: WordPieceDefinition = {
    vocabulary,
    normalizer: {
      cleanText: true,
      handleChineseChars: config.tokenize_chinese_chars ?? true,
      stripAccents: config.strip_accents ?? lowercase,
      lowercase,
    },
    special,
    addedTokens: addedTokensWithoutJson(config, special, vocabulary),
    continuingPrefix: "##",
    maxCharactersPerWord: 100,
  };
  return tokenizerFrom(definition, () => statedFiles(files, definition));
}

/** The tokens of vocab.txt as the Rust library reads it: no whitespace at their ends; of equal lines the last counts. */
function vocabularyOf(lines: readonly string[]): Map<string, number> {
  return new Map(lines.map((line, id) => [trimEnd(line), id]));
}

/** Rust's `str::trim_end`: by the property White_Space, which JavaScript's is not quite. */
function trimEnd(line: string): string {
  let end = line.length;
  while (end > 0 && /\p{White_Space}/u.test(line[end - 1]!)) end--;
  return line.slice(0, end);
}

function statedFiles(files: TokenizerFiles, { normalizer }: WordPieceDefinition): Map<string, Uint8Array> {
  const { lowercase, stripAccents, handleChineseChars } = normalizer;
  const stated = stateSettings(
    files,
    { do_lower_case: lowercase, strip_accents: stripAccents, tokenize_chinese_chars: handleChineseChars },
    { do_lower_case: true, strip_accents: lowercase, tokenize_chinese_chars: true },
  );
  const fast = readJson(files, "tokenizer.json", z.looseObject({ normalizer: normalizerJson.loose() }));
  if (fast) {
    const was = fast.normalizer;
    const same = was.lowercase === lowercase && (was.strip_accents ?? was.lowercase) === stripAccents &&
      was.handle_chinese_chars === handleChineseChars;
    if (!same) {
      const now = { lowercase, strip_accents: stripAccents, handle_chinese_chars: handleChineseChars };
      const text = JSON.stringify({ ...fast, normalizer: { ...was, ...now } });
      stated.set("tokenizer.json", new TextEncoder().encode(text));
    }
  }
  return stated;
}
