/**
 * Taking posts out of files by their ids: what a table, a JSON file or a line of a log says of a post is recognised by the
 * names of its columns and keys, since an id may be as short as "12" and stand for a number elsewhere.
 */
import { parse } from "csv-parse/sync";

/** The ids of posts to take out. */
export type PostIds = ReadonlySet<string>;

/** Columns of tables, and keys of JSON objects, whose value is the id of a post. */
const NAMES = ["post_id", "postId", "post", "source_id", "sourceId"];
/** Keys of JSON arrays whose texts are ids of posts. */
const LISTS = ["post_ids", "postIds", "posts"];
/** Keys of JSON objects whose own keys are ids of posts. */
const MAPS = ["posts", "predictions", "by_post"];

/** Which of the posts a value names; augmented copies are named after their post (`ID#method`). */
function postOf(value: unknown, ids: PostIds): string | undefined {
  if (typeof value !== "string" && typeof value !== "number") return undefined;
  const text = String(value);
  return ids.has(text) ? text : [...ids].find((id) => text.startsWith(`${id}#`));
}

/** A text without some posts, and how many rows, entries or lines went. */
export interface Pruned {
  readonly text: string;
  readonly removed: number;
}

/**
 * A CSV table without the rows of some posts; all other rows stay byte for byte. Undefined where no column is named after a
 * post's id.
 *
 * @throws csv-parse's error where the text is no table
 */
export function tableWithout(text: string, ids: PostIds): Pruned | undefined {
  const rows = parse(text, {
    raw: true,
    skip_empty_lines: true,
    record_delimiter: ["\r\n", "\n"],
    bom: true,
  }) as unknown as { record: string[]; raw: string }[];
  const [header, ...records] = rows;
  const columns = (header?.record ?? []).flatMap((name, i) => NAMES.includes(name.trim()) ? [i] : []);
  if (header === undefined || columns.length === 0) return undefined;
  const staying = records.filter(({ record }) => !columns.some((i) => postOf(record[i], ids) !== undefined));
  const removed = records.length - staying.length;
  return { text: removed === 0 ? text : [header, ...staying].map(({ raw }) => raw).join(""), removed };
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const isObject = (value: Json): value is { [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const names = (value: Json, ids: PostIds): boolean =>
  isObject(value) && Object.entries(value).some(([key, one]) => NAMES.includes(key) && postOf(one, ids) !== undefined);

/** A value without entries of some posts. `hollow`: something went that was no entry of a list or map of posts. */
interface PrunedValue {
  readonly value: Json;
  readonly removed: number;
  readonly hollow: boolean;
}

/** Takes entries of posts out of lists and maps at any depth, and whole objects that name a post where they stand alone. */
function valueWithout(value: Json, ids: PostIds, key = ""): PrunedValue {
  let removed = 0, hollow = false;
  const inside = (one: Json, name: string): Json => {
    const found = valueWithout(one, ids, name);
    removed += found.removed;
    hollow ||= found.hollow;
    return found.value;
  };
  if (Array.isArray(value)) {
    const staying = value.filter((one) => !names(one, ids) && !(LISTS.includes(key) && postOf(one, ids) !== undefined));
    removed += value.length - staying.length;
    return { value: staying.map((one) => inside(one, "")), removed, hollow };
  }
  if (!isObject(value)) return { value, removed, hollow };
  const entries = Object.entries(value).filter(([name, one]) => {
    const isEntry = MAPS.includes(key) && postOf(name, ids) !== undefined;
    const isAlone = names(one, ids);
    if (isEntry || isAlone) removed++;
    hollow ||= isAlone && !isEntry;
    return !isEntry && !isAlone;
  }).map(([name, one]) => [name, inside(one, name)] as const);
  return { value: Object.fromEntries(entries), removed, hollow };
}

/**
 * A JSON file without some posts: their entries in lists and maps, and objects that name them. "whole" where the file is of
 * one of these posts altogether.
 *
 * @throws SyntaxError where the text is no JSON
 */
export function jsonWithout(text: string, ids: PostIds): Pruned | "whole" {
  const parsed = JSON.parse(text) as Json;
  if (names(parsed, ids)) return "whole";
  const { value, removed } = valueWithout(parsed, ids);
  if (removed === 0) return { text, removed };
  const indent = /^[[{]\n( +)/.exec(text)?.[1] ?? "";
  return { text: JSON.stringify(value, null, indent) + (text.endsWith("\n") ? "\n" : ""), removed };
}

/**
 * A line of a log or of predictions without some posts: of JSON without their entries in lists, undefined where the line is
 * about one of them, itself where it names none.
 */
export function lineWithout(line: string, ids: PostIds): string | undefined {
  const json = parsed(line);
  if (json !== undefined) {
    if (names(json, ids)) return undefined;
    const { value, removed, hollow } = valueWithout(json, ids);
    if (hollow) return undefined;
    return removed === 0 ? line : JSON.stringify(value);
  }
  // The line for people: its details are key=value, or key=JSON.
  for (const [, value] of line.matchAll(PAIR)) if (postOf(value, ids) !== undefined) return undefined;
  for (const [, value] of line.matchAll(QUOTED)) if (postOf(unquoted(value!), ids) !== undefined) return undefined;
  return line;
}

const PAIR = new RegExp(String.raw`(?<![\w])(?:${NAMES.join("|")})=([^\s,;]+)`, "g");
const QUOTED = new RegExp(String.raw`"(?:${NAMES.join("|")})":\s*("(?:[^"\\]|\\.)*"|\d+)`, "g");

function parsed(line: string): Json | undefined {
  if (!/^\s*[[{]/.test(line)) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined; // torn, or another program's
  }
}

function unquoted(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
