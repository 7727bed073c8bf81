/** Reads the tokenizer beside a model's weights: tokenizer.json, or vocab.txt with tokenizer_config.json. */
import { join } from "node:path";
import { z } from "zod";
import { inputError } from "../support/errors.ts";
import type { AddedToken } from "./added_tokens.ts";
import type { Tokenizer } from "./tokenizer.ts";
import {
  BERT_SPECIAL_TOKENS,
  specialToken,
  type SpecialTokens,
  tokenizerFrom,
  type WordPieceDefinition,
} from "./word_piece_tokenizer.ts";

/** The files that make up a tokenizer, as `transformers` names them. */
const TOKENIZER_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.txt",
  "special_tokens_map.json",
  "added_tokens.json",
];

/** No tokenizer file of a WordPiece model comes near this; a larger one is not read. */
const MAX_FILE_BYTES = 64 * 2 ** 20;

const MAX_ID = 2 ** 24;
const id = z.int().min(0).max(MAX_ID);

const addedToken = z.object({
  content: z.string(),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().default(false),
});

const tokenizerJson = z.object({
  added_tokens: z.array(addedToken.extend({ id })).nullish(),
  normalizer: z.looseObject({ type: z.string() }).nullish(),
  pre_tokenizer: z.looseObject({ type: z.string() }).nullish(),
  model: z.looseObject({ type: z.string().optional() }),
});

const bertNormalizerJson = z.object({
  clean_text: z.boolean(),
  handle_chinese_chars: z.boolean(),
  strip_accents: z.boolean().nullish(),
  lowercase: z.boolean(),
});

const wordPieceJson = z.object({
  unk_token: z.string(),
  continuing_subword_prefix: z.string().default("##"),
  max_input_chars_per_word: z.int().min(1).max(10_000).default(100),
  vocab: z.record(z.string(), id),
});

const tokenName = z.union([z.string(), z.object({ content: z.string() }).transform((token) => token.content)])
  .nullish();

const tokenizerConfig = z.object({
  do_lower_case: z.boolean().nullish(),
  strip_accents: z.boolean().nullish(),
  tokenize_chinese_chars: z.boolean().nullish(),
  pad_token: tokenName,
  unk_token: tokenName,
  cls_token: tokenName,
  sep_token: tokenName,
  mask_token: tokenName,
  added_tokens_decoder: z.record(z.string().regex(/^\d{1,8}$/), addedToken).nullish(),
});

