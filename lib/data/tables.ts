/**
 * The two tables of a dataset folder in RedSM5's schema: posts, and annotations that point at posts.
 *
 * Messages name the file, the place and the column, never the text of a post.
 */
import { join } from "node:path";
import { inputError } from "../support/errors.ts";
import { findTableFiles, type NamedFiles, type TableFile } from "./dataset_files.ts";
import { type Split, splitNamed } from "./splits.ts";
import { readTable, type TableColumns, type TableRow } from "./table_file.ts";

/** One row of the posts table. */
export interface Post {
  postId: string;
  text: string;
  /** The split that the table declares for the post, if it does. */
  split?: Split;
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
  /** File and line, as reports name the row, where it comes from a file. */
  place?: string;
}

/** A file that a table was read from. */
export interface TableFileInfo extends TableFile {
  rows: number;
  bytes: number;
  /** SHA-256 (hex) of the file. */
  sha256: string;
  /** Columns that nothing is read from. */
  furtherColumns: string[];
}

/** The checked content of a dataset folder. */
export interface Tables {
  posts: Post[];
  annotations: Annotation[];
}

/** Tables with the files that they come from. */
export interface ReadTables extends Tables {
  files: TableFileInfo[];
}

/** How a folder is read. */
export interface ReadOptions {
  /** Files named by hand. */
  files?: NamedFiles;
  /** Whether declared splits are read (default) or passed over. */
  declaredSplits?: boolean;
}

const POSTS: TableColumns = { required: ["post_id", "text"], optional: ["split"], texts: ["text", "split"] };
const ANNOTATIONS: TableColumns = {
  required: ["post_id", "sentence_text", "DSM5_symptom", "status"],
  optional: ["sentence_id", "explanation"],
  texts: ["sentence_text", "DSM5_symptom", "explanation"],
};

/** Ids and labels are names: longer ones are the text of another column. */
const MAX_NAME_CHARACTERS = 200;

/**
 * Reads and checks the two tables of a folder; `dataset_files.ts` says which files they are.
 *
 * @throws inputError when the folder or a table is missing, a table has two candidates, or a row breaks the schema
 */
export async function readTables(folder: string, options: ReadOptions = {}): Promise<ReadTables> {
  const { files: named, declaredSplits = true } = options;
  const files: TableFileInfo[] = [];
  const posts: Post[] = [], annotations: Annotation[] = [];
  const placeOf = new Map<string, string>();
  const splitOf = new Map<string, Split>();
  const addPost = (row: TableRow, where: Place, split: Split | null) => {
    const post = readPost(row, where, split, declaredSplits);
    const earlier = placeOf.get(post.postId);
    if (earlier !== undefined) throw repeatedPost(post.postId, where, earlier);
    placeOf.set(post.postId, `${where.file}, ${where.place}`);
    if (post.split) splitOf.set(post.postId, post.split);
    posts.push(post);
  };
  const addAnnotation = (row: TableRow, where: Place, split: Split | null) => {
    const annotation = readAnnotation(row, where);
    checkPost(annotation, where, placeOf.has(annotation.postId), split, splitOf.get(annotation.postId));
    annotations.push(annotation);
  };
  const found = await findTableFiles(folder, named);
  for (
    const [table, columns, add] of [["posts", POSTS, addPost], ["annotations", ANNOTATIONS, addAnnotation]] as const
  ) {
    const ofTable = found.filter((file) => file.table === table);
    let total = 0;
    for (const file of ofTable) {
      const path = join(folder, file.path);
      const { rows, ...info } = await readTable(path, columns);
      files.push({ ...file, rows: rows.length, ...info });
      total += rows.length;
      for (const row of rows) add(row, { path, file: file.path, place: row.place }, declaredSplits ? file.split : null);
    }
    if (total > 0) continue;
    const paths = ofTable.map(({ path }) => join(folder, path)).join(", ");
    throw inputError(`${paths} has a header but no rows`, `Fill the ${table} table`);
  }
  return { posts, annotations, files };
}

/** Where a row stands: the file's path as messages and as reports name it, and the line. */
interface Place {
  path: string;
  file: string;
  place: string;
}

