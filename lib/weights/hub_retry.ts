/** Which failures of a model hub pass by themselves, how long to wait for that, and what to tell about the others. */
import { inputError, WinnowError } from "../support/errors.ts";
import { type Delay, MAX_ATTEMPTS, withBackoff } from "../support/retry.ts";
import { BrokenTransfer, HubRefusal } from "./hub_http.ts";

/** What is asked for, and of whom. */
export interface Errand {
  /** The repository, for messages: `model "org/name"`. */
  readonly what: string;
  readonly endpoint: string;
  /** The repository's page for people, where terms are accepted. */
  readonly page: string;
  readonly delay: Delay;
  /** Called before each wait with the reason and the milliseconds. */
  readonly onRetry?: ((reason: string, milliseconds: number) => void) | undefined;
  /** Ends a wait. */
  readonly signal?: AbortSignal | undefined;
}

/** Whether trying again may help: the network, an overloaded or failing server, a damaged download. */
function isTemporary(error: unknown, { endpoint }: Errand): error is BrokenTransfer | HubRefusal {
  if (error instanceof BrokenTransfer) return true;
  if (!(error instanceof HubRefusal)) return false;
  const { status, host } = error;
  // Hosts of files refuse links that have run out; the hub gives a fresh one at the next try.
  const isStaleLink = status === 403 && host !== new URL(endpoint).host;
  return status === 408 || status === 429 || status >= 500 || isStaleLink;
}

/**
 * Runs one call to the hub, again after 1, 2, 4 and 8 seconds when it fails for a reason that may pass. A transfer that
 * came far before it broke starts the count anew, so that a large file may come through a bad line.
 *
 * @throws an input error with a remedy for 401, 403, 404; a failure when all tries are used up; other errors as they are
 */
export async function withRetry<T>(errand: Errand, call: () => Promise<T>): Promise<T> {
  try {
    return await withBackoff(call, {
      mayPass: (error) => {
        if (!isTemporary(error, errand)) return undefined;
        return error instanceof HubRefusal ? error.retryAfter ?? 0 : 0;
      },
      progressed: (error) => error instanceof BrokenTransfer && error.progressed,
      delay: errand.delay,
      onRetry: (error, wait) => errand.onRetry?.((error as Error).message, wait),
      signal: errand.signal,
    });
  } catch (error) {
    if (!isTemporary(error, errand)) throw explain(error, errand);
    throw new WinnowError(
      "failure",
      `${errand.endpoint} did not deliver the ${errand.what} in ${MAX_ATTEMPTS} attempts: ${error.message}`,
      "Check the network, try later, or name a local folder in place of the hub id",
      { cause: error },
    );
  }
}

/** Whether the hub refuses the token itself: Hugging Face's says so of one that has expired, been revoked or never was. */
function isTokenRefusal({ status, code, detail, authorized }: HubRefusal): boolean {
  return status === 401 && authorized && (code === "" || code === "GatedRepo" || /credentials|token/i.test(detail));
}

/** The refusal or the broken transfer that an error of `withRetry` was made from. */
function hubCause(error: unknown): HubRefusal | BrokenTransfer | undefined {
  const cause = error instanceof WinnowError ? error.cause : undefined;
  return cause instanceof HubRefusal || cause instanceof BrokenTransfer ? cause : undefined;
}

/** Whether an error says that the hub does not accept the token that went along. */
export function saysTokenRefused(error: unknown): boolean {
  const cause = hubCause(error);
  return cause instanceof HubRefusal && isTokenRefusal(cause);
}

/** Whether an error says that the hub gives no access yet, or cannot be reached: what another token or time may change. */
export function saysNoAccess(error: unknown): boolean {
  const cause = hubCause(error);
  return cause !== undefined &&
    (cause instanceof BrokenTransfer || [401, 403, 408, 429].includes(cause.status) || cause.status >= 500);
}

/** A permanent refusal in the user's terms; anything else unchanged. */
function explain(error: unknown, { what, endpoint, page }: Errand): unknown {
  if (!(error instanceof HubRefusal)) return error;
  const { status, host, code, detail } = error;
  const refused = (message: string, remedy: string) =>
    inputError(`${message} (${status})${detail && `: ${detail}`}`, remedy, { cause: error });
  const accept = `Accept its terms at ${page} and set HF_TOKEN to a token of that account`;
  if (host !== new URL(endpoint).host) {
    return refused(`${host}, which serves files of the ${what}, refuses one`, "Try later, or tell the hub's owner");
  }
  if (isTokenRefusal(error)) {
    return refused(
      `${endpoint} does not accept the token for the ${what}`,
      "Set HF_TOKEN to a valid token; it may have expired",
    );
  }
  if (code === "GatedRepo") return refused(`The ${what} is gated and ${endpoint} refuses access`, accept);
  if (code === "RevisionNotFound") {
    return refused(
      `${endpoint} has the ${what}, but not at that revision`,
      `Choose a branch, tag or commit of ${page}`,
    );
  }
  if (code === "EntryNotFound") {
    return refused(`${endpoint} has the ${what}, but not a file that it lists`, `Look at the files of ${page}`);
  }
  if (status === 401) {
    return refused(
      `${endpoint} asks for a login for the ${what}: it is gated or private, or there is none of that name`,
      `Check the id. ${accept}`,
    );
  }
  if (status === 403) return refused(`${endpoint} refuses access to the ${what}`, accept);
  if (code === "RepoNotFound") {
    return refused(
      `${endpoint} has no ${what}, or it is private`,
      "Check the id, set HF_TOKEN if it is private, or name a local folder",
    );
  }
  if (status === 404) {
    return refused(
      `${endpoint} has no ${what} at that revision`,
      "Check the id and the revision, or name a local folder",
    );
  }
  return refused(`${endpoint} refuses the request for the ${what}`, "Check the id, the revision and HF_ENDPOINT");
}
