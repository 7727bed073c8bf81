/**
 * Which files of a folder are the tables of a dataset.
 *
 * A table is a CSV or Parquet file whose name holds "posts" or "annotations", or that lies in a folder of that name;
 * several files are one table where they are its shards (`posts-00000-of-00002.parquet`) or one per split
 * (`posts_train.csv`, `train/posts.csv`). They lie in the folder itself or up to two folders below it, as the hub's own
 * Parquet conversions do (`default/posts/0000.parquet`). Two candidates for one table are refused, not guessed between.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { inputError } from "../support/errors.ts";
import { type Split, splitNamed } from "./splits.ts";

/** The two tables. */
export type TableName = "posts" | "annotations";

/** One file of a table. */
export interface TableFile {
  table: TableName;
  /** Path within the dataset's folder, with forward slashes. */
  path: string;
  /** The split that the name or the folder of the file declares. */
  split: Split | null;
}

/** Files named by hand, relative to the folder; null means found by their names. */
export interface NamedFiles {
  posts: string | readonly string[] | null;
  annotations: string | readonly string[] | null;
}

/** Nothing named by hand. */
export const NO_NAMED_FILES: NamedFiles = { posts: null, annotations: null };

/** What the name of a file says. Files with the same table and set belong together. */
interface NamedFile {
  table: TableName | undefined;
  path: string;
  split: Split | null;
  set: string;
  /** Number of the shard, and of how many; -1 for a name that does not say. */
  shard: number;
  shards: number;
}

type Candidate = NamedFile & { table: TableName };

const TABLE = /\.(csv|parquet)$/i;
const SHARD = /-(\d{5})-of-(\d{5})(?:-[0-9a-f]{16})?$/;
/** Folders below the dataset's own in which tables are looked for. */
const MAX_DEPTH = 2;
/** A folder with more files is no dataset. */
const MAX_FILES = 10_000;

/** What a path says. */
function readName(path: string): NamedFile {
  const parts = path.split("/");
  const name = parts.pop()!;
  const ending = TABLE.exec(name)?.[0] ?? "";
  let stem = name.slice(0, name.length - ending.length);
  const folders = parts.map((folder) => folder.toLowerCase());
  const table = tableNamed(stem) ?? (["annotations", "posts"] as const).find((one) => folders.includes(one));
  const numbered = SHARD.exec(stem);
  let shard = -1, shards = -1;
  if (numbered) {
    [shard, shards] = [Number(numbered[1]), Number(numbered[2])];
    stem = stem.slice(0, numbered.index);
  } else if (/^\d{4,5}$/.test(stem)) {
    shard = Number(stem);
    stem = "";
  }
  // The split is a word of the name, or a folder.
  const words = stem.split(/[-_. ]/);
  const at = words.findLastIndex((word) => splitNamed(word));
  const folderAt = at >= 0 ? -1 : folders.findLastIndex((folder) => splitNamed(folder));
  const split = splitNamed(words[at] ?? folders[folderAt] ?? "") ?? null;
  const rest = at >= 0 ? words.toSpliced(at, 1).join("_") : stem;
  const set = [...folders.toSpliced(folderAt, folderAt < 0 ? 0 : 1), rest.toLowerCase() + ending.toLowerCase()];
  return { table, path, split, set: set.join("/"), shard, shards };
}

/** What a path says, or undefined where it is not a table by its name. */
function candidate(path: string): Candidate | undefined {
  const parts = path.split("/");
  const inReach = parts.length <= MAX_DEPTH + 1 && !parts.some((part) => part.startsWith("."));
  const { table, ...rest } = readName(path);
  return inReach && TABLE.test(path) && table ? { table, ...rest } : undefined;
}

function tableNamed(stem: string): TableName | undefined {
  if (/annotations/i.test(stem)) return "annotations";
  return /posts/i.test(stem) ? "posts" : undefined;
}

/** Whether a file of a hub repository is to be fetched: one that is named, or where none is, any table by its name. */
export function isTableFile(path: string, named: NamedFiles = NO_NAMED_FILES): boolean {
  if (listOf(named.posts)?.includes(path) || listOf(named.annotations)?.includes(path)) return true;
  const found = candidate(path);
  return found !== undefined && named[found.table] === null;
}

/**
 * The files of a dataset's two tables, in the order of their paths.
 *
 * @param folder The dataset's folder
 * @throws inputError when a table is missing, has several candidates, lacks a shard, or what is named is not there
 */
