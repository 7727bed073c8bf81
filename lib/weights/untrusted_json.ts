/** Parses JSON from a stranger without letting it grow into more memory than it is worth. */

/**
 * Commas and opening brackets in a text. A tensor in a header takes 7 or so; the bound keeps a text of 100 MB from
 * becoming gigabytes of objects.
 */
const MAX_ITEMS = 2_000_000;

/**
 * Parses JSON in UTF-8.
 *
 * @throws an error that says why it is none, or that it has too many items
 */
export function parseUntrustedJson(bytes: Uint8Array): unknown {
  let items = 0;
  for (const byte of bytes) {
    if (byte === 0x2c || byte === 0x5b || byte === 0x7b) items++; // , [ {
  }
  if (items > MAX_ITEMS) throw new RangeError(`it has more than ${MAX_ITEMS} items`);
  return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
}

/**
 * Whether a JSON value maps text to text. Stands in for `z.record`, which leaves out a key named `__proto__`.
 */
export function isTextMap(value: unknown): value is Record<string, string> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === "string");
}
