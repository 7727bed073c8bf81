/**
 * Reads one CSV or Parquet file into rows of strings, each of which knows where it stands in the file.
 *
 * Strict on purpose: a mended quote or a replaced byte would move every evidence span behind it.
 */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { basename } from "node:path";
import { parse } from "csv-parse/sync";
import { parquetMetadataAsync, parquetReadObjects, parquetSchema } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { inputError, WinnowError } from "../support/errors.ts";
import { checkParquetSize } from "./parquet_size.ts";

/** One row of a table: the cell of each column asked for ("" where an optional column is absent), and its place. */
export interface TableRow {
  cells: Record<string, string>;
  /** "line 12" of a CSV file (where the record begins) or "row 12" of a Parquet file, counted from 1. */
  place: string;
}

/** The columns to read; further ones of the file are left aside. */
export interface TableColumns {
  /** Columns that must be there. */
  required: readonly string[];
  /** Columns that may be missing. */
  optional?: readonly string[];
  /** Those of them that hold text, in which a Parquet table may have no numbers. */
  texts?: readonly string[];
}

/** What was read. */
export interface TableContent {
  /** In file order. */
  rows: TableRow[];
  /** Columns of the file that were not asked for. */
  furtherColumns: string[];
  /** Size of the file. */
  bytes: number;
  /** SHA-256 (hex) of the file. */
  sha256: string;
}

/** Larger tables are refused: a JavaScript string ends near 512 MiB, and RedSM5's tables are of a few MB. */
export const MAX_TABLE_BYTES = 256 * 2 ** 20;
/** One record may not be longer than this; an unclosed quote would otherwise swallow the file before it is noticed. */
const MAX_RECORD_CHARACTERS = 8 * 2 ** 20;

/** What the Parquet reader returns for bytes that are not UTF-8, until the row and column are known. */
const NOT_UTF8 = Symbol("not UTF-8");

/**
 * Reads the named columns of a `.csv` or `.parquet` file.
 *
 * @throws inputError for a file that is unreadable, too large, of another kind than its name says, not UTF-8, badly
 * quoted, or lacks a column
 */
export async function readTable(path: string, columns: TableColumns): Promise<TableContent> {
  const bytes = await readBytes(path);
  const parquet = path.toLowerCase().endsWith(".parquet");
  checkKind(path, bytes, parquet);
  const table = parquet ? await readParquet(path, bytes, columns) : readCsv(path, bytes, columns);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { ...table, bytes: bytes.length, sha256 };
}

async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const { size } = await stat(path);
    if (size > MAX_TABLE_BYTES) {
      throw inputError(
        `${path} has ${size} bytes, more than the ${MAX_TABLE_BYTES} bytes a table may have`,
        "Write the table as several files (posts-00000-of-00002.parquet, …), or leave out what is not needed",
      );
    }
    return new Uint8Array(await readFile(path));
  } catch (error) {
    if (error instanceof WinnowError) throw error;
    throw inputError(
      `Cannot read ${path}: ${(error as Error).message}`,
      "Check that the file exists and that you may read it",
      { cause: error },
    );
  }
}

/** Kinds of file that pass for a table, by the bytes that they begin with, and what makes a table of them. */
const OTHER_KINDS: readonly [start: string, kind: string, remedy: string][] = [
  ["\x1f\x8b", "compressed with gzip", "Unpack it: gunzip < FILE > table.csv"],
  ["PK\x03\x04", "a zip archive or a spreadsheet", "Unpack it, or save the sheet as CSV"],
  ["\xff\xfe", "UTF-16, not UTF-8", "Save it as UTF-8, for example: iconv -f UTF-16 -t UTF-8"],
  ["\xfe\xff", "UTF-16, not UTF-8", "Save it as UTF-8, for example: iconv -f UTF-16 -t UTF-8"],
  ["version https://git-lfs", "a pointer of Git LFS, not the table", "Fetch the table itself: git lfs pull"],
  ["<!DOCTYPE", "a web page, not a table", "Fetch the file itself; a gated one needs access and HF_TOKEN"],
  ["<html", "a web page, not a table", "Fetch the file itself; a gated one needs access and HF_TOKEN"],
];

