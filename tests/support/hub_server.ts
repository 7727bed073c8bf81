/**
 * A hub on the loopback interface that speaks the routes of Hugging Face's, for our client and Python's alike: commits,
 * paged lists of files, files by Git hash from the hub itself and by SHA-256 from a second host, that of the signed
 * links. Every route can be told to fail, and every connection to break.
 */
import { createHash } from "node:crypto";
import { type Fault, startFront } from "./broken_connections.ts";

/** The commit that all revisions stand for. */
export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** Where a request can be told to fail: the commit of a revision, a list of files, a file of the hub, of the second host. */
export type Route = "revision" | "tree" | "resolve" | "files";

/** An answer in place of the right one; undefined lets the request pass. */
export type Failure = ((request: Request) => Response | undefined | Promise<Response | undefined>) | undefined;

/** A request that was made. */
export interface LoggedRequest {
  readonly route: Route | "other";
  readonly method: string;
  readonly path: string;
  /** The Range header. */
  readonly range: string | null;
  readonly authorization: string | null;
}

/** What a hub may be told beside its files. */
export interface HubOptions {
  /** Branches and tags; "main" unless given. */
  revisions?: readonly string[];
  /** Larger files are served from the second host, as with Git LFS. */
  lfsBytes?: number;
  /** Entries of a page of a list of files. */
  pageSize?: number;
  /** The token that gives access; without it the repositories are private or, with `gated`, only their files are. */
  token?: string;
  gated?: boolean;
  /** Small files too come after a redirect, on the hub itself, as from Hugging Face's since 2025. */
  resolveCache?: boolean;
}

/** Contents of a repository by path. */
export type Files = Record<string, string | Uint8Array<ArrayBuffer>>;

/** A running hub. */
export interface HubServer extends AsyncDisposable {
  readonly url: string;
  /** The paths asked for of the hub itself, in order. */
  readonly requests: string[];
  /** All requests to both hosts, in order. */
  readonly log: LoggedRequest[];
  /** Answers the next requests to the hub itself, one each, before anything else does. */
  readonly failures: Failure[];
  /** Answers the next requests of a route. */
  readonly script: Record<Route, Failure[]>;
  /** What befalls the next new connections to either host. */
  readonly connections: Fault[];
  /** The Authorization headers seen by the hub and by the second host. */
  readonly authorizations: { hub: (string | null)[]; files: (string | null)[] };
  /** The one token that gives access from now on. */
  accept(token: string): void;
  /** A failure to script: no answer until the hub is closed. */
  readonly silence: Failure;
  /** Adds a repository, as a model and a dataset. */
  add(repo: string, files: Files): void;
}

/** An answer of the hub's that is no success, with its word for it. */
export function refuse(status: number, code = "", headers: Record<string, string> = {}): Response {
  const word = code === "" ? {} : { "X-Error-Code": code };
  return Response.json({ error: `status ${status}` }, { status, headers: { ...word, ...headers } });
}

/** A file of a repository, as the routes show it. */
interface Stored {
  content: Uint8Array<ArrayBuffer>;
  /** Git's SHA-1 of the content or, of a large file, of the pointer to it. */
  oid: string;
  /** Of a large file. */
  sha256: string | undefined;
}