export async function findTableFiles(folder: string, named: NamedFiles = NO_NAMED_FILES): Promise<TableFile[]> {
  const paths = await listFolder(folder);
  const candidates = paths.flatMap((path) => candidate(path) ?? []);
  const files = (["posts", "annotations"] as const).flatMap((table) => {
    const wanted = listOf(named[table]);
    const found = wanted
      ? wanted.map((path) => namedFile(folder, paths, table, path))
      : oneSet(folder, paths, table, candidates.filter((one) => one.table === table));
    checkShards(folder, table, found);
    return found;
  });
  for (const { path } of files) await checkIsFile(join(folder, path));
  return files.map(({ table, path, split }) => ({ table, path, split }));
}

function listOf(named: string | readonly string[] | null): readonly string[] | null {
  return typeof named === "string" ? [named] : named;
}

/** Paths of all files down to two folders below; hidden ones are left out, and folders with the name of a table stay. */
async function listFolder(folder: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (under: string, depth: number) => {
    for (const name of (await readdir(join(folder, under))).sort()) {
      if (name.startsWith(".") || name === "node_modules") continue;
      const path = under === "" ? name : `${under}/${name}`;
      const isFolder = (await stat(join(folder, path)).catch(() => null))?.isDirectory() ?? false;
      if (isFolder && !TABLE.test(name)) {
        if (depth < MAX_DEPTH) await walk(path, depth + 1);
        continue;
      }
      found.push(path);
      if (found.length > MAX_FILES) {
        throw inputError(
          `${folder} holds more than ${MAX_FILES} files`,
          "Set data.id to the folder of the two tables alone",
        );
      }
    }
  };
  try {
    await walk("", 0);
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === undefined) throw error;
    throw inputError(
      `No dataset folder at ${folder} (${code})`,
      "Set data.id to a folder that holds a posts and an annotations table, or to a hub id",
      { cause: error },
    );
  }
  return found;
}

function namedFile(folder: string, paths: string[], table: TableName, path: string): Candidate {
  if (/^[/\\]|^[A-Za-z]:|(^|\/)\.\.(\/|$)/.test(path) || !TABLE.test(path)) {
    throw inputError(
      `data.files.${table} names ${path}`,
      `Name a .csv or .parquet file by its path within ${folder}`,
    );
  }
  if (!paths.includes(path)) {
    throw inputError(
      `${folder} holds no ${path}, which data.files.${table} names`,
      `Choose among the files found: ${show(paths)}`,
    );
  }
  return { ...readName(path), table };
}

/** The candidates of a table, if they are one table. */
function oneSet(folder: string, paths: string[], table: TableName, candidates: Candidate[]): Candidate[] {
  const sets = [...Map.groupBy(candidates, ({ set }) => set).values()];
  if (sets.length === 1) return sets[0]!;
  if (sets.length > 1) {
    throw inputError(
      `${folder} holds ${sets.length} ${table} tables: ${show(sets.map((set) => set[0]!.path))}`,
      `Choose one with data.files.${table}=${
        sets[0]![0]!.path
      } (a list where it has several files), or leave one there`,
    );
  }
  const packed = paths.find((path) => new RegExp(`${table}.*\\.(gz|zip|bz2|xz|zst|tsv|xlsx|jsonl?)$`, "i").test(path));
  throw inputError(
    `${folder} holds no ${table} table (*${table}*.csv or *${table}*.parquet)`,
    packed === undefined
      ? `Put the ${table} table there; files found: ${show(paths)}`
      : `Turn ${packed} into a CSV or Parquet file`,
  );
}

function show(paths: readonly string[]): string {
  const more = paths.length > 10 ? `, … (${paths.length} in all)` : "";
  return (paths.slice(0, 10).join(", ") || "none") + more;
}

/** A download that broke off would pass for a smaller table. */
function checkShards(folder: string, table: TableName, files: readonly Candidate[]): void {
  for (const part of Map.groupBy(files, ({ split }) => split).values()) {
    const numbered = part.filter(({ shard }) => shard >= 0);
    if (numbered.length === 0) continue;
    const count = Math.max(...numbered.map(({ shard, shards }) => shards >= 0 ? shards : shard + 1));
    for (let shard = 0; shard < count; shard++) {
      if (numbered.some((file) => file.shard === shard)) continue;
      throw inputError(
        `${folder} lacks shard ${shard} of the ${table} table: it holds ${show(numbered.map(({ path }) => path))}`,
        "Fetch all shards, or convert the table into one file",
      );
    }
  }
}

async function checkIsFile(path: string): Promise<void> {
  const info = await stat(path).catch((error: { code?: string }) => error.code ?? "unreadable");
  if (typeof info === "string") {
    throw inputError(
      `Cannot read ${path} (${info === "ENOENT" ? "a link to nothing" : info})`,
      "Put the table itself there and make it readable",
    );
  }
  if (info.isFile()) return;
  throw inputError(
    `${path} is ${info.isDirectory() ? "a folder" : "a device or pipe"}, not a file`,
    "Put the table itself there",
  );
}
