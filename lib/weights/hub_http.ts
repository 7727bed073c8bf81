/**
 * One GET at a hub. The token goes to the hub and nowhere else, so redirects are followed by hand; silence counts as a
 * cut; and whatever is not a success becomes an error that says what it was, without the address, which may be signed.
 */
import { WinnowError } from "../support/errors.ts";

/** A hub, and how to speak with it. */
export interface HubAccess {
  /** Its address, without a slash at the end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  /** Milliseconds without a byte after which a transfer counts as cut. */
  readonly stallTimeout: number;
  /** Ends whatever is under way. */
  readonly signal?: AbortSignal | undefined;
}

/** A successful answer, while its body is being read. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: AsyncIterable<Uint8Array<ArrayBuffer>>;
}

/** The connection could not be made, fell silent or broke, or what came is damaged: worth another try. */
export class BrokenTransfer extends Error {
  override name = "BrokenTransfer";
  /** So much came before it broke that the line deserves its tries anew. */
  progressed = false;
}

/** An answer that is not a success. */
export class HubRefusal extends Error {
  override name = "HubRefusal";
  constructor(
    readonly status: number,
    /** The host that answered; files are often served by another one than the hub. */
    readonly host: string,
    /** The hub's own word for it: RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo or "". */
    readonly code: string,
    /** What it says to people, "" where it says nothing. */
    readonly detail: string,
    /** Milliseconds that it asks to wait for. */
    readonly retryAfter: number | undefined,
    /** Whether a token went along. */
    readonly authorized: boolean,
  ) {
    super(`${host} answers ${status}${detail && `: ${detail}`}`);
  }
}

/** Real hubs redirect once or twice. */
const MAX_REDIRECTS = 10;
const REDIRECTS = [301, 302, 303, 307, 308];
/** What is read of a refusal. */
const MAX_REFUSAL_BYTES = 16_384;

/**
 * Asks for an address and hands the answer to `read`. The connection is closed when that is done, read to the end or not.
 *
 * @throws HubRefusal for every status that is not a success; BrokenTransfer when the connection fails, is silent for too
 * long or breaks; a failure for redirects that go round in circles or lead out of encryption
 */
export async function hubGet<T>(
  access: HubAccess,
  address: string,
  headers: Record<string, string>,
  read: (answer: Answer) => Promise<T>,
): Promise<T> {
  let url = new URL(address);
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const line = openLine(access, url.host);
    try {
      const response = await line.wait(() => fetch(url, { ...withToken(headers, url, access), signal: line.signal }));
      const location = REDIRECTS.includes(response.status) ? response.headers.get("Location") : null;
      if (location !== null) {
        url = redirected(url, location);
        continue;
      }
      const body = line.read(response);
      if (!response.ok) throw await refusal(response, url, body, access);
      return await read({ status: response.status, headers: response.headers, body });
    } finally {
      line.close();
    }
  }
  throw new WinnowError(
    "failure",
    `${new URL(address).host} redirects in circles, last to ${url.host}`,
    "Check HF_ENDPOINT and the network's proxy",
  );
}

/** A connection that is given up when nothing comes for too long. */
function openLine({ stallTimeout, signal }: HubAccess, host: string) {
  const ending = new AbortController();
  const ended = signal ? AbortSignal.any([signal, ending.signal]) : ending.signal;
  const wait = async <T>(step: () => Promise<T>): Promise<T> => {
    signal?.throwIfAborted();
    const silent = new BrokenTransfer(`${host} sent nothing for ${stallTimeout / 1000} s`);
    const timer = setTimeout(() => ending.abort(silent), stallTimeout);
    try {
      return await step();
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable || signal?.aborted) throw error;
      throw ending.signal.aborted ? silent : new BrokenTransfer(`the connection to ${host} failed: ${reason(error)}`);
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    signal: ended,
    wait,
    async *read(response: Response): AsyncGenerator<Uint8Array<ArrayBuffer>> {
      const reader = response.body?.getReader();
      while (reader) {
        const { done, value } = await wait(() => reader.read());
        if (done) return;
        yield value;
      }
    },
    close: () => ending.abort(),
  };
}

/** What the runtime says of a failed connection: its cause where it names one, without addresses. */
function reason(error: unknown): string {
  const { message, cause } = error as Error;
  return (cause instanceof Error ? cause.message : String(message ?? error))
    .replace(/^error sending request for url \([^)]*\): /, "").replace(/\bhttps?:\/\/\S+/g, "…");
}

/** Options of a request, with the token where it may go. */
function withToken(headers: Record<string, string>, url: URL, access: HubAccess): RequestInit {
  const token = tokenFor(url, access);
  return { redirect: "manual", headers: token ? { ...headers, Authorization: `Bearer ${token}` } : headers };
}

/** The token, where the address is the hub's own: its origin, or the same host encrypted. */
function tokenFor(url: URL, { endpoint, token }: HubAccess): string | undefined {
  const hub = new URL(endpoint);
  return url.origin === hub.origin || (url.protocol === "https:" && url.host === hub.host) ? token : undefined;
}

function redirected(from: URL, location: string): URL {
  const to = URL.parse(location, from.href);
  if (to && (to.protocol === "https:" || (to.protocol === "http:" && from.protocol === "http:"))) return to;
  throw new WinnowError(
    "failure",
    `${from.host} redirects to ${to ? `${to.protocol}//${to.host}` : "no address"}, which is not followed`,
    "Check HF_ENDPOINT and the network's proxy",
  );
}

async function refusal(
  { status, headers }: Response,
  url: URL,
  body: AsyncIterable<Uint8Array<ArrayBuffer>>,
  access: HubAccess,
): Promise<HubRefusal> {
  const { token } = access;
  const spoken = headers.get("X-Error-Message") ??
    errorOf(await readText(body, MAX_REFUSAL_BYTES).catch(() => ""));
  const detail = (token ? spoken.replaceAll(token, "***") : spoken).replace(/[\s\p{C}]+/gu, " ").trim().slice(0, 300);
  const code = headers.get("X-Error-Code") ?? "", authorized = tokenFor(url, access) !== undefined;
  return new HubRefusal(status, url.host, code, detail, askedWait(headers), authorized);
}

function errorOf(body: string): string {
  try {
    const { error } = JSON.parse(body);
    return typeof error === "string" ? error : "";
  } catch {
    return ""; // a page for browsers
  }
}

/** The wait that an answer asks for: Retry-After as seconds or date, or the reset of the hub's rate limit (`t=55`). */
function askedWait(headers: Headers): number | undefined {
  const asked = headers.get("Retry-After")?.trim();
  if (asked && /^\d+(\.\d+)?$/.test(asked)) return Number(asked) * 1000;
  if (asked) {
    // Against the server's own clock, where it tells the time.
    const now = Date.parse(headers.get("Date") ?? "");
    const wait = Date.parse(asked) - (Number.isNaN(now) ? Date.now() : now);
    if (!Number.isNaN(wait)) return Math.max(0, wait);
  }
  const reset = /;\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)/.exec(headers.get("RateLimit") ?? "");
  return reset ? Number(reset[1]) * 1000 : undefined;
}

/**
 * A body as text.
 *
 * @throws a failure when it is longer than `limit` bytes
 */
export async function readText(body: AsyncIterable<Uint8Array<ArrayBuffer>>, limit: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "", bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > limit) {
      throw new WinnowError("failure", `The hub answers with more than ${limit} bytes`, "Check HF_ENDPOINT");
    }
    text += decoder.decode(piece, { stream: true });
  }
  return text + decoder.decode();
}
