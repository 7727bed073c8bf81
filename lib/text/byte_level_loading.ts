/** RoBERTa's tokenizer from its files: tokenizer.json, or vocab.json and merges.txt. */
import { join } from "node:path";
import { z } from "zod";
import { inputError } from "../support/errors.ts";
import { type ByteLevelDefinition, byteLevelTokenizer } from "./byte_level_tokenizer.ts";
import type { Merge } from "./byte_pair_encoding.ts";
import { readPostProcessor } from "./post_processor.ts";
import { ROBERTA_SPECIAL_TOKENS } from "./special_tokens.ts";
import type { Tokenizer } from "./tokenizer.ts";
import {
  addedTokensWithoutJson,
  specialNames,
  stateSettings,
  toAddedToken,
  type TokenizerConfig,
} from "./tokenizer_config.ts";
import { check, readJson, readLines, tokenIds, type TokenizerFiles } from "./tokenizer_files.ts";
import { refuseParts, type TokenizerJson } from "./tokenizer_json.ts";

const modelJson = z.object({
  dropout: z.number().nullish(),
  unk_token: z.string().nullish(),
  continuing_subword_prefix: z.string().nullish(),
  end_of_word_suffix: z.string().nullish(),
  fuse_unk: z.boolean().default(false),
  byte_fallback: z.boolean().default(false),
  ignore_merges: z.boolean().default(false),
  vocab: z.unknown(),
  merges: z.unknown(),
});

const preTokenizerJson = z.object({ add_prefix_space: z.boolean(), use_regex: z.boolean().default(true) });

/**
 * The tokenizer of a tokenizer.json with a byte-level BPE model. What tokenizer_config.json says of a space before the
 * text and of trimmed offsets goes before it.
 *
 * @throws an input error when the file is damaged or has parts or options that RoBERTa has not
 */
export function byteLevelFromJson(files: TokenizerFiles, fast: TokenizerJson, config: TokenizerConfig): Tokenizer {
  const path = join(files.folder, "tokenizer.json");
  refuseParts(path, [
    ["normalizer", fast.normalizer?.type, "none"],
    ["pre-tokenizer", fast.pre_tokenizer?.type, "ByteLevel"],
  ]);
  const model = check(modelJson, fast.model, `"model" in ${path}`);
  refuseOptions(path, model);
  const vocabulary = tokenIds(model.vocab, `"vocab" in ${path}`);
  const preTokenizer = check(preTokenizerJson, fast.pre_tokenizer, `"pre_tokenizer" in ${path}`);
  const { trims, frame } = readPostProcessor(fast.post_processor, path);
  const addPrefixSpace = config.add_prefix_space ?? preTokenizer.add_prefix_space;
  if (model.unk_token != null && !vocabulary.has(model.unk_token)) {
    throw inputError(`"vocab" in ${path} lacks the unknown token "${model.unk_token}"`, "Fetch the file again");
  }
  const definition: ByteLevelDefinition = {
    vocabulary,
    merges: listedMerges(model.merges, vocabulary, `"merges" in ${path}`),
    unknown: model.unk_token ?? undefined,
    fuseUnknown: model.fuse_unk,
    ignoreMerges: model.ignore_merges,
    addPrefixSpace,
    useRegex: preTokenizer.use_regex,
    trims: configured(trims, addPrefixSpace, config),
    special: { ...specialNames(config, ROBERTA_SPECIAL_TOKENS), ...frame && { cls: frame.cls, sep: frame.sep } },
    pairSeparators: frame?.pairSeparators ?? 2,
    addedTokens: (fast.added_tokens ?? []).map(toAddedToken),
  };
  return byteLevelTokenizer(definition, () => statedFiles(files, definition));
}

/**
 * The tokenizer of vocab.json and merges.txt with the settings that `transformers` gives a `RobertaTokenizer`.
 *
 * @throws an input error when a file is damaged or a special token is missing
 */
export function byteLevelFromText(files: TokenizerFiles, config: TokenizerConfig): Tokenizer {
  const vocabulary = tokenIds(readJson(files, "vocab.json", z.unknown()), join(files.folder, "vocab.json"));
  const special = specialNames(config, ROBERTA_SPECIAL_TOKENS);
  const addPrefixSpace = config.add_prefix_space ?? false;
  const definition: ByteLevelDefinition = {
    vocabulary,
    merges: listedMerges(readLines(files, "merges.txt"), vocabulary, join(files.folder, "merges.txt")),
    unknown: undefined,
    fuseUnknown: false,
    ignoreMerges: false,
    addPrefixSpace,
    useRegex: true,
    trims: configured([addPrefixSpace], addPrefixSpace, config),
    special,
    pairSeparators: 2,
    addedTokens: addedTokensWithoutJson(config, special, vocabulary),
  };
  return byteLevelTokenizer(definition, () => statedFiles(files, definition));
}

function refuseOptions(path: string, model: z.infer<typeof modelJson>): void {
  const options = {
    dropout: model.dropout,
    byte_fallback: model.byte_fallback,
    continuing_subword_prefix: model.continuing_subword_prefix,
    end_of_word_suffix: model.end_of_word_suffix,
  };
  const used = Object.entries(options).find(([, value]) => value);
  if (used) {
    throw inputError(
      `The tokenizer of ${path} sets ${used[0]} to ${JSON.stringify(used[1])}, which is not supported`,
      "Choose a model of the RoBERTa family with its own tokenizer",
    );
  }
}

/** The merges of a list whose entries are "left right", as in merges.txt, or [left, right]. */
function listedMerges(list: unknown, vocabulary: ReadonlyMap<string, number>, where: string): Merge[] {
  if (!Array.isArray(list)) throw inputError(`${where} is not a list`, "Fetch the file again");
  const merges: Merge[] = [];
  for (const [index, entry] of list.entries()) {
    if (typeof entry === "string" && entry.startsWith("#version")) continue;
    const pair: unknown = typeof entry === "string" ? entry.split(" ", 3) : entry;
    if (!Array.isArray(pair) || pair.length !== 2 || pair.some((token) => typeof token !== "string")) {
      throw inputError(`${where}: entry ${index + 1} is not two tokens`, "Fetch the file again");
    }
    const [left, right, joined] = [...pair, pair.join("")].map((token) => {
      const id = vocabulary.get(token);
      if (id !== undefined) return id;
      const shown = JSON.stringify(token).slice(0, 100);
      throw inputError(
        `${where}: entry ${index + 1} has ${shown}, which is not in the vocabulary`,
        "Use the merges that belong to this vocabulary",
      );
    });
    merges.push({ left: left!, right: right!, joined: joined! });
  }
  return merges;
}

/** The steps that trim offsets, with what tokenizer_config.json changes. */
function configured(trims: boolean[], addPrefixSpace: boolean, config: TokenizerConfig): boolean[] {
  if (config.trim_offsets === false) return [];
  if (config.trim_offsets === true && trims.length === 0) return [addPrefixSpace];
  return trims.map((own) => config.add_prefix_space ?? own);
}

function statedFiles(files: TokenizerFiles, { addPrefixSpace, trims }: ByteLevelDefinition): Map<string, Uint8Array> {
  return stateSettings(
    files,
    { add_prefix_space: addPrefixSpace, trim_offsets: trims.length > 0 },
    { add_prefix_space: false, trim_offsets: true },
  );
}
