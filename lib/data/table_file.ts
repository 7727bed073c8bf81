/**
 * Reads one CSV or Parquet file into rows of strings, each of which knows where it stands in the file.
 *
 * Strict on purpose: a mended quote or a replaced byte would move every evidence span behind it.
 */
import { readFile, stat } from "node:fs/promises";
import { basename } from "node:path";
import { parse } from "csv-parse/sync";
import { parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { inputError, WinnowError } from "../support/errors.ts";

/** One row of a table: the cell of each column asked for ("" where an optional column is absent), and its place. */
export interface TableRow {
  cells: Record<string, string>;
  /** "line 12" of a CSV file (where the record begins) or "row 12" of a Parquet file, counted from 1. */
  place: string;
}

/** Larger tables are refused: a JavaScript string ends near 512 MiB, and RedSM5's tables are of a few MB. */
const MAX_TABLE_BYTES = 256 * 2 ** 20;
/** One record may not be longer than this; an unclosed quote would otherwise swallow the file before it is noticed. */
const MAX_RECORD_CHARACTERS = 8 * 2 ** 20;

/** What the Parquet reader returns for bytes that are not UTF-8, until the row and column are known. */
const NOT_UTF8 = Symbol("not UTF-8");

/**
 * Reads the named columns of a `.csv` or `.parquet` file. Further columns of the file are ignored.
 *
 * @param path File to read
 * @param required Columns that must be there
 * @param optional Columns that may be missing
 * @returns Rows in file order
 * @throws inputError for a file that is unreadable, too large, not UTF-8, badly quoted, or lacks a column
 */
export async function readTable(
  path: string,
  required: readonly string[],
  optional: readonly string[] = [],
): Promise<TableRow[]> {
  const bytes = await readBytes(path);
  return path.toLowerCase().endsWith(".parquet")
    ? await readParquet(path, bytes, required, optional)
    : readCsv(path, bytes, required, optional);
}

async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const { size } = await stat(path);
    if (size > MAX_TABLE_BYTES) {
      throw inputError(
        `${path} has ${size} bytes, more than the ${MAX_TABLE_BYTES} bytes a table may have`,
        "Split the data set into smaller folders",
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

function readCsv(
  path: string,
  bytes: Uint8Array,
  required: readonly string[],
  optional: readonly string[],
): TableRow[] {
  const records = parseCsv(path, decodeUtf8(path, bytes));
  const header = (records[0]?.record ?? []).map((name) => name.trim());
  checkColumns(path, header, required);
  const columns = [...required, ...optional].map((name) => [name, header.indexOf(name)] as const);
  return records.slice(1).map(({ record, info }) => {
    const breaks = record.reduce((sum, cell) => sum + cell.split("\n").length - 1, 0);
    return {
      cells: Object.fromEntries(columns.map(([name, index]) => [name, record[index] ?? ""])),
      place: `line ${info.lines - breaks}`,
    };
  });
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
  required: readonly string[],
  optional: readonly string[],
): Promise<TableRow[]> {
  const file = bytes.buffer;
  let rows: Record<string, unknown>[];
  let present: string[];
  try {
    // Read apart, with the default parsers: the statistics inside may hold strings cut in the middle of a character.
    const metadata = await parquetMetadataAsync(file);
    present = metadata.schema.slice(1).map((element) => element.name);
    checkColumns(path, present, required);
    const columns = [...required, ...optional.filter((name) => present.includes(name))];
    rows = await parquetReadObjects({ file, metadata, columns, compressors, parsers: { stringFromBytes: decodeCell } });
  } catch (error) {
    if (error instanceof WinnowError) throw error;
    throw inputError(
      `${path} cannot be read as Parquet: ${(error as Error).message}`,
      "Write the table again, or save it as CSV",
      { cause: error },
    );
  }
  return rows.map((row, index) => {
    const cells = [...required, ...optional].map((name) => {
      if (row[name] === NOT_UTF8) throw notUtf8(`${path}, row ${index + 1}, column ${name}`);
      return [name, cellText(row[name])] as const;
    });
    return { cells: Object.fromEntries(cells), place: `row ${index + 1}` };
  });
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
function cellText(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "1" : "0";
  return String(value);
}

function checkColumns(path: string, present: readonly string[], required: readonly string[]): void {
  for (const name of required) {
    const count = present.filter((column) => column === name).length;
    if (count === 1) continue;
    throw inputError(
      count === 0 ? `${path} has no column "${name}"` : `${path} has ${count} columns "${name}"`,
      `Give ${basename(path)} the columns ${required.join(", ")}; found: ${present.join(", ") || "none"}`,
    );
  }
}
