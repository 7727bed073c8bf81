/** One thing that is wrong with a configuration, and how messages show values. */

/** One thing wrong with a configuration: the key that it is about and a sentence. */
export interface Problem {
  path: readonly (string | number)[];
  message: string;
  /** Follows the place: `; did you mean "training.epochs"?` */
  hint?: string;
}

/** A value as it appears in a message, cut at 60 characters. */
export function showValue(value: unknown): string {
  const shown = typeof value === "number" ? String(value) : JSON.stringify(value) ?? String(value);
  return shown.length > 60 ? `${shown.slice(0, 57)}...` : shown;
}
