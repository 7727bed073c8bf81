/** JSON lines: one object a line, appended, readable while it is written and after a crash. */

import { closeSync, openSync, readFileSync, writeSync } from "node:fs";

/** A JSON lines file open for appending. */
export interface JsonLinesWriter {
  /** Appends one object. @throws the file system's error, such as ENOSPC */
  write(object: unknown): void;
  /** Closes the file. */
  close(): void;
}

/** Opens a file for appending, creating it where it is missing. */
export function openJsonLines(path: string): JsonLinesWriter {
  const file = openSync(path, "a");
  return {
    write: (object) => appendText(file, JSON.stringify(object) + "\n"),
    close: () => closeSync(file),
  };
}

/** Writes a whole text, since one write may be short. */
export function appendText(file: number, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) written += writeSync(file, bytes, written);
}

/**
 * The objects of a JSON lines file in order. A last line without its line break was torn by a crash and is left out.
 *
 * @throws SyntaxError naming the line where any other line is not JSON
 */
export function readJsonLines(path: string): unknown[] {
  const lines = readFileSync(path, "utf8").split("\n");
  lines.pop();
  return lines.filter((line) => line !== "").map((line, i) => {
    try {
      return JSON.parse(line);
    } catch (error) {
      throw new SyntaxError(`${path}:${i + 1}: ${(error as Error).message}`);
    }
  });
}
