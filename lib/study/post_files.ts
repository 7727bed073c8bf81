/** The files of a folder that hold something of some posts, and what takes it out of each; files appear whole or not at all. */
import { basename, extname, join } from "node:path";
import { writeFileAtomic } from "../storage/atomic_file.ts";
import { jsonWithout, lineWithout, type PostIds, type Pruned, tableWithout } from "./post_mentions.ts";

/** What a file holds of some posts, and its removal. */
export interface PostFile {
  readonly path: string;
  readonly action: "rewrite" | "remove";
  /** By how much the file shrinks. */
  readonly bytes: number;
  /** How many rows, entries or lines go. */
  readonly removed: number;
  readonly what: "rows" | "entries" | "lines" | "the file";
  execute(): Promise<void>;
}

/** Larger tables and JSON files are not read: a JavaScript string ends near 512 MiB. Logs are read line by line. */
const MAX_BYTES = 256 * 2 ** 20;

/**
 * Looks through a folder, checkpoints aside, whose files may not change. Links are not followed.
 *
 * @param note Is told of files that name a post and are of a kind that cannot be rewritten.
 */
export async function findPostFiles(folder: string, ids: PostIds, note: (text: string) => void): Promise<PostFile[]> {
  const found: PostFile[] = [];
  for (const path of await filesBelow(folder)) {
    try {
      found.push(...await lookInto(path, ids, note));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) continue;
      // csv-parse's messages may quote a cell, which is text of a post: not shown.
      note(`${path} cannot be read as its name says and is left alone: look for the posts in it yourself`);
    }
  }
  return found;
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder)).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  });
  const paths: string[] = [];
  for (const { name, isDirectory, isFile } of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
    const path = join(folder, name);
    if (isFile) paths.push(path);
    else if (isDirectory && name !== "checkpoints") paths.push(...await filesBelow(path));
  }
  return paths;
}

async function lookInto(path: string, ids: PostIds, note: (text: string) => void): Promise<PostFile[]> {
  const kind = extname(path).toLowerCase();
  if (kind === ".jsonl" || kind === ".log") return await lookIntoLines(path, ids);
  if (kind !== ".csv" && kind !== ".json") {
    if (await names(path, ids)) note(`${path} names the post and cannot be rewritten: delete it or make it anew`);
    return [];
  }
  const { size } = await Deno.stat(path);
  if (size > MAX_BYTES) {
    if (await names(path, ids)) note(`${path} names the post and is too large to be rewritten`);
    return [];
  }
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await Deno.readFile(path));
  const found = kind === ".csv" ? tableWithout(text, ids) : jsonWithout(text, ids);
  if (found === "whole") {
    return [{ path, action: "remove", bytes: size, removed: 1, what: "the file", execute: () => Deno.remove(path) }];
  }
  return found === undefined || found.removed === 0 ? [] : [{
    path,
    action: "rewrite",
    bytes: shrinkage(size, found),
    removed: found.removed,
    what: kind === ".csv" ? "rows" : "entries",
    execute: () => writeFileAtomic(path, found.text),
  }];
}

const shrinkage = (size: number, { text }: Pruned) => Math.max(0, size - new TextEncoder().encode(text).length);

async function lookIntoLines(path: string, ids: PostIds): Promise<PostFile[]> {
  let removed = 0, bytes = 0;
  for await (const line of linesOf(path)) {
    const kept = prunedLine(line, ids);
    if (kept === line) continue;
    removed++;
    bytes += line.length - (kept?.length ?? 0);
  }
  const staying = async function* () {
    for await (const line of linesOf(path)) {
      const kept = prunedLine(line, ids);
      if (kept !== undefined) yield kept;
    }
  };
  const execute = () => writeFileAtomic(path, staying());
  return removed === 0 ? [] : [{ path, action: "rewrite", bytes: Math.max(0, bytes), removed, what: "lines", execute }];
}

const decoder = new TextDecoder(), encoder = new TextEncoder();
const LINE_FEED = 0x0a;

/** A line without some posts; the same bytes where it names none. */
function prunedLine(line: Uint8Array<ArrayBuffer>, ids: PostIds): Uint8Array<ArrayBuffer> | undefined {
  const text = decoder.decode(line), end = text.endsWith("\n") ? "\n" : "";
  const bare = end === "" ? text : text.slice(0, -1);
  const kept = lineWithout(bare, ids);
  return kept === undefined ? undefined : kept === bare ? line : encoder.encode(kept + end);
}

/** The lines of a file as bytes, each with its line feed. */
async function* linesOf(path: string): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  using file = await Deno.open(path);
  let rest = new Uint8Array(0);
  for await (const piece of file.readable) {
    const bytes = rest.length === 0 ? piece : joined(rest, piece);
    let start = 0;
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
      yield bytes.slice(start, end + 1);
      start = end + 1;
    }
    rest = bytes.slice(start);
  }
  if (rest.length > 0) yield rest;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** Whether a file of any kind holds one of the ids as a word. Short numbers stand for too much else to say so. */
async function names(path: string, ids: PostIds): Promise<boolean> {
  const telling = [...ids].filter((id) => /\D/.test(id) || id.length >= 6).map(latin);
  if (telling.length === 0 || basename(path) === ".lock") return false;
  const escaped = telling.map((id) => id.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|");
  const word = new RegExp(`(?<![\\w-])(?:${escaped})(?![\\w-])`);
  const overlap = Math.max(...telling.map(({ length }) => length)) + 2;
  using file = await Deno.open(path);
  let rest = "";
  for await (const piece of file.readable) {
    const text = rest + fromBytes(piece);
    if (word.test(text)) return true;
    rest = text.slice(-overlap);
  }
  return false;
}

const latin = (text: string) => fromBytes(encoder.encode(text));

/** One character per byte. */
function fromBytes(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return text;
}
