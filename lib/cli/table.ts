/** Plain aligned tables for the terminal. */

/** How a cell is shown: null and undefined as "-", numbers that are no integers with four digits. */
function showCell(cell: string | number | null | undefined): string {
  if (cell === null || cell === undefined) return "-";
  if (typeof cell === "string") return cell;
  if (Number.isInteger(cell) || !Number.isFinite(cell)) return String(cell);
  return Math.abs(cell) >= 1e-3 ? cell.toFixed(4) : cell.toExponential(2);
}

/**
 * A table with a header line, a rule and one line a row. Columns of numbers are aligned right.
 *
 * @example
 * ```ts
 * import { formatTable } from "./table.ts";
 * import assert from "node:assert/strict";
 * assert.equal(formatTable(["trial", "F1"], [["a", 0.5]]), "trial      F1\n-----  ------\na      0.5000");
 * ```
 */
export function formatTable(
  headers: readonly string[],
  rows: readonly (readonly (string | number | null | undefined)[])[],
): string {
  const right = headers.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] !== "string"));
  const cells = rows.map((row) => headers.map((_, i) => showCell(row[i])));
  const widths = headers.map((header, i) => Math.max(header.length, ...cells.map((row) => row[i]!.length)));
  const line = (texts: readonly string[]) =>
    texts.map((text, i) => right[i] ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)).join("  ").trimEnd();
  return [line(headers), line(widths.map((width) => "-".repeat(width))), ...cells.map(line)].join("\n");
}
