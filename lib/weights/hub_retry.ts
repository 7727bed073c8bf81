/** Which failures of a model hub pass by themselves, how long to wait for that, and what to tell about the others. */
import { HubApiError } from "@huggingface/hub";
import { inputError, WinnowError } from "../support/errors.ts";

/** Tries in all; the waits between them are 1, 2, 4 and 8 seconds. */
const MAX_ATTEMPTS = 5;

/** Waits; a test passes one that does not. */
export type Delay = (milliseconds: number) => Promise<void>;

/** Really waits. */
export const realDelay: Delay = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A download that broke off or does not match its checksum: worth another try. */
export class DamagedDownload extends Error {
  override name = "DamagedDownload";
}

/** Whether trying again may help: the network, an overloaded or failing server, a broken download. */
function isTemporary(error: unknown): boolean {
  if (error instanceof HubApiError) {
    return error.statusCode === 408 || error.statusCode === 429 || error.statusCode >= 500;
  }
  // fetch reports an unreachable server as a TypeError, and a broken body as one or as one of Deno's.
  return error instanceof DamagedDownload || error instanceof TypeError ||
    error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.ConnectionRefused || error instanceof Deno.errors.ConnectionAborted ||
    error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.UnexpectedEof ||
    error instanceof Deno.errors.TimedOut || error instanceof Deno.errors.Http ||
    (error instanceof DOMException && error.name === "TimeoutError");
}

/**
 * Runs one call to the hub, again after 1, 2, 4 and 8 seconds when it fails for a reason that may pass.
 *
 * @param what the repository, for messages: `model "org/name"`
 * @throws an input error with a remedy for 401, 403, 404; a failure when all tries are used up; other errors as they are
 */
export async function withRetry<T>(what: string, endpoint: string, delay: Delay, call: () => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (!isTemporary(error)) throw explain(error, what, endpoint);
      if (attempt === MAX_ATTEMPTS) {
        throw new WinnowError(
          "failure",
          `${endpoint} did not deliver the ${what} in ${MAX_ATTEMPTS} attempts: ${(error as Error).message}`,
          "Check the network, try later, or name a local folder in place of the hub id",
          { cause: error },
        );
      }
      await delay(1000 * 2 ** (attempt - 1));
    }
  }
}

/** A permanent refusal in the user's terms; anything else unchanged. */
function explain(error: unknown, what: string, endpoint: string): unknown {
  if (!(error instanceof HubApiError)) return error;
  const accept = `Accept its terms on its page at ${endpoint} and set HF_TOKEN to a token of that account`;
  switch (error.statusCode) {
    case 401:
      return inputError(
        `${endpoint} asks for a login for the ${what} (401): it is gated or private, or there is none of that name`,
        `Check the id. ${accept}`,
        { cause: error },
      );
    case 403:
      return inputError(`${endpoint} refuses access to the ${what} (403)`, accept, { cause: error });
    case 404:
      return inputError(
        `${endpoint} has no ${what} at that revision (404)`,
        "Check the id and the revision, or name a local folder",
        { cause: error },
      );
    default:
      return inputError(`${endpoint} refuses the request for the ${what}: ${error.message}`, "Check id and revision", {
        cause: error,
      });
  }
}
