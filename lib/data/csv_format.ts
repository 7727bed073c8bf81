/** Formats rows as CSV (RFC 4180, but for line feeds alone), quoting where it is needed. */
export function formatCsv(rows: readonly (readonly string[])[]): string {
  const cell = (text: string) => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  return rows.map((row) => row.map(cell).join(",") + "\n").join("");
}
