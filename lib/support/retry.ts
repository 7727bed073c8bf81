/** Trying again what may pass by itself: exponential backoff of 1, 2, 4, 8, ... seconds, at most five attempts. */

/** Attempts in all; the waits between them are 1, 2, 4 and 8 seconds, or what the other side asks for. */
export const MAX_ATTEMPTS = 5;
/** The longest wait that is granted to whoever asks for one: rate limits are counted in windows of five minutes. */
const MAX_WAIT = 300_000;

/** Waits; a test passes one that does not. */
export type Delay = (milliseconds: number) => Promise<void>;

/** Really waits. */
export const realDelay: Delay = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** When and how to try again. */
export interface BackoffOptions {
  /** Whether trying again may help: the milliseconds that the other side asks to wait (0: none), else undefined. */
  mayPass(error: unknown): number | undefined;
  /** Whether an attempt came so far before it failed that the count starts anew. */
  progressed?(error: unknown): boolean;
  readonly delay?: Delay | undefined;
  /** Called before each wait with the error and the milliseconds. */
  onRetry?(error: unknown, milliseconds: number): void;
  /** Ends a wait; its reason is thrown then. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `call`, again after 1, 2, 4 and 8 seconds when it fails for a reason that may pass.
 *
 * @throws the error of the last attempt, or the first that does not pass
 *
 * @example
 * ```ts
 * import { withBackoff } from "./retry.ts";
 * import assert from "node:assert/strict";
 * let calls = 0;
 * const flaky = () => ++calls < 3 ? Promise.reject(new Error("busy")) : Promise.resolve("done");
 * assert.equal(await withBackoff(flaky, { mayPass: () => 0, delay: () => Promise.resolve() }), "done");
 * ```
 */
export async function withBackoff<T>(call: () => Promise<T>, options: BackoffOptions): Promise<T> {
  const { delay = realDelay } = options;
  for (let attempt = 1;; attempt++) {
    try {
      return await call();
    } catch (error) {
      const asked = options.mayPass(error);
      if (asked === undefined) throw error;
      if (options.progressed?.(error)) attempt = 1;
      if (attempt === MAX_ATTEMPTS) throw error;
      const wait = Math.max(1000 * 2 ** (attempt - 1), Math.min(asked, MAX_WAIT));
      options.onRetry?.(error, wait);
      await unlessAborted(delay(wait), options.signal);
    }
  }
}

async function unlessAborted(wait: Promise<void>, signal?: AbortSignal): Promise<void> {
  if (!signal) return await wait;
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  signal.addEventListener("abort", end);
  if (!signal.aborted) await Promise.race([wait, ended]);
  signal.removeEventListener("abort", end);
  signal.throwIfAborted();
}