function cellError({ path, place }: Place, column: string, what: string, remedy: string) {
  return inputError(`${path}, ${place}, column ${column}: ${what}`, remedy);
}

/** An id or a label, without the white space around it. It goes to reports and terminals, so it must be a name. */
function readName({ cells }: TableRow, where: Place, column: string): string {
  const name = cells[column]!.trim();
  if (/\p{Cc}/u.test(name)) {
    throw cellError(where, column, "control characters", "Write it in letters, digits and punctuation");
  }
  if (name.length > MAX_NAME_CHARACTERS) {
    throw cellError(
      where,
      column,
      `${name.length} characters, more than the ${MAX_NAME_CHARACTERS} of a name`,
      "Check that the columns are not interchanged",
    );
  }
  return name;
}

/** A cell as a message may show it: what is as long as a sentence may be the text of a post. */
function shown(cell: string): string {
  return cell.length <= 40 && cell.trim().split(/\s+/).length <= 3
    ? `"${cell}"`
    : `a text of ${cell.length} characters`;
}

function readPost(row: TableRow, where: Place, ofFile: Split | null, declaredSplits: boolean): Post {
  const postId = readName(row, where, "post_id"), text = row.cells["text"]!;
  if (postId === "") throw cellError(where, "post_id", "empty", "Give every post an id");
  if (text.trim() === "") {
    throw cellError(
      where,
      "text",
      `the text of post ${shown(postId)} is empty`,
      "Remove the post and its annotations, or restore its text",
    );
  }
  const cell = row.cells["split"]!.trim();
  if (!declaredSplits || (cell === "" && ofFile === null)) return { postId, text };
  const split = cell === "" ? ofFile! : splitNamed(cell);
  if (split === undefined) {
    throw cellError(
      where,
      "split",
      `Expected train, validation or test but found ${shown(cell)}`,
      "Correct it, or make splits of our own with data.splits.declared=false",
    );
  }
  if (ofFile !== null && split !== ofFile) {
    throw cellError(
      where,
      "split",
      `${split}, but the file is the ${ofFile} split by its name`,
      "Correct one of them, or make splits of our own with data.splits.declared=false",
    );
  }
  return { postId, text, split };
}

function repeatedPost(postId: string, where: Place, earlier: string) {
  const sameFile = earlier.startsWith(`${where.file}, `);
  return cellError(
    where,
    "post_id",
    `${shown(postId)} stands at ${sameFile ? earlier.slice(where.file.length + 2) : earlier} already`,
    "Remove one of the two rows, or give it another id; a post belongs to one split",
  );
}

function readAnnotation(row: TableRow, where: Place): Annotation {
  const { cells } = row;
  const criterion = readName(row, where, "DSM5_symptom"), status = cells["status"]!.trim();
  if (criterion === "") {
    throw cellError(where, "DSM5_symptom", "empty", "Name the criterion the sentence was judged by");
  }
  // pandas writes whole numbers as 1.0 where a column has gaps.
  if (!/^[01](\.0)?$/.test(status)) {
    throw cellError(
      where,
      "status",
      `Expected 0 or 1 but found ${shown(status)}`,
      "Write 1 where the sentence is evidence for the criterion and 0 where it expressly is not",
    );
  }
  return {
    postId: readName(row, where, "post_id"),
    sentenceId: readName(row, where, "sentence_id"),
    sentenceText: cells["sentence_text"]!,
    criterion,
    status: status[0] === "1" ? 1 : 0,
    explanation: cells["explanation"]!,
    place: `${where.file}, ${where.place}`,
  };
}

function checkPost({ postId }: Annotation, where: Place, known: boolean, split: Split | null, ofPost?: Split): void {
  if (!known) {
    throw cellError(
      where,
      "post_id",
      `${postId === "" ? "empty" : shown(postId)}, which the posts table does not have`,
      "Add the post, or remove its annotations",
    );
  }
  if (split !== null && ofPost !== undefined && split !== ofPost) {
    throw cellError(
      where,
      "post_id",
      `post ${shown(postId)} is in ${ofPost}, but the file is the ${split} split by its name`,
      "Correct one of them, or make splits of our own with data.splits.declared=false",
    );
  }
}
