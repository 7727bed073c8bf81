/** The hub's two answers before any file: which commit a revision stands for, and which files a commit has. */
import { datasetInfo, listFiles, modelInfo } from "@huggingface/hub";
import { WinnowError } from "../support/errors.ts";
import { checkFile, type HubFile } from "./hub_cache.ts";
import { BrokenTransfer, type HubAccess, hubGet, HubRefusal, readText } from "./hub_http.ts";

/** A repository of a hub. */
export interface HubRepo {
  /** "org/name" or "name". */
  readonly repo: string;
  readonly type: "model" | "dataset";
}

/** Bytes of one page of an answer; the hub's pages of 1,000 files have some 300 kB. */
const MAX_PAGE_BYTES = 32_000_000;
/** A million files. */
const MAX_PAGES = 1000;

/** Whether a revision is a commit itself: 40 hexadecimal digits. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** The commit that a branch or tag stands for. One call: errors are those of `hubGet`, and a failure for no answer. */
export async function commitOf(access: HubAccess, { repo, type }: HubRepo, revision: string): Promise<string> {
  const query = { hubUrl: access.endpoint, fetch: apiFetch(access), name: repo, revision };
  const info: { sha?: unknown } = await answered(
    access,
    () =>
      type === "model"
        ? modelInfo({ ...query, additionalFields: ["sha"] })
        : datasetInfo({ ...query, additionalFields: ["sha"] }),
  );
  if (typeof info.sha !== "string" || !isCommit(info.sha)) throw noHub(access, "names no commit");
  return info.sha;
}

/** All files of a commit, their paths and hashes checked. One call: errors are those of `hubGet`. */
export async function listCommit(access: HubAccess, { repo, type }: HubRepo, commit: string): Promise<HubFile[]> {
  const query = { hubUrl: access.endpoint, fetch: apiFetch(access), repo: { type, name: repo }, revision: commit };
  const files = await answered(access, async () => {
    const found: HubFile[] = [];
    for await (const { type, path, size, oid = "", lfs, xetHash } of listFiles({ ...query, recursive: true })) {
      if (type !== "file") continue;
      const xet = xetHash === undefined ? {} : { xetHash };
      found.push({ path, size: lfs?.size ?? size, hash: lfs?.oid ?? oid, oid, ...xet });
    }
    return found;
  });
  files.forEach((file) => checkFile(file, `The ${type} "${repo}"`));
  return files;
}

/** A fetch for the library's calls: JSON only, of bounded size, and no page twice. */
function apiFetch(access: HubAccess): typeof fetch {
  const seen = new Set<string>();
  return (input) => {
    const url = input instanceof Request ? input.url : String(input);
    if (seen.has(url) || seen.size === MAX_PAGES) throw noHub(access, "lists files without end");
    seen.add(url);
    return hubGet(access, url, { Accept: "application/json" }, async ({ headers, body }) => {
      const text = await readText(body, MAX_PAGE_BYTES);
      try {
        JSON.parse(text);
      } catch {
        throw noHub(access, `answers with ${headers.get("Content-Type") ?? "something"} that is no JSON`);
      }
      const link = headers.get("Link");
      return new Response(text, { headers: { "Content-Type": "application/json", ...(link ? { Link: link } : {}) } });
    });
  };
}

/** What the library throws by itself, it throws because the answer has another form than the hub's. */
async function answered<T>(access: HubAccess, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    const isOurs = error instanceof WinnowError || error instanceof BrokenTransfer || error instanceof HubRefusal;
    if (isOurs || access.signal?.aborted || !(error instanceof TypeError)) throw error;
    throw noHub(access, "answers with JSON of another form than the hub's", error);
  }
}

function noHub({ endpoint }: HubAccess, what: string, cause?: unknown): WinnowError {
  const remedy = "Check HF_ENDPOINT; a login page or a proxy may answer in the hub's place";
  return new WinnowError("failure", `${endpoint} ${what}`, remedy, { cause });
}
