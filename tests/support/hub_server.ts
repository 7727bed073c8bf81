/** A hub on the loopback interface: the routes of Hugging Face's that Winnow calls, and the failures to be survived. */
import { createHash } from "node:crypto";

/** The commit that "main" stands for. */
export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** A running hub. */
export interface HubServer extends AsyncDisposable {
  readonly url: string;
  /** Method-less log: path of each request, in order. */
  readonly requests: string[];
  /** Answers the next requests, one each, before the files do; undefined passes. */
  readonly failures: (((request: Request) => Response | undefined) | undefined)[];
  /** The Authorization headers seen by the hub and by the host that files are redirected to. */
  readonly authorizations: { hub: (string | null)[]; files: (string | null)[] };
}

/** Files larger than this are served from another host, by their SHA-256, as Git LFS does. */
const LFS_BYTES = 100;

/** Serves `files` (texts or bytes) as repository org/name, a model and a dataset at once; every other name is 404. */
export function startHub(files: Record<string, string | Uint8Array<ArrayBuffer>>): HubServer {
  const requests: string[] = [];
  const failures: HubServer["failures"] = [];
  const authorizations: HubServer["authorizations"] = { hub: [], files: [] };
  const bytes = new Map(
    Object.entries(files).map((
      [path, file],
    ) => [path, typeof file === "string" ? new TextEncoder().encode(file) : file]),
  );

  const storage = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    authorizations.files.push(request.headers.get("Authorization"));
    return serve(request, bytes.get(decodeURIComponent(new URL(request.url).pathname.slice(1))));
  });

  const hub = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const { pathname, origin, searchParams } = new URL(request.url);
    requests.push(pathname);
    authorizations.hub.push(request.headers.get("Authorization"));
    const failure = failures.shift()?.(request);
    if (failure) return failure;
    const api = /^\/api\/(?:models|datasets)\/org\/name\/(revision|tree)\/([^/]+)$/.exec(pathname);
    if (api && api[2] !== "main" && api[2] !== COMMIT) return Response.json({ error: "No revision" }, { status: 404 });
    if (api?.[1] === "revision") return Response.json({ _id: "1", id: "org/name", sha: COMMIT, lastModified: 0 });
    if (api?.[1] === "tree") {
      // Two pages, as large repositories have.
      const entries = [...bytes].map(([path, content]) => treeEntry(path, content));
      if (searchParams.has("page")) return Response.json(entries.slice(1));
      const next = `<${origin}${pathname}?page=2>; rel="next"`;
      return Response.json([{ type: "directory", path: "data", size: 0, oid: "" }, entries[0]], {
        headers: { Link: next },
      });
    }
    const file = /^(?:\/datasets)?\/org\/name\/resolve\/([0-9a-f]{40})\/(.+)$/.exec(pathname);
    const content = file && bytes.get(file[2]!);
    if (!content) return Response.json({ error: "Repository not found" }, { status: 404 });
    if (content.length <= LFS_BYTES) return serve(request, content);
    return Response.redirect(`http://127.0.0.1:${storage.addr.port}/${encodeURIComponent(file[2]!)}`);
  });

  return {
    url: `http://127.0.0.1:${hub.addr.port}`,
    requests,
    failures,
    authorizations,
    async [Symbol.asyncDispose]() {
      await hub.shutdown();
      await storage.shutdown();
    },
  };
}

function treeEntry(path: string, content: Uint8Array) {
  const size = content.length;
  const oid = createHash("sha1").update(`blob ${size}\0`).update(content).digest("hex");
  if (size <= LFS_BYTES) return { type: "file", path, size, oid };
  const sha256 = createHash("sha256").update(content).digest("hex");
  return { type: "file", path, size, oid: "f".repeat(40), lfs: { oid: sha256, size, pointerSize: 130 } };
}

function serve(request: Request, content: Uint8Array<ArrayBuffer> | undefined): Response {
  if (!content) return new Response("gone", { status: 404 });
  const headers = { ETag: '"etag"', "Content-Type": "application/octet-stream" };
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("Range") ?? "");
  if (!range) return new Response(content, { headers });
  if (Number(range[1]) >= content.length) return new Response(null, { status: 416 });
  const part = content.slice(Number(range[1]), Number(range[2]) + 1);
  const place = `bytes ${range[1]}-${Number(range[1]) + part.length - 1}/${content.length}`;
  return new Response(part, { status: 206, headers: { ...headers, "Content-Range": place } });
}
