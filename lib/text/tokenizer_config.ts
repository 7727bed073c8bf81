/** tokenizer_config.json, special_tokens_map.json and added_tokens.json, read as Python's `transformers` reads them. */
import { join } from "node:path";
import { z } from "zod";
import type { AddedToken } from "./added_tokens.ts";
import { specialToken, type SpecialTokens } from "./special_tokens.ts";
import { check, readJson, tokenIds, type TokenizerFiles } from "./tokenizer_files.ts";

/** An entry of `added_tokens`; `normalized` is what `special` is not unless it is said. */
export const addedTokenJson = z.object({
  content: z.string(),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().nullish(),
  special: z.boolean().default(false),
});

/** A special token: how it is written, or that with the flags of an added token. */
const named = z.union([z.string(), addedTokenJson]).nullish();

const names = {
  bos_token: named,
  eos_token: named,
  unk_token: named,
  sep_token: named,
  pad_token: named,
  cls_token: named,
  mask_token: named,
  additional_special_tokens: z.array(z.union([z.string(), addedTokenJson])).nullish(),
  // A table of names and tokens is for other families.
  extra_special_tokens: z.array(z.union([z.string(), addedTokenJson])).nullish().catch(null),
};
const namesJson = z.object(names);

const configJson = z.looseObject({
  ...names,
  do_lower_case: z.boolean().nullish(),
  strip_accents: z.boolean().nullish(),
  tokenize_chinese_chars: z.boolean().nullish(),
  add_prefix_space: z.boolean().nullish(),
  trim_offsets: z.boolean().nullish(),
  added_tokens_decoder: z.record(z.string().regex(/^\d{1,8}$/), addedTokenJson).nullish(),
});

/** What the files beside the vocabulary say. */
export interface TokenizerConfig extends z.infer<typeof configJson> {
  /** Tokens of added_tokens.json in the order of their ids. */
  addedTokens: string[];
}

/**
 * What the files beside the vocabulary say, each of them optional. As in `transformers`, special_tokens_map.json goes
 * before tokenizer_config.json, unless this has an `added_tokens_decoder`: then only this counts.
 *
 * @throws an input error when a file is damaged
 */
export function readTokenizerConfig(files: TokenizerFiles): TokenizerConfig {
  const config = readJson(files, "tokenizer_config.json", configJson) ?? {};
  const map = readJson(files, "special_tokens_map.json", namesJson) ?? {};
  const path = join(files.folder, "added_tokens.json");
  const added = tokenIds(readJson(files, "added_tokens.json", z.unknown()) ?? {}, path);
  if (config.added_tokens_decoder) return { ...config, addedTokens: [] };
  const addedTokens = [...added].sort(([, a], [, b]) => a - b).map(([token]) => token);
  return { ...config, ...map, addedTokens };
}

/** The special tokens as the configuration names them, else as the family does. */
export function specialNames(config: TokenizerConfig, family: Readonly<SpecialTokens>): SpecialTokens {
  const name = (token: z.infer<typeof named>) => typeof token === "string" ? token : token?.content;
  return {
    pad: name(config.pad_token) ?? family.pad,
    unk: name(config.unk_token) ?? family.unk,
    cls: name(config.cls_token) ?? family.cls,
    sep: name(config.sep_token) ?? family.sep,
    mask: name(config.mask_token) ?? family.mask,
  };
}

/**
 * The added tokens of a tokenizer that has no tokenizer.json: those of the files beside the vocabulary, then the special
 * tokens that the vocabulary has. A token named twice keeps the flags it has first.
 */
export function addedTokensWithoutJson(
  config: TokenizerConfig,
  special: SpecialTokens,
  vocabulary: ReadonlyMap<string, number>,
): AddedToken[] {
  const tokens = new Map<string, AddedToken>();
  const add = (token: AddedToken) => {
    if (!tokens.has(token.content)) tokens.set(token.content, token);
  };
  const byRole = [config.bos_token, config.eos_token, config.unk_token, config.sep_token, config.pad_token];
  const roles = [...byRole, config.cls_token, config.mask_token, ...Object.values(special)].map(asSpecial);
  const extra = config.extra_special_tokens?.length ? config.extra_special_tokens : config.additional_special_tokens;
  const others = (extra ?? []).map(asSpecial);

  const decoder = Object.entries(config.added_tokens_decoder ?? {}).sort(([a], [b]) => Number(a) - Number(b));
  for (const [, token] of decoder) add(toAddedToken(token));
  for (const content of config.addedTokens) {
    const isSpecial = [...roles, ...others].some((token) => token?.content === content);
    add({ ...specialToken(content), normalized: !isSpecial });
  }
  for (const token of roles) if (token && vocabulary.has(token.content)) add(token);
  for (const token of others) if (token) add(token);
  return [...tokens.values()];
}

function asSpecial(token: z.infer<typeof named>): AddedToken | undefined {
  if (token === null || token === undefined) return undefined;
  return typeof token === "string" ? specialToken(token) : toAddedToken({ ...token, special: true });
}

/** An entry of `added_tokens` in our terms. */
export function toAddedToken(token: z.infer<typeof addedTokenJson>): AddedToken {
  const { content, lstrip, rstrip, single_word, special } = token;
  return { content, singleWord: single_word, lstrip, rstrip, normalized: token.normalized ?? !special };
}

/**
 * tokenizer_config.json as it is, or with the settings changed that it must state. `transformers` builds its tokenizers
 * from this file and the vocabulary, and has defaults of its own where the file is silent, whatever tokenizer.json says.
 *
 * @param settings what the tokenizer does
 * @param defaults what `transformers` does where tokenizer_config.json says nothing
 */
export function stateSettings(
  files: TokenizerFiles,
  settings: Readonly<Record<string, boolean>>,
  defaults: Readonly<Record<string, boolean>>,
): Map<string, Uint8Array> {
  const copies = new Map([...files.bytes].map(([name, bytes]) => [name, bytes.slice()]));
  const config = check(z.looseObject({}), readJson(files, "tokenizer_config.json", z.unknown()) ?? {}, "value");
  const stated = { ...config };
  let changed = false;
  for (const [name, value] of Object.entries(settings)) {
    if ((stated[name] ?? defaults[name]) === value) continue;
    stated[name] = value;
    changed = true;
  }
  if (changed) copies.set("tokenizer_config.json", new TextEncoder().encode(JSON.stringify(stated, null, 2)));
  return copies;
}
