/**
 * Requests to an MLflow server: signed, with a time-out, tried again when the cause may pass, and their failures told
 * apart. TLS is Deno's own: DENO_CERT names a file of further certificate authorities.
 */
import { inputError } from "../support/errors.ts";
import { maskSecrets } from "../support/masking.ts";
import { type Delay, MAX_ATTEMPTS, withBackoff } from "../support/retry.ts";
import type { Credentials } from "./credentials.ts";
import { TrackerAway } from "./tracker.ts";

/** A server, and how to speak with it. */
export interface ServerAccess {
  /** Its address, without a slash at the end. */
  readonly address: string;
  readonly credentials: Credentials;
  /** Milliseconds for one request. */
  readonly timeout: number;
  readonly delay?: Delay | undefined;
  /** Called before a request is tried again, with the reason and the milliseconds until then. */
  readonly onRetry?: ((reason: string, milliseconds: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An answer that no other attempt would change. */
export class ServerRefusal extends Error {
  override name = "ServerRefusal";
  constructor(
    readonly status: number,
    /** MLflow's word, such as RESOURCE_DOES_NOT_EXIST, or "". */ readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** One request. */
export interface ServerRequest {
  readonly method: "GET" | "POST" | "PATCH" | "PUT";
  /** From the address on, with its query. */
  readonly path: string;
  /** JSON, or the bytes of a file. */
  readonly body?: unknown;
}

/** An answer's JSON. */
// deno-lint-ignore no-explicit-any -- the shape is the endpoint's
export type Answer = any;

/** What is read of an answer: a page of metrics is 4 MB. */
const MAX_ANSWER_BYTES = 64_000_000;

/**
 * Runs calls of `send`, up to five times with 1, 2, 4 and 8 seconds between where the cause may pass.
 *
 * @throws TrackerAway where it still has not passed, else an input error whose cause is a ServerRefusal
 */
export async function persistently<T>(access: ServerAccess, calls: () => Promise<T>): Promise<T> {
  try {
    return await withBackoff(calls, {
      mayPass: (error) => error instanceof TrackerAway ? error.retryAfter : undefined,
      delay: access.delay,
      onRetry: (error, wait) => access.onRetry?.((error as Error).message, wait),
      signal: access.signal,
    });
  } catch (error) {
    if (error instanceof ServerRefusal) throw explain(error, access.address);
    if (!(error instanceof TrackerAway)) throw error;
    throw new TrackerAway(`${error.message} (${MAX_ATTEMPTS} attempts)`, error.retryAfter);
  }
}

/** Asks the server, tried again as `persistently` has it. */
export const askServer = (access: ServerAccess, request: ServerRequest): Promise<Answer> =>
  persistently(access, () => send(access, request));

/**
 * Asks the server, once, and once more where the token has run out and there is a new one.
 *
 * @throws TrackerAway where the cause may pass, else ServerRefusal
 */
export async function send(access: ServerAccess, request: ServerRequest): Promise<Answer> {
  const header = await access.credentials.header();
  try {
    return await askOnce(access, request, header);
  } catch (error) {
    if (!(error instanceof ServerRefusal && error.status === 401) || !await access.credentials.renew()) throw error;
    return await askOnce(access, request, await access.credentials.header());
  }
}

async function askOnce(access: ServerAccess, request: ServerRequest, header: string | undefined): Promise<Answer> {
  const { address, credentials, timeout, signal } = access;
  const { host } = new URL(address);
  const isBytes = request.body instanceof Uint8Array;
  const timer = AbortSignal.timeout(timeout);
  let response: Response, text: string;
  try {
    response = await fetch(address + request.path, {
      method: request.method,
      redirect: "manual",
      signal: signal ? AbortSignal.any([timer, signal]) : timer,
      headers: {
        ...(header === undefined ? {} : { Authorization: header }),
        ...(request.body === undefined
          ? {}
          : { "Content-Type": isBytes ? "application/octet-stream" : "application/json" }),
      },
      ...(request.body === undefined
        ? {}
        : { body: isBytes ? request.body as Uint8Array<ArrayBuffer> : JSON.stringify(request.body) }),
    });
    text = await readText(response, host);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable || error instanceof TrackerAway || signal?.aborted) throw error;
    if (timer.aborted) throw new TrackerAway(`${host} has not answered within ${timeout / 1000} s`);
    const why = reason(error);
    if (/certificate/i.test(why)) {
      throw inputError(
        `the certificate of the tracking server ${host} is not trusted: ${why}`,
        "Name the file of its certificate authority in DENO_CERT, or set DENO_TLS_CA_STORE=system",
        { cause: error },
      );
    }
    throw new TrackerAway(`no answer from ${host}: ${why}`);
  }
  const { status } = response;
  if (response.ok) return isBytes ? undefined : parse(text, host);
  const said = refusalOf(text);
  const detail = maskSecrets(credentials.mask(said.message)).replace(/[\s\p{C}]+/gu, " ").trim().slice(0, 300);
  const message = `${host} answers ${status}${detail && `: ${detail}`}`;
  if (status === 408 || status === 429 || status >= 500) throw new TrackerAway(message, askedWait(response.headers));
  throw new ServerRefusal(status, said.code, message);
}

async function readText(response: Response, host: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = "", bytes = 0;
  for await (const piece of response.body ?? []) {
    bytes += piece.length;
    if (bytes > MAX_ANSWER_BYTES) throw new TrackerAway(`${host} answers with more than ${MAX_ANSWER_BYTES} bytes`);
    text += decoder.decode(piece, { stream: true });
  }
  return text + decoder.decode();
}

/** A success that is no JSON was cut off, or comes from something that is not MLflow. */
function parse(text: string, host: string): Answer {
  try {
    return JSON.parse(text);
  } catch {
    throw new TrackerAway(`${host} answers with no JSON, or with a part of it: is it an MLflow server?`);
  }
}

function refusalOf(text: string): { code: string; message: string } {
  try {
    const { error_code, message } = JSON.parse(text);
    return {
      code: typeof error_code === "string" ? error_code : "",
      message: typeof message === "string" ? message : "",
    };
  } catch {
    return { code: "", message: "" }; // a page for browsers
  }
}

/** What the runtime says of a failed connection: its cause where it names one, without addresses. */
function reason(error: unknown): string {
  const { message, cause } = error as Error;
  return maskSecrets(cause instanceof Error ? cause.message : String(message ?? error))
    .replace(/^error sending request for url \([^)]*\): /, "").replace(/\bhttps?:\/\/\S+/g, "…");
}

/** Milliseconds of Retry-After, given in seconds. */
function askedWait(headers: Headers): number {
  const asked = headers.get("Retry-After")?.trim() ?? "";
  return /^\d+(\.\d+)?$/.test(asked) ? Number(asked) * 1000 : 0;
}

/**
 * Whether an error of the server passes when somebody does something about it, such as to renew a token or to mend a
 * proxy: no access, another address, no MLflow there.
 */
export function isForPerson(error: unknown): boolean {
  const { cause } = error as Error;
  if (!(cause instanceof ServerRefusal)) return false;
  const { status, code } = cause;
  return status < 400 || status === 401 || status === 403 || (status === 404 && code === "");
}

/** A refusal in the user's terms. */
function explain(refusal: ServerRefusal, address: string): Error {
  const { status, code, message } = refusal;
  const at = `the tracking server ${address}`;
  const refused = (what: string, remedy: string) => inputError(`${what}: ${message}`, remedy, { cause: refusal });
  if (status >= 300 && status < 400) {
    return refused(`${at} leads to another address`, "Set tracking.uri to the server's own address");
  }
  if (status === 401) {
    return refused(
      `${at} does not know who asks`,
      "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or tracking.token_file, " +
        "or tracking.token_command; a token may have expired",
    );
  }
  if (status === 403) return refused(`${at} refuses access`, "Ask for permission to write to the experiment");
  if (status === 404 && code === "") {
    return refused(`${at} has no MLflow there`, "Set tracking.uri to the address that MLflow's page has");
  }
  return refused(`${at} refuses a request`, "Set tracking.store=mlflow_db to track without it, and report this");
}