/** Serves `files` as repository org/name, a model and a dataset at once; other names are 404 until they are added. */
export function startHub(files: Files, options: HubOptions = {}): HubServer {
  const { revisions = ["main"], lfsBytes = 100, pageSize = 4, gated = false, resolveCache = false } = options;
  let { token } = options;
  const repos = new Map<string, Map<string, Stored>>();
  const requests: string[] = [], log: LoggedRequest[] = [], failures: Failure[] = [], connections: Fault[] = [];
  const script: HubServer["script"] = { revision: [], tree: [], resolve: [], files: [] };
  const authorizations: HubServer["authorizations"] = { hub: [], files: [] };

  const closing = Promise.withResolvers<Response>();

  const note = (request: Request, route: LoggedRequest["route"]) => {
    const authorization = request.headers.get("Authorization");
    const { pathname } = new URL(request.url);
    log.push({ route, method: request.method, path: pathname, range: request.headers.get("Range"), authorization });
    authorizations[route === "files" ? "files" : "hub"].push(authorization);
  };

  const listen = { port: 0, hostname: "127.0.0.1", onListen: () => {} };
  const storage = Deno.serve(listen, async (request) => {
    note(request, "files");
    const failure = await script.files.shift()?.(request);
    if (failure) return failure;
    const { pathname, searchParams } = new URL(request.url);
    const found = [...repos.values()].flatMap((repo) => [...repo.values()])
      .find(({ sha256 }) => sha256 === pathname.slice(1));
    if (!searchParams.has("signature")) return new Response("unsigned", { status: 403 });
    return found ? serveFile(request, found.content, {}) : new Response("gone", { status: 404 });
  });
  const storageFront = startFront(storage.addr.port, connections);

  const hub = Deno.serve(listen, async (request) => {
    const url = new URL(request.url);
    const asked = parseRoute(url.pathname);
    const route = asked?.route ?? "other";
    requests.push(url.pathname);
    note(request, route);
    const failure = await failures.shift()?.(request) ?? (asked && await script[asked.route].shift()?.(request));
    if (failure) return failure;
    const repo = asked && repos.get(asked.repo);
    if (!repo) return refuse(404, "RepoNotFound");
    const denied = refusedAccess(request, asked.route);
    if (denied) return denied;
    if (asked.revision !== COMMIT && !revisions.includes(asked.revision)) return refuse(404, "RevisionNotFound");
    if (asked.route === "revision") return Response.json(info(asked.repo, [...repo.keys()]));
    if (asked.route === "tree") return tree(url, repo, pageSize);
    const file = repo.get(asked.path);
    if (!file) return refuse(404, "EntryNotFound", { "X-Repo-Commit": COMMIT });
    if (file.sha256 !== undefined) {
      return redirect(302, `http://127.0.0.1:${storageFront.port}/${file.sha256}?signature=s3cret`, {
        "X-Repo-Commit": COMMIT,
        "X-Linked-Size": `${file.content.length}`,
        "X-Linked-ETag": `"${file.sha256}"`,
      });
    }
    if (resolveCache && !url.pathname.startsWith("/api/")) {
      const kind = url.pathname.startsWith("/datasets/") ? "datasets" : "models";
      return redirect(307, `/api/resolve-cache/${kind}/${asked.repo}/${COMMIT}/${encodeURIComponent(asked.path)}`, {});
    }
    return serveFile(request, file.content, { "X-Repo-Commit": COMMIT, ETag: `"${file.oid}"` });
  });
  const front = startFront(hub.addr.port, connections);

  /** What the hub answers to those who may not. */
  function refusedAccess(request: Request, route: Route): Response | undefined {
    const given = request.headers.get("Authorization");
    if (token === undefined || given === `Bearer ${token}`) return undefined;
    if (gated) return route === "revision" ? undefined : refuse(given ? 403 : 401, "GatedRepo");
    const says = given ? "Invalid credentials in Authorization header" : "Invalid username or password.";
    return refuse(401, given ? "" : "RepoNotFound", { "X-Error-Message": says });
  }

  const add = (repo: string, added: Files) =>
    void repos.set(
      repo,
      new Map(
        Object.entries(added).map(([path, file]) => {
          const content = typeof file === "string" ? new TextEncoder().encode(file) : file;
          return [path, stored(content, content.length > lfsBytes)];
        }),
      ),
    );
  add("org/name", files);
  return {
    url: `http://127.0.0.1:${front.port}`,
    ...{ requests, log, failures, script, connections, authorizations, add },
    accept: (next) => void (token = next),
    silence: () => closing.promise,
    async [Symbol.asyncDispose]() {
      closing.resolve(new Response());
      await front[Symbol.asyncDispose]();
      await storageFront[Symbol.asyncDispose]();
      await hub.shutdown();
      await storage.shutdown();
    },
  };
}

