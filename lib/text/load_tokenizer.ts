/** Reads the tokenizer beside a model's weights, of whichever kind its files are. */
import { join } from "node:path";
import { inputError } from "../support/errors.ts";
import { byteLevelFromJson, byteLevelFromText } from "./byte_level_loading.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { readTokenizerConfig } from "./tokenizer_config.ts";
import { readJson, readLines, readTokenizerFiles } from "./tokenizer_files.ts";
import { refuseParts, tokenizerJson } from "./tokenizer_json.ts";
import { wordPieceFromJson, wordPieceFromLines } from "./word_piece_loading.ts";

/** What `loadTokenizer` may be told that the files do not say. */
export interface LoadTokenizerOptions {
  /** Whether WordPiece lowers the case (and strips accents, unless the files say otherwise); the files' word if unset. */
  lowercase?: boolean;
}

/**
 * The tokenizer in a model's folder: WordPiece or byte-level BPE from tokenizer.json, WordPiece from vocab.txt, or
 * byte-level BPE from vocab.json and merges.txt, the first of these that is there. tokenizer_config.json goes before
 * tokenizer.json, as in `transformers`. Truncation and padding set in tokenizer.json are left to the caller.
 *
 * @throws an input error when there is no tokenizer, a file is damaged, or it is of another kind
 */
export async function loadTokenizer(folder: string, options: LoadTokenizerOptions = {}): Promise<Tokenizer> {
  const files = await readTokenizerFiles(folder);
  const config = readTokenizerConfig(files);
  const fast = readJson(files, "tokenizer.json", tokenizerJson);
  if (fast) {
    // Early versions of the file do not say the type; only BPE has merges.
    const type = fast.model.type ?? ("merges" in fast.model ? "BPE" : "WordPiece");
    if (type === "BPE") {
      refuseLowercase(folder, options);
      return byteLevelFromJson(files, fast, config);
    }
    if (type !== "WordPiece") refuseParts(join(folder, "tokenizer.json"), [["model", type, "WordPiece or BPE"]]);
    return wordPieceFromJson(files, fast, config, options.lowercase);
  }
  const words = readLines(files, "vocab.txt");
  if (words) return wordPieceFromLines(files, words, config, options.lowercase);
  if (files.bytes.has("vocab.json") && files.bytes.has("merges.txt")) {
    refuseLowercase(folder, options);
    return byteLevelFromText(files, config);
  }
  throw inputError(
    `${folder} has no tokenizer: neither tokenizer.json nor vocab.txt nor vocab.json with merges.txt`,
    "Choose a model folder that holds one of them",
  );
}

function refuseLowercase(folder: string, { lowercase }: LoadTokenizerOptions): void {
  if (lowercase) {
    throw inputError(
      `${folder} has a byte-level tokenizer, which is cased: it cannot lower the case`,
      "Leave out lowercase",
    );
  }
}
