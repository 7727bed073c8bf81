/**
 * The two tables of a dataset folder in RedSM5's schema: posts, and annotations that point at posts.
 *
 * Messages name the file, the place and the column, never the text of a post.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { inputError } from "../support/errors.ts";
import { readTable } from "./table_file.ts";

/** One row of the posts table. */
export interface Post {
  postId: string;
  text: string;
}

/** One row of the annotations table: an expert's judgement of one sentence against one criterion. */
export interface Annotation {
  postId: string;
  /** "" where the table has no such column. */
  sentenceId: string;
  /** The evidence; "" means a label without evidence. */
  sentenceText: string;
  criterion: string;
  /** 1: evidence for the criterion, 0: expressly none. */
  status: 0 | 1;
  explanation: string;
}

/** The checked content of a dataset folder. */
export interface Tables {
  posts: Post[];
  annotations: Annotation[];
}

const POSTS_COLUMNS = ["post_id", "text"];
const ANNOTATIONS_COLUMNS = ["post_id", "sentence_text", "DSM5_symptom", "status"];
const ANNOTATIONS_OPTIONAL = ["sentence_id", "explanation"];

/**
 * Reads and checks `*posts*.csv|.parquet` and `*annotations*.csv|.parquet` of a folder.
 *
 * @throws inputError when the folder or a table is missing, a table has two candidates, or a row breaks the schema
 */
export async function readTables(folder: string): Promise<Tables> {
  const [postsPath, annotationsPath] = await findTables(folder);
  const posts = await readPosts(postsPath);
  const annotations = await readAnnotations(annotationsPath, new Set(posts.map((post) => post.postId)), postsPath);
  return { posts, annotations };
}

/** Paths of the posts table and the annotations table. */
async function findTables(folder: string): Promise<[string, string]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    throw inputError(
      `No dataset folder at ${folder} (${(error as { code?: string }).code ?? (error as Error).message})`,
      "Set data.id to a folder that holds a posts and an annotations table, or to a hub id",
      { cause: error },
    );
  }
  const tables = names.filter((name) => /\.(csv|parquet)$/i.test(name)).sort();
  const isAnnotations = (name: string) => /annotations/i.test(name);
  const one = (kind: string, candidates: string[]) => {
    if (candidates.length === 1) return join(folder, candidates[0]!);
    throw inputError(
      candidates.length === 0
        ? `${folder} holds no ${kind} table (*${kind}*.csv or *${kind}*.parquet)`
        : `${folder} holds ${candidates.length} ${kind} tables: ${candidates.join(", ")}`,
      candidates.length === 0
        ? `Put the ${kind} table there; files found: ${names.sort().slice(0, 10).join(", ") || "none"}`
        : `Leave one ${kind} table in the folder`,
    );
  };
  return [
    one("posts", tables.filter((name) => /posts/i.test(name) && !isAnnotations(name))),
    one("annotations", tables.filter(isAnnotations)),
  ];
}

async function readPosts(path: string): Promise<Post[]> {
  const placeOf = new Map<string, string>();
  const rows = await readTable(path, POSTS_COLUMNS);
  if (rows.length === 0) throw inputError(`${path} has a header but no rows`, "Fill the posts table");
  return rows.map(({ cells, place }) => {
    const postId = cells["post_id"]!.trim(), text = cells["text"]!;
    if (postId === "") throw inputError(`${path}, ${place}, column post_id: empty`, "Give every post an id");
    const earlier = placeOf.get(postId);
    if (earlier !== undefined) {
      throw inputError(
        `${path}, ${place}, column post_id: "${postId}" stands at ${earlier} already`,
        "Remove one of the two rows, or give it another id",
      );
    }
    if (text.trim() === "") {
      throw inputError(
        `${path}, ${place}, column text: the text of post "${postId}" is empty`,
        "Remove the post and its annotations, or restore its text",
      );
    }
    placeOf.set(postId, place);
    return { postId, text };
  });
}

async function readAnnotations(path: string, postIds: Set<string>, postsPath: string): Promise<Annotation[]> {
  const rows = await readTable(path, ANNOTATIONS_COLUMNS, ANNOTATIONS_OPTIONAL);
  if (rows.length === 0) throw inputError(`${path} has a header but no rows`, "Fill the annotations table");
  return rows.map(({ cells, place }) => {
    const postId = cells["post_id"]!.trim(), criterion = cells["DSM5_symptom"]!.trim();
    const status = cells["status"]!.trim();
    if (!postIds.has(postId)) {
      throw inputError(
        `${path}, ${place}, column post_id: "${postId}" is not in ${postsPath}`,
        "Add the post, or remove its annotations",
      );
    }
    if (criterion === "") {
      throw inputError(
        `${path}, ${place}, column DSM5_symptom: empty`,
        "Name the criterion the sentence was judged by",
      );
    }
    if (status !== "0" && status !== "1") {
      throw inputError(
        `${path}, ${place}, column status: Expected 0 or 1 but found "${status.slice(0, 20)}"`,
        "Write 1 where the sentence is evidence for the criterion and 0 where it expressly is not",
      );
    }
    return {
      postId,
      sentenceId: cells["sentence_id"]!.trim(),
      sentenceText: cells["sentence_text"]!,
      criterion,
      status: status === "1" ? 1 : 0,
      explanation: cells["explanation"]!,
    };
  });
}
