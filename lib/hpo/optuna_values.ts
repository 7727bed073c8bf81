/** How Optuna writes numbers, times and attributes into its tables. */

/** A number as a value and its type: SQL has no NaN and no infinity. */
export function toValueRow(value: number): { value: number | null; type: string } {
  if (Number.isNaN(value)) return { value: null, type: "NAN" };
  if (value === Infinity) return { value: null, type: "INF_POS" };
  if (value === -Infinity) return { value: null, type: "INF_NEG" };
  return { value, type: "FINITE" };
}

/** The number that a value and its type stand for. */
export function fromValueRow(value: number | null, type: string): number {
  return { INF_POS: Infinity, INF_NEG: -Infinity }[type] ?? value ?? NaN;
}

/** Optuna's DATETIME text, in UTC: "2026-01-31 13:05:09.123000", no T and no Z. */
export function toDatetime(time: Date): string {
  return time.toISOString().replace("T", " ").replace("Z", "000");
}

/** ISO 8601 in UTC of a DATETIME text that is in UTC. */
export function fromDatetime(text: string): string {
  const [date, time = "00:00:00"] = text.split(" ");
  return `${date}T${time.replace(/(\.\d{3})\d*$/, "$1")}Z`;
}

/**
 * An attribute as Python's `json.dumps` writes it: NaN and the infinities as bare words, which keeps them (JSON has none).
 *
 * @throws a TypeError for what JSON cannot hold: a BigInt, a cycle.
 */
export function writeAttribute(value: unknown): string {
  let finite = true;
  const json = JSON.stringify(value ?? null, (_, one) => {
    if (typeof one === "number" && !Number.isFinite(one)) finite = false;
    return one;
  });
  if (json === undefined) throw new TypeError(`Expected an attribute that JSON can hold but found a ${typeof value}`);
  return finite ? json : writeWithWords(value);
}

/** JSON with the bare words, of a value that `JSON.stringify` takes. */
function writeWithWords(value: unknown): string {
  if (typeof value === "number") return String(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if ("toJSON" in value && typeof value.toJSON === "function") return writeWithWords(value.toJSON());
  if (Array.isArray(value)) return `[${value.map(writeWithWords).join(",")}]`;
  const members = Object.entries(value).filter(([, one]) => !["undefined", "function", "symbol"].includes(typeof one));
  return `{${members.map(([key, one]) => `${JSON.stringify(key)}:${writeWithWords(one)}`).join(",")}}`;
}

/** Parses an attribute. Python writes the bare words NaN, Infinity and -Infinity, which JSON does not have. */
export function parseAttribute(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    const words: Record<string, number> = { NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity };
    const marked = json.replace(
      /"(?:[^"\\]|\\.)*"|NaN|-?Infinity/g,
      (token) => token.startsWith('"') ? token : `"\\u0000${token}"`,
    );
    return JSON.parse(
      marked,
      (_, value) => typeof value === "string" && value.startsWith("\u0000") ? words[value.slice(1)] ?? value : value,
    );
  }
}
