/**
 * What a failure means to the person at the terminal: each kind is one exit code.
 *
 * - `input`: bad input or configuration (exit 2)
 * - `storage`: the file system refused, or a stored file is damaged (exit 3)
 * - `interrupted`: stopped by the user, state saved (exit 130)
 * - `failure`: anything else (exit 1)
 */
export type ErrorKind = "input" | "storage" | "interrupted" | "failure";

/** An error whose message says what happened and where, and whose remedy says what to do next. */
export class WinnowError extends Error {
  override name = "WinnowError";
  readonly kind: ErrorKind;
  /** One sentence in the imperative, or "" when there is nothing to advise. */
  readonly remedy: string;

  constructor(kind: ErrorKind, message: string, remedy = "", options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
    this.remedy = remedy;
  }
}

/** Bad input or configuration: the user changes something and runs again (exit code 2). */
export function inputError(message: string, remedy: string, options?: ErrorOptions): WinnowError {
  return new WinnowError("input", message, remedy, options);
}

/** The file system refused, or a stored file is damaged (exit code 3). */
export function storageError(message: string, remedy: string, options?: ErrorOptions): WinnowError {
  return new WinnowError("storage", message, remedy, options);
}

/** The exit code that scripts see for an error: 2 input, 3 storage, 130 interrupted, 1 for anything else. */
export function exitCode(error: unknown): number {
  if (!(error instanceof WinnowError)) return 1;
  return { input: 2, storage: 3, interrupted: 130, failure: 1 }[error.kind];
}

/** The operating system's code of an error ("ENOSPC"), "NotCapable" for a missing Deno permission, else "". */
export function errorCode(error: unknown): string {
  if (error instanceof Deno.errors.NotCapable) return "NotCapable";
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** Whether the disk (or the user's share of it) is full. */
export function isDiskFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT"].includes(errorCode(error));
}
