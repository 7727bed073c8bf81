/** Fetches chosen files of a model or dataset from a Hugging Face hub into the shared cache, cache first. */
import { datasetInfo, downloadFile, listFiles, modelInfo } from "@huggingface/hub";
import { join } from "node:path";
import { inputError } from "../support/errors.ts";
import {
  cachedCommit,
  cachedListing,
  hubCacheFolder,
  type HubFile,
  isCached,
  rememberCommit,
  rememberListing,
  storeFile,
} from "./hub_cache.ts";
import { type Delay, realDelay, withRetry } from "./hub_retry.ts";

/** What to fetch, and from where. */
export interface HubRequest {
  /** "org/name" or "name". */
  repo: string;
  type: "model" | "dataset";
  /** Branch, tag or commit; "main" unless given. */
  revision?: string;
  /** The files' paths, all of which must exist, or which of the repository's paths to take. */
  files: readonly string[] | ((path: string) => boolean);
  /** The cache folder; from the environment unless given. */
  cacheDir?: string;
  /** Called before a file is fetched, with its path and bytes. */
  onDownload?: (path: string, bytes: number) => void;
  /** How to wait between attempts; tests pass one that does not. */
  delay?: Delay;
}

/** Where the files are, and the commit that they are of. */
export interface HubSnapshot {
  folder: string;
  /** 40 hexadecimal digits. */
  commit: string;
  /** Paths within the folder, as chosen. */
  files: string[];
}

/**
 * The chosen files of a hub repository in a local folder. What the cache holds is not asked for again: a branch that
 * has been fetched stands for the same commit until the cache is cleaned. HF_ENDPOINT, HF_TOKEN, HF_HOME and
 * HF_HUB_CACHE are honoured.
 *
 * @throws an input error when the repository, revision or a file does not exist or access is refused; a failure when
 * the hub cannot be reached in 5 attempts; errors of the file system as they come
 */
export async function downloadFromHub(request: HubRequest): Promise<HubSnapshot> {
  const { repo, type, revision = "main", files: wanted, delay = realDelay } = request;
  checkNames(repo, revision);
  const what = `${type} "${repo}"`;
  const endpoint = (Deno.env.get("HF_ENDPOINT") || "https://huggingface.co").replace(/\/+$/, "");
  const hub = { hubUrl: endpoint, fetch: authorizedFetch(endpoint) };
  const name = { type, name: repo } as const;
  const call = <T>(action: () => Promise<T>) => withRetry(what, endpoint, delay, action);

  const repoFolder = join(request.cacheDir ?? hubCacheFolder(), `${type}s--${repo.replaceAll("/", "--")}`);
  let commit = /^[0-9a-f]{40}$/.test(revision) ? revision : await cachedCommit(repoFolder, revision);
  if (!commit) {
    const info = type === "model" ? modelInfo : datasetInfo;
    const { sha } = await call(() => info({ ...hub, name: repo, revision, additionalFields: ["sha"] }));
    if (!/^[0-9a-f]{40}$/.test(sha)) {
      throw inputError(`${endpoint} names no commit for the ${what}`, "Check HF_ENDPOINT");
    }
    commit = sha;
  }
  const at = commit;

  let listing = await cachedListing(repoFolder, at);
  if (!listing) {
    listing = await call(async () => {
      const files: HubFile[] = [];
      for await (
        const { type, path, size, oid, lfs } of listFiles({ ...hub, repo: name, revision: at, recursive: true })
      ) {
        if (type === "file") files.push({ path, size: lfs?.size ?? size, hash: lfs?.oid ?? oid ?? "" });
      }
      return files;
    });
    listing.forEach((file) => checkFile(file, what));
    await rememberListing(repoFolder, at, listing);
  }
  await rememberCommit(repoFolder, revision, at);

  const chosen = choose(listing, wanted, what);
  const snapshot = join(repoFolder, "snapshots", at);
  for (const file of chosen) {
    if (await isCached(snapshot, file)) continue;
    request.onDownload?.(file.path, file.size);
    await call(() =>
      storeFile(repoFolder, snapshot, file, async () => {
        const blob = await downloadFile({ ...hub, repo: name, revision: at, path: file.path });
        if (!blob) throw inputError(`${endpoint} lists ${file.path} of the ${what} but does not have it`, "Try later");
        return blob.stream();
      })
    );
  }
  return { folder: snapshot, commit: at, files: chosen.map((file) => file.path) };
}

/**
 * A fetch that adds HF_TOKEN for the hub itself and nowhere else: files are served by other hosts, which must not see it.
 */
function authorizedFetch(endpoint: string): typeof fetch {
  const token = Deno.env.get("HF_TOKEN");
  const { origin } = new URL(endpoint);
  return (input, init) => {
    const request = new Request(input, init);
    if (token && new URL(request.url).origin === origin) request.headers.set("Authorization", `Bearer ${token}`);
    return fetch(request);
  };
}

/** Names become paths and addresses, so they may hold nothing that leads elsewhere. */
function checkNames(repo: string, revision: string): void {
  const part = "[A-Za-z0-9_][A-Za-z0-9._-]{0,95}";
  if (!new RegExp(`^${part}(/${part})?$`).test(repo) || repo.includes("..") || repo.includes("--")) {
    throw inputError(`"${repo}" is neither a local folder nor a hub id`, 'Give a folder, or an id such as "org/name"');
  }
  if (!/^[A-Za-z0-9_][A-Za-z0-9._/-]{0,255}$/.test(revision) || revision.includes("..") || revision.endsWith("/")) {
    throw inputError(`"${revision}" is not a revision`, "Give a branch, a tag or a commit");
  }
}

function checkFile({ path, hash }: HubFile, what: string): void {
  const parts = path.split("/");
  if (/[\\:\0]/.test(path) || parts.some((part) => part === "" || part === "." || part === "..")) {
    throw inputError(`The ${what} lists the path ${JSON.stringify(path)}`, "Tell the owner of the repository");
  }
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash)) {
    throw inputError(`The ${what} lists ${path} without a hash`, "Check HF_ENDPOINT");
  }
}

function choose(listing: HubFile[], wanted: HubRequest["files"], what: string): HubFile[] {
  if (typeof wanted === "function") return listing.filter((file) => wanted(file.path));
  return wanted.map((path) => {
    const file = listing.find((candidate) => candidate.path === path);
    if (!file) throw inputError(`The ${what} has no file ${path}`, "Check the id and the revision");
    return file;
  });
}