/**
 * The tokenizer in a model's folder. What tokenizer_config.json says of case, accents and ideographs goes before
 * tokenizer.json, as in `transformers`. Truncation and padding set in tokenizer.json are left to the caller.
 *
 * @throws an input error when there is no tokenizer, a file is damaged, or it is not BERT's WordPiece
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const files = new Map<string, Uint8Array>();
  for (const name of TOKENIZER_FILES) {
    const bytes = await readIfThere(join(folder, name));
    if (bytes) files.set(name, bytes);
  }
  const config = parse(files, folder, "tokenizer_config.json", tokenizerConfig) ?? tokenizerConfig.parse({});
  const fast = parse(files, folder, "tokenizer.json", tokenizerJson);
  const vocabulary = files.get("vocab.txt");
  if (!fast && !vocabulary) {
    throw inputError(
      `${folder} has no tokenizer: neither tokenizer.json nor vocab.txt`,
      "Choose a BERT model folder that holds one of them",
    );
  }
  const definition = fast
    ? fromTokenizerJson(fast, config, join(folder, "tokenizer.json"))
    : fromVocabularyText(new TextDecoder().decode(vocabulary), config);
  return tokenizerFrom(definition, () => new Map([...files].map(([name, bytes]) => [name, bytes.slice()])));
}

function fromTokenizerJson(
  fast: z.infer<typeof tokenizerJson>,
  config: z.infer<typeof tokenizerConfig>,
  path: string,
): WordPieceDefinition {
  const parts = [
    ["model", fast.model.type ?? "WordPiece", "WordPiece"],
    ["normalizer", fast.normalizer?.type ?? "none", "BertNormalizer"],
    ["pre-tokenizer", fast.pre_tokenizer?.type ?? "none", "BertPreTokenizer"],
  ] as const;
  for (const [part, found, supported] of parts) {
    if (found !== supported) {
      throw inputError(
        `The tokenizer of ${path} has the ${part} ${found}; supported is ${supported}`,
        "Choose a model of the BERT family with a WordPiece tokenizer",
      );
    }
  }
  const model = check(wordPieceJson, fast.model, `"model" in ${path}`);
  const normalizer = check(bertNormalizerJson, fast.normalizer, `"normalizer" in ${path}`);
  const lowercase = config.do_lower_case ?? normalizer.lowercase;
  return {
    vocabulary: new Map(Object.entries(model.vocab)),
    normalizer: {
      cleanText: normalizer.clean_text,
      handleChineseChars: config.tokenize_chinese_chars ?? normalizer.handle_chinese_chars,
      stripAccents: config.strip_accents ?? normalizer.strip_accents ?? lowercase,
      lowercase,
    },
    special: { ...specialNames(config), unk: model.unk_token },
    addedTokens: (fast.added_tokens ?? []).map((token) => toAddedToken(token.id, token)),
    continuingPrefix: model.continuing_subword_prefix,
    maxCharactersPerWord: model.max_input_chars_per_word,
  };
}

function fromVocabularyText(text: string, config: z.infer<typeof tokenizerConfig>): WordPieceDefinition {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const vocabulary = new Map(lines.map((token, id) => [token, id]));
  const special = specialNames(config);
  const added = new Map<string, AddedToken>();
  for (const token of Object.values(special)) {
    const id = vocabulary.get(token);
    if (id !== undefined) added.set(token, specialToken(token, id));
  }
  for (const [id, token] of Object.entries(config.added_tokens_decoder ?? {})) {
    added.set(token.content, toAddedToken(Number(id), token));
  }
  const lowercase = config.do_lower_case ?? true;
  return {
    vocabulary,
    normalizer: {
      cleanText: true,
      handleChineseChars: config.tokenize_chinese_chars ?? true,
      stripAccents: config.strip_accents ?? lowercase,
      lowercase,
    },
    special,
    addedTokens: [...added.values()],
    continuingPrefix: "##",
    maxCharactersPerWord: 100,
  };
}

function specialNames(config: z.infer<typeof tokenizerConfig>): SpecialTokens {
  return {
    pad: config.pad_token ?? BERT_SPECIAL_TOKENS.pad,
    unk: config.unk_token ?? BERT_SPECIAL_TOKENS.unk,
    cls: config.cls_token ?? BERT_SPECIAL_TOKENS.cls,
    sep: config.sep_token ?? BERT_SPECIAL_TOKENS.sep,
    mask: config.mask_token ?? BERT_SPECIAL_TOKENS.mask,
  };
}

function toAddedToken(id: number, token: z.infer<typeof addedToken>): AddedToken {
  const { content, lstrip, rstrip, normalized } = token;
  return { id, content, singleWord: token.single_word, lstrip, rstrip, normalized };
}

/** The file's bytes, or undefined when there is no such file. */
async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    const { size } = await Deno.stat(path);
    if (size > MAX_FILE_BYTES) {
      throw inputError(`${path} has ${size} bytes; a tokenizer file has at most ${MAX_FILE_BYTES}`, "Check the file");
    }
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** One JSON file through its schema; undefined when the file is not there. */
function parse<T>(files: Map<string, Uint8Array>, folder: string, name: string, schema: z.ZodType<T>): T | undefined {
  const bytes = files.get(name);
  if (!bytes) return undefined;
  const path = join(folder, name);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw inputError(`${path} is not JSON: ${(error as Error).message}`, "Fetch the file again", { cause: error });
  }
  return check(schema, json, path);
}

function check<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw inputError(`${where}: ${issue.path.join(".") || "value"}: ${issue.message}`, "Fetch the file again");
}