function checkKind(path: string, bytes: Uint8Array, parquet: boolean): void {
  const start = String.fromCharCode(...bytes.subarray(0, 32));
  if (bytes.length === 0) throw inputError(`${path} is empty`, "Put the table there");
  for (const [first, kind, remedy] of OTHER_KINDS) {
    if (start.startsWith(first)) throw inputError(`${path} is ${kind}`, remedy);
  }
  if (start.startsWith("PAR1") !== parquet) {
    throw inputError(
      parquet ? `${path} is no Parquet file` : `${path} is a Parquet file`,
      parquet ? "Write the table again, or give a CSV file the ending .csv" : "Give it the ending .parquet",
    );
  }
}

function readCsv(path: string, bytes: Uint8Array, { required, optional = [] }: TableColumns) {
  const nul = bytes.indexOf(0);
  if (nul >= 0) {
    let line = 1;
    for (let at = bytes.indexOf(0x0a); at >= 0 && at < nul; at = bytes.indexOf(0x0a, at + 1)) line++;
    throw inputError(
      `${path}, line ${line}: a NUL byte, which text does not have`,
      "Save the table as UTF-8 (UTF-16 has NUL bytes), or remove them: tr -d '\\000'",
    );
  }
  const records = parseCsv(path, decodeUtf8(path, bytes));
  const header = (records[0]?.record ?? []).map((name) => name.trim());
  checkSeparator(path, header, required);
  checkColumns(path, header, required, optional);
  const columns = [...required, ...optional].map((name) => [name, header.indexOf(name)] as const);
  const rows = records.slice(1).map(({ record, info }): TableRow => {
    const breaks = record.reduce((sum, cell) => sum + cell.split("\n").length - 1, 0);
    return {
      cells: Object.fromEntries(columns.map(([name, index]) => [name, record[index] ?? ""])),
      place: `line ${info.lines - breaks}`,
    };
  });
  return { rows, furtherColumns: header.filter((name) => !required.includes(name) && !optional.includes(name)) };
}

/** A table with other separators is one wide column. */
function checkSeparator(path: string, header: readonly string[], required: readonly string[]): void {
  for (const [separator, name] of [[";", "semicolons"], ["\t", "tabs"], ["|", "bars"]] as const) {
    if (header.length !== 1 || !required.every((column) => header[0]!.split(separator).includes(column))) continue;
    throw inputError(`${path}, line 1: the columns are separated by ${name}`, "Save the table with commas");
  }
}

function parseCsv(path: string, text: string): { record: string[]; info: { lines: number } }[] {
  try {
    return parse(text, {
      info: true,
      skip_empty_lines: true,
      record_delimiter: ["\r\n", "\n"],
      max_record_size: MAX_RECORD_CHARACTERS,
    }) as unknown as { record: string[]; info: { lines: number } }[];
  } catch (error) {
    // Two of csv-parse's messages quote the offending cell, and a post's text must not reach a log: told in our words.
    const { code, lines } = error as { code?: string; lines?: number };
    const what = {
      CSV_QUOTE_NOT_CLOSED: "a quote is opened and never closed",
      INVALID_OPENING_QUOTE: "a quote stands in the middle of an unquoted cell",
      CSV_INVALID_CLOSING_QUOTE: "text follows a closing quote",
      CSV_RECORD_INCONSISTENT_FIELDS_LENGTH: "the number of cells differs from the header's",
      CSV_MAX_RECORD_SIZE: `a record is longer than ${MAX_RECORD_CHARACTERS} characters (an unclosed quote?)`,
    }[code ?? ""] ?? `not a CSV record (${code ?? "unknown reason"})`;
    throw inputError(
      `${path}, line ${lines ?? "?"}: ${what}`,
      'Quote cells that hold commas, quotes or line breaks ("…") and double the quotes inside them ("")',
    );
  }
}

/** Decodes strictly; on failure names the line, which is safe to find by bytes since no UTF-8 sequence holds 0x0a. */
function decodeUtf8(path: string, bytes: Uint8Array): string {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    return decoder.decode(bytes);
  } catch {
    let line = 1;
    for (let start = 0; start < bytes.length; line++) {
      const newline = bytes.indexOf(0x0a, start);
      const end = newline < 0 ? bytes.length : newline;
      try {
        decoder.decode(bytes.subarray(start, end));
      } catch {
        break;
      }
      start = end + 1;
    }
    throw notUtf8(`${path}, line ${line}`);
  }
}

