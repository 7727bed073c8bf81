/** Fetches chosen files of a model or dataset from a Hugging Face hub into the shared cache, cache first. */
import { join } from "node:path";
import { inputError } from "../support/errors.ts";
import { type Delay, realDelay } from "../support/retry.ts";
import {
  cachedCommit,
  cachedListing,
  type HubFile,
  isWhole,
  rememberCommit,
  rememberListing,
  snapshotFiles,
} from "./hub_cache.ts";
import { checkRoom, storeFile, type Transfer } from "./hub_download.ts";
import { type Environment, hubCacheFolder, hubEndpoint, hubToken, isOffline } from "./hub_environment.ts";
import { type HubAccess, hubGet } from "./hub_http.ts";
import { commitOf, type HubRepo, isCommit, listCommit } from "./hub_listing.ts";
import { withRetry } from "./hub_retry.ts";

/** Milliseconds without a byte after which a transfer counts as cut. */
const STALL_TIMEOUT = 60_000;

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
  /** Called when bytes of a file have come: how many of it are here, those of an earlier run included. */
  onProgress?: (path: string, received: number, bytes: number) => void;
  /** Called before a wait for another try, with the reason and the milliseconds. */
  onRetry?: (reason: string, milliseconds: number) => void;
  /** Ends the download; what has come stays, and the next one goes on from there. */
  signal?: AbortSignal;
  /** How to wait between attempts; tests pass one that does not. */
  delay?: Delay;
  /** Milliseconds without a byte after which a transfer counts as cut; a minute unless given. */
  stallTimeout?: number;
  /** Reads an environment variable; the process's unless given. */
  env?: Environment;
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
 * The chosen files of a hub repository in a local folder. What the cache holds is not asked for again, whoever put it
 * there: a branch that has been fetched stands for the same commit until the cache is cleaned. Files chosen by a
 * predicate need the list of the commit's files; where the cache has none, the hub is asked for it once, and when the
 * hub is out of reach, what the snapshot has of them is taken for all.
 *
 * A download that breaks off, in this run or an earlier one, goes on from where it was. HF_ENDPOINT, HF_TOKEN (or the
 * token of `hf auth login`), HF_HOME, HF_HUB_CACHE and HF_HUB_OFFLINE are honoured.
 *
 * @throws an input error when the repository, revision or a file does not exist or access is refused; a failure when
 * the hub cannot be reached in 5 attempts (at once with HF_HUB_OFFLINE=1) or serves other content than it lists; a
 * storage error when the disk has no room; other errors of the file system as they come
 */
export async function downloadFromHub(request: HubRequest): Promise<HubSnapshot> {
  const { repo, type, revision = "main", files: wanted, onDownload, onProgress } = request;
  checkNames(repo, revision);
  const hub = connect(request);
  const repoFolder = join(request.cacheDir ?? hubCacheFolder(request.env), `${type}s--${repo.replaceAll("/", "--")}`);

  const known = isCommit(revision) ? revision : await cachedCommit(repoFolder, revision);
  const commit = known ?? await hub.ask((access) => commitOf(access, request, revision));
  const snapshot = join(repoFolder, "snapshots", commit);

  const listing = await cachedListing(repoFolder, commit) ?? await listOrSnapshot();
  const chosen = choose(listing, wanted, hub.what);
  const missing: HubFile[] = [];
  for (const file of chosen) {
    if (!await isWhole(join(snapshot, file.path), file)) missing.push(file);
  }
  if (missing.length > 0 && !hub.offline) await checkRoom(repoFolder, missing);
  // Before the files, so that a run after one that broke off goes on with its commit, whatever the branch says by then.
  if (!known && chosen.length > 0) await rememberCommit(repoFolder, revision, commit);
  const transfer: Transfer = {
    get: (file, from, read) => hub.get(commit, file.path, from, read),
    retry: (call) => hub.ask(call),
    onProgress: onProgress && (({ path, size }, received) => onProgress(path, received, size)),
  };
  for (const file of missing) {
    onDownload?.(file.path, file.size);
    await storeFile(repoFolder, snapshot, file, transfer);
  }
  return { folder: snapshot, commit, files: chosen.map((file) => file.path) };

  /** The list of the hub, unless what Python's library once fetched of this commit will do. */
  async function listOrSnapshot(): Promise<HubFile[]> {
    const present = await snapshotFiles(snapshot);
    const isPresent = (path: string) => present.some((file) => file.path === path);
    if (typeof wanted !== "function" && wanted.every(isPresent)) return present;
    try {
      const files = await hub.ask((access) => listCommit(access, request, commit));
      await rememberListing(repoFolder, commit, files);
      return files;
    } catch (error) {
      const paths = present.map(({ path }) => path);
      if (typeof wanted === "function" && paths.some((path) => wanted(path, paths))) return present;
      throw error;
    }
  }
}

/** The hub that a request is for, and the calls that it needs. */
function connect(request: HubRequest) {
  const { repo, type, env, stallTimeout = STALL_TIMEOUT, signal } = request;
  const endpoint = hubEndpoint(env);
  const what = `${type} "${repo}"`;
  const page = `${endpoint}/${type === "dataset" ? "datasets/" : ""}${repo}`;
  const offline = isOffline(env);
  let opened: Promise<HubAccess> | undefined;
  const open = () => opened ??= hubToken(env).then((token) => ({ endpoint, token, stallTimeout, signal }));
  return {
    what,
    offline,
    /** Makes a call, and makes it again where that may help. */
    async ask<T>(call: (access: HubAccess) => Promise<T>): Promise<T> {
      if (offline) {
        throw inputError(
          `The cache does not hold the ${what}, and HF_HUB_OFFLINE is set`,
          "Unset it, or name a folder",
        );
      }
      const access = await open();
      const { delay = realDelay, onRetry } = request;
      const errand = { what, endpoint, page, delay, onRetry, signal };
      return await withRetry(errand, () => call(access));
    },
    /** Asks for a file from one of its bytes on. */
    async get(commit: string, path: string, from: number, read: Parameters<Transfer["get"]>[2]): Promise<void> {
      const url = `${page}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
      // A compressed body has other bytes than the file.
      const headers = { "Accept-Encoding": "identity", ...(from > 0 ? { Range: `bytes=${from}-` } : {}) };
      await hubGet(await open(), url, headers, read);
    },
  };
}

/** Names become paths and addresses, so they may hold nothing that leads elsewhere. */
function checkNames(repo: HubRepo["repo"], revision: string): void {
  const part = "[A-Za-z0-9_][A-Za-z0-9._-]{0,95}";
  if (!new RegExp(`^${part}(/${part})?$`).test(repo) || repo.includes("..") || repo.includes("--")) {
    throw inputError(`"${repo}" is neither a local folder nor a hub id`, 'Give a folder, or an id such as "org/name"');
  }
  if (!/^[A-Za-z0-9_][A-Za-z0-9._/-]{0,255}$/.test(revision) || revision.includes("..") || revision.endsWith("/")) {
    throw inputError(`"${revision}" is not a revision`, "Give a branch, a tag or a commit");
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
