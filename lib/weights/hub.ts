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
  processEnv,
  rememberCommit,
  rememberListing,
  snapshotFiles,
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
  /** The files' paths, all of which must exist, or which of all the repository's paths to take. */
  files: readonly string[] | ((path: string, all: readonly string[]) => boolean);
  /** The cache folder; from the environment unless given. */
  cacheDir?: string;
  /** Called before a file is fetched, with its path and bytes. */
  onDownload?: (path: string, bytes: number) => void;
  /** How to wait between attempts; tests pass one that does not. */
  delay?: Delay;
  /** Reads an environment variable; the process's unless given. */
  env?: (name: string) => string | undefined;
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
 * the hub cannot be reached in 5 attempts (at once with HF_HUB_OFFLINE=1); errors of the file system as they come
 */
export async function downloadFromHub(request: HubRequest): Promise<HubSnapshot> {
  const { repo, type, revision = "main", files: wanted } = request;
  checkNames(repo, revision);
  const hub = connect(request);
  const repoFolder = join(request.cacheDir ?? hubCacheFolder(request.env), `${type}s--${repo.replaceAll("/", "--")}`);

  const known = isCommit(revision) ? revision : await cachedCommit(repoFolder, revision);
  const commit = known ?? await hub.commitOf(revision);
  const snapshot = join(repoFolder, "snapshots", commit);

  const listing = await cachedListing(repoFolder, commit) ?? await hub.list(commit).then(async (files) => {
    await rememberListing(repoFolder, commit, files);
    return files;
  }, async (error) => {
    // The hub is out of reach: what Python's library once fetched of this commit may do.
    const files = await snapshotFiles(snapshot);
    const paths = files.map(({ path }) => path);
    const isWanted = (path: string) => typeof wanted === "function" ? wanted(path, paths) : wanted.includes(path);
    const found = paths.filter(isWanted).length;
    if (found === 0 || (typeof wanted !== "function" && found < wanted.length)) throw error;
    return files;
  });
  const chosen = choose(listing, wanted, hub.what);
  for (const file of chosen) {
    if (await isCached(snapshot, file)) continue;
    request.onDownload?.(file.path, file.size);
    await hub.retry(() => storeFile(repoFolder, snapshot, file, () => hub.open(commit, file)));
  }
  // Last, since a revision that names an unknown snapshot is damage to Python's tools.
  if (!known && chosen.length > 0) await rememberCommit(repoFolder, revision, commit);
  return { folder: snapshot, commit, files: chosen.map((file) => file.path) };
}

/** The calls to the hub that a request needs. */
function connect({ repo, type, delay = realDelay, env = processEnv }: HubRequest) {
  const endpoint = (env("HF_ENDPOINT") || "https://huggingface.co").replace(/\/+$/, "");
  if (!/^https?:$/.test(URL.parse(endpoint)?.protocol ?? "")) {
    throw inputError(`HF_ENDPOINT is no address: ${endpoint}`, "Set it to the hub's address, or unset it");
  }
  const what = `${type} "${repo}"`;
  const access = { hubUrl: endpoint, fetch: authorizedFetch(endpoint, env("HF_TOKEN")) };
  const designation = { type, name: repo } as const;
  const retry = async <T>(call: () => Promise<T>): Promise<T> => {
    if (["1", "true", "yes", "on"].includes((env("HF_HUB_OFFLINE") ?? "").toLowerCase())) {
      throw inputError(`The cache does not hold the ${what}, and HF_HUB_OFFLINE is set`, "Unset it, or name a folder");
    }
    return await withRetry(what, endpoint, delay, call);
  };
  return {
    what,
    retry,
    /** The commit that a branch or tag stands for. */
    async commitOf(revision: string): Promise<string> {
      const query = { ...access, name: repo, revision };
      const { sha } = await retry<{ sha: string }>(() =>
        type === "model"
          ? modelInfo({ ...query, additionalFields: ["sha"] })
          : datasetInfo({ ...query, additionalFields: ["sha"] })
      );
      if (!isCommit(sha)) throw inputError(`${endpoint} names no commit for the ${what}`, "Check HF_ENDPOINT");
      return sha;
    },
    /** All files of a commit, their paths and hashes checked. */
    async list(commit: string): Promise<HubFile[]> {
      const query = { ...access, repo: designation, revision: commit, recursive: true };
      const files = await retry(async () => {
        const found: HubFile[] = [];
        for await (const { type, path, size, oid, lfs } of listFiles(query)) {
          if (type === "file") found.push({ path, size: lfs?.size ?? size, hash: lfs?.oid ?? oid ?? "" });
        }
        return found;
      });
      files.forEach((file) => checkFile(file, what));
      return files;
    },
    /** The content of a file. */
    async open(commit: string, file: HubFile): Promise<ReadableStream<Uint8Array>> {
      if (file.size === 0) return new Blob().stream(); // no byte range can ask for it
      const blob = await downloadFile({ ...access, repo: designation, revision: commit, path: file.path });
      if (!blob) throw inputError(`${endpoint} lists ${file.path} of the ${what} but does not have it`, "Try later");
      return blob.stream();
    },
  };
}

function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/**
 * A fetch that adds HF_TOKEN for the hub itself and nowhere else: files are served by other hosts, which must not see it.
 */
function authorizedFetch(endpoint: string, token: string | undefined): typeof fetch {
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
  if (typeof wanted === "function") {
    const paths = listing.map(({ path }) => path);
    return listing.filter(({ path }) => wanted(path, paths));
  }
  return wanted.map((path) => {
    const file = listing.find((candidate) => candidate.path === path);
    if (!file) throw inputError(`The ${what} has no file ${path}`, "Check the id and the revision");
    return file;
  });
}
