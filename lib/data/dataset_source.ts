/**
 * Where a dataset's folder is, and which revision of it: a local folder in place, or a hub repository on this machine.
 *
 * There is no fallback source: what the configuration names is used, or the run stops with the reason.
 */
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { inputError } from "../support/errors.ts";
import { isTableFile, type NamedFiles, NO_NAMED_FILES } from "./dataset_files.ts";

/** Brings files of a hub repository onto this machine (`downloadFromHub` of lib/weights). */
export type DownloadDataset = (
  request: { repo: string; type: "dataset"; revision?: string; files: (path: string) => boolean },
) => Promise<{ folder: string; commit: string }>;

/** Which dataset. */
export interface DatasetLocation {
  /** A local folder, else a hub id such as `irlab-udc/redsm5`. */
  id: string;
  /** Commit or branch of the hub repository; of a local clone, the commit that it has to be at. */
  revision?: string;
  /** Files named by hand. */
  files?: NamedFiles;
  /** Needed for hub ids only. */
  download?: DownloadDataset;
}

/** A dataset's folder on this machine. */
export interface DatasetFolder {
  folder: string;
  /** The commit: the hub's, or the one that a local clone has checked out; null where the folder does not say. */
  revision: string | null;
}

const COMMIT = /^[0-9a-f]{40}$/;

/**
 * Finds the folder of a dataset.
 *
 * @throws inputError when there is none, or it is not at the revision asked for
 */
export async function locateDataset({ id, revision, files, download }: DatasetLocation): Promise<DatasetFolder> {
  const found = await stat(id).catch(() => null);
  if (found?.isDirectory()) {
    const current = await localRevision(id);
    checkRevision(id, revision, current);
    return { folder: id, revision: current };
  }
  if (found) throw inputError(`data.id names the file ${id}`, "Name the folder that holds the two tables");
  const hubId = /^[A-Za-z0-9][\w.-]*\/[\w.-]+$/.test(id);
  if (!hubId || !download) {
    throw inputError(
      `No dataset folder at ${id}${hubId ? "" : ", and it is no hub id (owner/name)"}`,
      "Set data.id to a folder that holds a posts and an annotations table, or to a hub id such as irlab-udc/redsm5",
    );
  }
  const named = files ?? NO_NAMED_FILES;
  const { folder, commit } = await download({
    repo: id,
    type: "dataset",
    files: (path) => isTableFile(path, named),
    ...(revision ? { revision } : {}),
  });
  if (await stat(folder).catch(() => null) === null) {
    throw inputError(
      `The hub dataset "${id}" has no posts and no annotations table`,
      "Choose another data.id or data.revision, or name its files with data.files.posts and data.files.annotations",
    );
  }
  return { folder, revision: commit };
}

/** A revision that is asked for must be the one that is there; a branch cannot be told of a local folder. */
function checkRevision(folder: string, wanted: string | undefined, current: string | null): void {
  if (wanted === undefined || wanted === current) return;
  throw inputError(
    `data.revision asks for ${wanted}, but ${folder} is ${
      current === null ? "no clone whose commit can be told" : `at commit ${current}`
    }`,
    current === null
      ? "Set data.revision=null to read the folder as it is (its files' hashes are recorded)"
      : `Check the commit out (git checkout ${wanted}), or set data.revision=${current}`,
  );
}

/**
 * The commit that a local folder stands for: that of a snapshot in the hub's cache (by the folder's name), the one
 * checked out in a Git clone (read from its files; git is not run), or the one that `hf download --local-dir` wrote down.
 */
export async function localRevision(folder: string): Promise<string | null> {
  const path = resolve(folder);
  if (COMMIT.test(basename(path)) && basename(dirname(path)) === "snapshots") return basename(path);
  return await gitHead(path) ?? await downloadedCommit(path);
}

/** The commit that HEAD of a clone or worktree names. */
async function gitHead(folder: string): Promise<string | null> {
  let git = join(folder, ".git");
  if ((await stat(git).catch(() => null))?.isFile()) {
    const pointer = /^gitdir: (.+)$/m.exec(await readText(git))?.[1];
    if (pointer === undefined) return null;
    git = isAbsolute(pointer) ? pointer : join(folder, pointer);
  }
  const head = (await readText(join(git, "HEAD"))).trim();
  if (COMMIT.test(head)) return head;
  const ref = /^ref: (refs\/[\w./-]+)$/.exec(head)?.[1];
  if (ref === undefined || ref.includes("..")) return null;
  const common = (await readText(join(git, "commondir"))).trim(); // of a worktree, where the branches are
  const shared = common === "" ? git : isAbsolute(common) ? common : join(git, common);
  const loose = (await readText(join(shared, ref))).trim();
  if (COMMIT.test(loose)) return loose;
  const packed = (await readText(join(shared, "packed-refs"))).split("\n").find((line) => line.endsWith(` ${ref}`));
  return packed !== undefined && COMMIT.test(packed.slice(0, 40)) ? packed.slice(0, 40) : null;
}

/** The commit in the metadata that huggingface_hub keeps beside files it put into a folder, if they agree on one. */
async function downloadedCommit(folder: string): Promise<string | null> {
  const commits = new Set<string>();
  const walk = async (path: string) => {
    for await (const entry of Deno.readDir(path)) {
      if (entry.isDirectory) await walk(join(path, entry.name));
      else if (entry.name.endsWith(".metadata")) commits.add((await readText(join(path, entry.name))).split("\n")[0]!);
    }
  };
  await walk(join(folder, ".cache", "huggingface", "download")).catch(() => {});
  const [commit] = commits;
  return commits.size === 1 && COMMIT.test(commit!) ? commit! : null;
}

/** Text of a file, "" where it cannot be read. */
async function readText(path: string): Promise<string> {
  return await readFile(path, "utf8").catch(() => "");
}