function notUtf8(place: string): WinnowError {
  return inputError(
    `${place}: the bytes are not UTF-8`,
    "Save the table as UTF-8, for example: iconv -f WINDOWS-1252 -t UTF-8",
  );
}

async function readParquet(
  path: string,
  bytes: Uint8Array<ArrayBuffer>,
  { required, optional = [], texts = [] }: TableColumns,
) {
  const file = bytes.buffer;
  let rows: Record<string, unknown>[];
  let present: string[];
  try {
    // Read apart, with the default parsers: the statistics inside may hold strings cut in the middle of a character.
    const metadata = await parquetMetadataAsync(file);
    present = parquetSchema(metadata).children.map(({ element }) => element.name);
    checkColumns(path, present, required, optional);
    const columns = [...required, ...optional.filter((name) => present.includes(name))];
    checkParquetSize(metadata, bytes, columns);
    rows = await parquetReadObjects({ file, metadata, columns, compressors, parsers: { stringFromBytes: decodeCell } });
  } catch (error) {
    if (error instanceof WinnowError) throw error;
    throw inputError(
      `${path} cannot be read as Parquet: ${(error as Error).message}`,
      "Fetch or write the file again, or save the table as CSV",
      { cause: error },
    );
  }
  const names = [...required, ...optional];
  return {
    rows: rows.map((row, index): TableRow => {
      const place = `row ${index + 1}`;
      const cells = names.map((name) => [name, cellText(row[name], texts.includes(name), `${path}, ${place}`, name)]);
      return { cells: Object.fromEntries(cells), place };
    }),
    furtherColumns: present.filter((name) => !names.includes(name)),
  };
}

function decodeCell(bytes: Uint8Array | undefined): string | symbol | undefined {
  if (bytes === undefined || bytes === null) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return NOT_UTF8;
  }
}

/** A Parquet value as a CSV cell would hold it: null is empty, true is 1, 1n is 1. */
function cellText(value: unknown, isText: boolean, place: string, column: string): string {
  if (value === null || value === undefined) return "";
  const where = `${place}, column ${column}`;
  if (value === NOT_UTF8) throw notUtf8(where);
  if (typeof value === "string") {
    if (value.includes("\0")) {
      throw inputError(`${where}: a NUL character, which text does not have`, "Remove it from the table");
    }
    if (value.length > MAX_RECORD_CHARACTERS) {
      throw inputError(
        `${where}: a text of more than ${MAX_RECORD_CHARACTERS} characters`,
        "Remove the row, or cut it into several posts",
      );
    }
    return value;
  }
  const number = typeof value === "number" || typeof value === "bigint" || typeof value === "boolean";
  if (isText || !number) {
    throw inputError(
      `${where}: Expected a text but found ${number ? `a ${typeof value}` : "a list, a date or bytes"}`,
      `Write ${column} as a column of strings`,
    );
  }
  return typeof value === "boolean" ? (value ? "1" : "0") : String(value);
}

function checkColumns(
  path: string,
  present: readonly string[],
  required: readonly string[],
  optional: readonly string[],
): void {
  for (const name of [...required, ...optional]) {
    const count = present.filter((column) => column === name).length;
    if (count === 1 || (count === 0 && optional.includes(name))) continue;
    throw inputError(
      count === 0 ? `${path} has no column "${name}"` : `${path} has ${count} columns "${name}"`,
      `Give ${basename(path)} the columns ${required.join(", ")}; found: ${showNames(present)}`,
    );
  }
}

/** Names of columns; where a table has no header they are its first row, whose text must not reach a log. */
function showNames(names: readonly string[]): string {
  const shown = names.slice(0, 20).map((name) => /^[\p{L}\p{N}_.:-]{1,40}$/u.test(name) ? name : "…");
  return (shown.join(", ") || "none") + (names.length > 20 ? `, … (${names.length} in all)` : "");
}
