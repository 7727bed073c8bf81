/**
 * The tokens of a dataset's posts, kept on disk between the runs on an experiments folder: a resume, or the next study of
 * large data, reads them instead of tokenising. A file is named by the SHA-256 of all that its content follows from (the
 * tokenizer's files, the texts, the format) and ends with that of its content; one that is damaged counts as none. It lies
 * where text of posts lies, since text can be made of tokens: `cleanup --data` and `cleanup --post` find it there.
 *
 * Format, little-endian: "WINTOK1\n"; u32 number of texts; u32 tokens of each; then u32 ids, offsets [2 per token] and
 * sentences of all texts; 32 bytes SHA-256 of what stands before them.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { type TokenisedText, tokeniseText } from "../data/encoding.ts";
import { makeFolder, writeFileAtomic } from "../storage/atomic_file.ts";
import { freeBytes } from "../storage/free_space.ts";
import { tokensFolder } from "../storage/layout.ts";
import { errorCode, WinnowError } from "../support/errors.ts";
import { diskFileSystem, type FileSystem, readBytes } from "../support/file_system.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type SplitDataset, SPLITS } from "./data_source.ts";

const MAGIC = new TextEncoder().encode("WINTOK1\n");
const DIGEST_BYTES = 32;
/** UTF-16 units of all posts below which tokenising takes a third of a second at most: nothing is kept then. */
const LEAST_TEXT = 2 ** 20;
/** No file is written that would take more than this part of the room that is left. */
const LARGEST_SHARE = 0.02;

/** The texts of all splits, each once. */
function textsOf({ splits }: Pick<SplitDataset, "splits">): string[] {
  return [...new Set(SPLITS.flatMap((split) => splits[split].map(({ text }) => text)))];
}

/** What the tokens of texts follow from. */
function contentKey(tokenizer: Pick<Tokenizer, "files">, texts: readonly string[]): string {
  const hash = createHash("sha256").update(MAGIC);
  const part = (bytes: Uint8Array | string) => {
    hash.update(`${typeof bytes === "string" ? Buffer.byteLength(bytes) : bytes.length}:`).update(bytes);
  };
  for (const [name, bytes] of tokenizer.files()) {
    part(name);
    part(bytes);
  }
  texts.forEach(part);
  return hash.digest("hex");
}

/** The content of a file, in pieces. */
function* encode(tokens: readonly TokenisedText[]): Generator<Uint8Array<ArrayBuffer>> {
  const hash = createHash("sha256");
  const hashed = (piece: Uint8Array<ArrayBuffer>) => {
    hash.update(piece);
    return piece;
  };
  yield hashed(MAGIC);
  yield hashed(bytesOf([Uint32Array.of(tokens.length)]));
  yield hashed(bytesOf([Uint32Array.from(tokens, ({ ids }) => ids.length)]));
  for (const part of ["ids", "offsets", "sentences"] as const) yield hashed(bytesOf(tokens.map((one) => one[part])));
  yield Uint8Array.from(hash.digest());
}

/** Words one after another. All platforms that Deno runs on are little-endian. */
function bytesOf(arrays: readonly Uint32Array[]): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    words.set(array, at);
    at += array.length;
  }
  return new Uint8Array(words.buffer);
}

/** What a file holds of so many texts; undefined where it is damaged or of others. */
function decode(bytes: Uint8Array<ArrayBuffer>, texts: number): TokenisedText[] | undefined {
  const end = bytes.length - DIGEST_BYTES, header = MAGIC.length + 4 + 4 * texts;
  if (end < header || MAGIC.some((byte, i) => bytes[i] !== byte)) return undefined;
  const digest = createHash("sha256").update(bytes.subarray(0, end)).digest();
  if (digest.some((byte, i) => bytes[end + i] !== byte)) return undefined;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + MAGIC.length, (end - MAGIC.length) / 4);
  const lengths = words.subarray(1, 1 + texts);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  if (words[0] !== texts || words.length !== 1 + texts + 4 * total) return undefined;
  const [ids, offsets, sentences] = [1 + texts, 1 + texts + total, 1 + texts + 3 * total];
  let at = 0;
  return Array.from(lengths, (length) => {
    const begin = at;
    at += length;
    return {
      ids: words.subarray(ids + begin, ids + at),
      offsets: words.subarray(offsets + 2 * begin, offsets + 2 * at),
      sentences: words.subarray(sentences + begin, sentences + at),
    };
  });
}

/**
 * The tokens of texts from a folder; made, and kept there, where it has none. What cannot be kept is made again the next
 * time, so no refusal of the file system is an error here.
 */
export async function cachedTokens(
  folder: string,
  tokenizer: Pick<Tokenizer, "files" | "encode">,
  texts: readonly string[],
  fs: FileSystem = diskFileSystem,
): Promise<TokenisedText[]> {
  const path = join(folder, `${contentKey(tokenizer, texts)}.tokens`);
  const kept = await readBytes(fs, path).then((bytes) => decode(bytes, texts.length), () => undefined);
  if (kept) return kept;
  const tokens = texts.map((text) => tokeniseText(text, tokenizer));
  const bytes = 4 * tokens.reduce((sum, { ids }) => sum + 1 + 4 * ids.length, 0);
  try {
    if (bytes <= LARGEST_SHARE * await freeBytes(folder)) {
      await makeFolder(folder, fs);
      await writeFileAtomic(path, pieces(encode(tokens)), fs);
    }
  } catch (error) {
    // As without a cache; what is no refusal of the file system is a bug.
    if (!(error instanceof WinnowError) && errorCode(error) === "") throw error;
  }
  return tokens;
}

async function* pieces(content: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* content;
}

/** Takes the tokens of a dataset from disk, or keeps them there, where that is worth a file. */
export async function keepTokens(
  known: Map<Tokenizer, ReadonlyMap<string, TokenisedText>>,
  { paths }: Pick<Config, "paths">,
  data: Pick<SplitDataset, "splits">,
  tokenizer: Tokenizer,
): Promise<void> {
  if (known.has(tokenizer)) return;
  const texts = textsOf(data);
  if (texts.reduce((sum, { length }) => sum + length, 0) < LEAST_TEXT) return void known.set(tokenizer, new Map());
  const tokens = await cachedTokens(tokensFolder(paths.experiments), tokenizer, texts);
  known.set(tokenizer, new Map(texts.map((text, i) => [text, tokens[i]!])));
}
