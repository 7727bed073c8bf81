/** A tokenizer's files as bytes, text and JSON, with bounds: they come from a hub and may be damaged or hostile. */
import { join } from "node:path";
import { z } from "zod";
import { inputError } from "../support/errors.ts";

/** The files that make up a tokenizer, as `transformers` names them. */
const TOKENIZER_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.txt",
  "vocab.json",
  "merges.txt",
  "special_tokens_map.json",
  "added_tokens.json",
];

/** No tokenizer file of the BERT family comes near this; a larger one is not read. */
const MAX_FILE_BYTES = 32 * 2 ** 20;

/** Lines of a text file, values of a JSON file; roberta-base has 100,000. */
const MAX_ITEMS = 4_000_000;

/** Ids are below this. */
export const MAX_ID = 2 ** 24;

/** The tokenizer files of a folder by name. */
export interface TokenizerFiles {
  readonly folder: string;
  readonly bytes: ReadonlyMap<string, Uint8Array>;
}

/**
 * Reads what there is of a tokenizer in a folder.
 *
 * @throws an input error when a file is larger than any tokenizer's
 */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const bytes = new Map<string, Uint8Array>();
  for (const name of TOKENIZER_FILES) {
    const content = await readIfThere(join(folder, name));
    if (content) bytes.set(name, content);
  }
  return { folder, bytes };
}

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

/** A file as text; undefined when it is not there. @throws an input error when it is not UTF-8 */
export function readText(files: TokenizerFiles, name: string): string | undefined {
  const bytes = files.bytes.get(name);
  if (!bytes) return undefined;
  try {
    // A byte order mark is not removed: it is part of the first line for the Python library, too.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw inputError(`${join(files.folder, name)} is not UTF-8 text`, "Fetch the file again", { cause: error });
  }
}

/**
 * The lines of a text file as Rust's `lines` gives them: ended by LF or CRLF, no empty one after the last.
 *
 * @throws an input error when it is not UTF-8 or has more lines than any tokenizer's
 */
export function readLines(files: TokenizerFiles, name: string): string[] | undefined {
  const text = readText(files, name);
  if (text === undefined) return undefined;
  refuseMany(files, name, "\n", "lines");
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line) => line.endsWith("\r") ? line.slice(0, -1) : line);
}

/** Refuses a file before it is taken apart into more items than the memory holds. */
function refuseMany(files: TokenizerFiles, name: string, marks: string, items: string): void {
  const bytes = new Set(new TextEncoder().encode(marks));
  let count = 0;
  for (const byte of files.bytes.get(name)!) if (bytes.has(byte)) count++;
  if (count > MAX_ITEMS) {
    throw inputError(`${join(files.folder, name)} has more than ${MAX_ITEMS} ${items}`, "Check the file");
  }
}

/** A JSON file through its schema; undefined when it is not there. @throws an input error when it is damaged */
export function readJson<T>(files: TokenizerFiles, name: string, schema: z.ZodType<T>): T | undefined {
  const text = readText(files, name);
  if (text === undefined) return undefined;
  const path = join(files.folder, name);
  refuseMany(files, name, ",[{", "values");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const reason = (error as Error).message.slice(0, 100);
    throw inputError(`${path} is not JSON: ${reason}`, "Fetch the file again", { cause: error });
  }
  return check(schema, json, path);
}

/** A value through its schema. @throws an input error that begins with `where` */
export function check<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw inputError(`${where}: ${issue.path.join(".") || "value"}: ${issue.message}`, "Fetch the file again");
}

/**
 * The tokens and ids of a JSON object, such as "vocab" in tokenizer.json. Stands in for `z.record`, which leaves out a
 * token named `__proto__`.
 *
 * @throws an input error that begins with `where`
 */
export function tokenIds(value: unknown, where: string): Map<string, number> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw inputError(`${where} is not a table of tokens and ids`, "Fetch the file again");
  }
  const ids = new Map<string, number>();
  for (const [token, id] of Object.entries(value)) {
    if (!Number.isInteger(id) || id < 0 || id > MAX_ID) {
      const shown = JSON.stringify(token).slice(0, 100);
      throw inputError(`${where}: the id of ${shown} is not a number from 0 to ${MAX_ID}`, "Fetch the file again");
    }
    ids.set(token, id);
  }
  return ids;
}