function parseRoute(pathname: string) {
  const api = /^\/api\/(?:models|datasets)\/([^/]+\/[^/]+)\/(revision|tree)\/([^/]+)\/?$/.exec(pathname);
  if (api) {
    return { route: api[2] as Route, repo: api[1]!, revision: decodeURIComponent(api[3]!), path: "" };
  }
  const file = /^(?:\/datasets)?\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(pathname) ??
    /^\/api\/resolve-cache\/(?:models|datasets)\/([^/]+\/[^/]+)\/([^/]+)\/(.+)$/.exec(pathname);
  if (!file) return undefined;
  const [, repo, revision, path] = file as unknown as [string, string, string, string];
  return { route: "resolve" as const, repo, revision: decodeURIComponent(revision), path: decodeURIComponent(path) };
}

function redirect(status: number, location: string, headers: Record<string, string>): Response {
  return new Response(null, { status, headers: { ...headers, Location: location } });
}

function stored(content: Uint8Array<ArrayBuffer>, large: boolean): Stored {
  const git = (bytes: Uint8Array) => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
  if (!large) return { content, oid: git(content), sha256: undefined };
  const sha256 = createHash("sha256").update(content).digest("hex");
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${content.length}\n`;
  return { content, oid: git(new TextEncoder().encode(pointer)), sha256 };
}

function info(id: string, paths: string[]) {
  return {
    ...{ _id: "1", id, sha: COMMIT, private: false, gated: false, downloads: 0, likes: 0, tags: [] },
    lastModified: "2026-01-02T03:04:05.000Z",
    siblings: paths.map((rfilename) => ({ rfilename })),
  };
}

/** A page of the list of files, with the address of the next. */
function tree(url: URL, repo: Map<string, Stored>, pageSize: number): Response {
  const folders = new Set([...repo.keys()].filter((path) => path.includes("/")).map((path) => path.split("/")[0]!));
  const entries = [
    ...[...folders].map((path) => ({ type: "directory", path, size: 0, oid: "d".repeat(40) })),
    ...[...repo].map(([path, { content: { length: size }, oid, sha256 }]) => {
      const lfs = sha256 === undefined ? {} : { lfs: { oid: sha256, size, pointerSize: 130 } };
      return { type: "file", path, size, oid, ...lfs };
    }),
  ];
  const from = Number(url.searchParams.get("cursor") ?? 0), to = from + pageSize;
  const next = new URL(url);
  next.searchParams.set("cursor", `${to}`);
  const headers: HeadersInit = to < entries.length ? { Link: `<${next}>; rel="next"` } : {};
  return Response.json(entries.slice(from, to), { headers });
}

/** A file or, where a range is asked for, that part of it. */
function serveFile(request: Request, content: Uint8Array<ArrayBuffer>, headers: Record<string, string>): Response {
  const all = { ...headers, "Content-Type": "application/octet-stream", "Accept-Ranges": "bytes" };
  const body = (part: Uint8Array<ArrayBuffer>) => request.method === "HEAD" ? null : part;
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("Range") ?? "");
  if (!range) return new Response(body(content), { headers: { ...all, "Content-Length": `${content.length}` } });
  const first = Number(range[1]);
  if (first >= content.length) return new Response(null, { status: 416 });
  const part = content.slice(first, range[2] === "" ? undefined : Number(range[2]) + 1);
  const place = `bytes ${first}-${first + part.length - 1}/${content.length}`;
  return new Response(body(part), {
    status: 206,
    headers: { ...all, "Content-Range": place, "Content-Length": `${part.length}` },
  });
}
