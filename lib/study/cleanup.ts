/**
 * What can go from an experiments folder, and its deletion: checkpoints that no study needs any more and what crashes
 * have left. It never takes what a resume or an evaluation of the best trials needs, since it asks the same rule that
 * runs ask. Without `execute` nothing is changed.
 */
import { join, relative } from "node:path";
import type { Config } from "../config/schema.ts";
import { listStudies, openStudyDatabase, type StoredStudy, type StudyDatabase } from "../hpo/study_db.ts";
import { alignColumns } from "../report/study_table.ts";
import { isTemporaryName } from "../storage/atomic_file.ts";
import { cleanPartials, listCheckpoints } from "../storage/checkpoint.ts";
import { folderBytes } from "../storage/disk.ts";
import { formatBytes } from "../storage/free_space.ts";
import { describeStored, reliedOn } from "../storage/keeper.ts";
import {
  checkpointsFolder,
  postTextFolder,
  reserveFile,
  studyDatabasePath,
  TEXT_REPORTS,
  tokensFolder,
} from "../storage/layout.ts";
import { type FolderLock, lockFolder } from "../storage/lock.ts";
import { carryOut, soundPlan } from "../storage/retention.ts";
import { decideRetention } from "../storage/retention_decision.ts";
import { inputError, WinnowError } from "../support/errors.ts";
import { isThere } from "../support/file_system.ts";
import { findPosts } from "./post_removal.ts";
import { storedConfig } from "./study_attributes.ts";
import { studyPolicy, tightFromOf, trialStandings } from "./study_storage.ts";

/** One thing that can go. */
export interface CleanupItem {
  /**
   * `orphan`: a crash left it; `retention`: no study needs it; `unknown`: no study has this trial; `data`: post text;
   * `post`: of the posts that were named.
   */
  readonly kind: "orphan" | "retention" | "unknown" | "data" | "post";
  /** What happens: the whole path goes, or the optimizer state in it, or what it says of posts. */
  readonly action: "remove" | "drop_optimizer" | "rewrite";
  /** Relative to the experiments folder. */
  readonly path: string;
  readonly bytes: number;
  readonly reason: string;
}

/** What a cleanup found, and with `executed` has deleted. */
export interface CleanupReport {
  readonly experiments: string;
  readonly executed: boolean;
  readonly items: readonly CleanupItem[];
  readonly bytes: number;
  /** What could not be looked at or does not go, and why. */
  readonly notes: readonly string[];
}

/** What is cleaned. */
export interface CleanupOptions {
  readonly execute: boolean;
  /** Only this study's trials; all studies', and what belongs to none, where it is not given. */
  readonly studyId?: string | undefined;
  /** Also the texts of posts that were made from datasets. */
  readonly data: boolean;
  /** Only what is of these posts, by their ids, and nothing else. */
  readonly posts?: readonly string[] | undefined;
  /** A configuration whose dataset is looked into for the text of the posts, beside those of the studies. */
  readonly config?: Config | undefined;
}

/** A deletion that was found, with what carries it out. */
interface Found extends CleanupItem {
  remove(): Promise<void>;
}

/** How long `--execute` waits for a run that has just been killed to end. */
const PATIENCE_MS = 2_000;

/**
 * Finds what can go, and deletes it where `execute` says so.
 *
 * @throws an input error when there is no such folder or study, a storage error when a run uses the folder and something
 * is to be deleted, or a deletion fails
 */
export async function cleanUp(experiments: string, options: CleanupOptions): Promise<CleanupReport> {
  const { execute, studyId, data } = options;
  if (!await Deno.stat(experiments).then((found) => found.isDirectory, () => false)) {
    throw inputError(`there is no experiments folder ${experiments}`, "Set paths.experiments to the one to clean up");
  }
  const notes: string[] = [];
  using lock = await lockIfFree(experiments, execute, notes);
  const isFree = lock !== null;
  if (options.posts !== undefined) return await removePosts(experiments, options.posts, options, notes);
  const found: Found[] = [];
  const known = new Set<string>();
  const path = studyDatabasePath(experiments);
  if (await isThere(path)) {
    using db = await openStudyDatabase(path);
    const studies = listStudies(db);
    if (studyId !== undefined && !studies.some(({ id }) => id === studyId)) {
      throw inputError(`no study ${studyId} in ${db.path}`, "The ids stand in the names of the folders study_*");
    }
    for (const study of studies) {
      const trials = trialStandings(db, study);
      trials.forEach(({ id }) => known.add(id));
      if (studyId === undefined || study.id === studyId) found.push(...await ofStudy(db, study, experiments, notes));
    }
    const folders = studyId === undefined
      ? await trialIds(experiments)
      : trialStandings(db, studies.find(({ id }) => id === studyId)!).map(({ id }) => id);
    if (isFree) found.push(...await orphans(experiments, folders, studyId === undefined));
    if (studyId === undefined) found.push(...await unknownTrials(experiments, folders, known));
  } else {
    notes.push(
      `there is no ${relative(experiments, path)}: trials are left alone, since none can be told from another`,
    );
  }
  if (data) found.push(...await postText(experiments));
  return await conclude(experiments, execute, found, notes);
}

/** Deletes where that is asked for, and reports. */
async function conclude(
  experiments: string,
  executed: boolean,
  found: readonly Found[],
  notes: readonly string[],
): Promise<CleanupReport> {
  if (executed) { for (const one of found) await one.remove(); }
  const items = found.map(({ remove: _, ...item }) => item);
  return { experiments, executed, items, bytes: items.reduce((sum, { bytes }) => sum + bytes, 0), notes };
}

/** What is of some posts. */
async function removePosts(
  experiments: string,
  ids: readonly string[],
  { execute, config }: CleanupOptions,
  notes: string[],
): Promise<CleanupReport> {
  const found = await findPosts(experiments, ids, config ? [config] : []);
  const items = found.findings.map(({ execute: remove, path, ...rest }): Found => {
    const inside = relative(experiments, path);
    // The tracker's copies may lie elsewhere.
    return { ...rest, kind: "post", path: inside.startsWith("..") ? path : inside, remove };
  });
  return await conclude(experiments, execute, items, [...notes, ...found.notes]);
}

async function lockIfFree(experiments: string, execute: boolean, notes: string[]): Promise<FolderLock | null> {
  // Where no run ever was there is none now, and looking leaves no file behind.
  const everLocked = await isThere(join(experiments, ".lock"));
  if (!execute && !everLocked) return { path: "", [Symbol.dispose]: () => {} };
  try {
    return await lockFolder(experiments, execute ? PATIENCE_MS : 0);
  } catch (error) {
    if (execute || !(error instanceof WinnowError)) throw error;
    notes.push(
      "a run is using the folder: its unfinished saves are not listed, and nothing can be deleted until it ends",
    );
    return null;
  }
}

/** Checkpoints that a study's policy does not keep, by the study's own configuration. */
async function ofStudy(db: StudyDatabase, study: StoredStudy, experiments: string, notes: string[]): Promise<Found[]> {
  const config = storedConfig(study);
  if (config === null) {
    notes.push(`study ${study.id} was made by another program or version: its checkpoints are left alone`);
    return [];
  }
  const trials = trialStandings(db, study);
  const stored: ReturnType<typeof describeStored>[] = [];
  for (const { id } of trials) {
    const parent = checkpointsFolder(experiments, id);
    for (const one of await listCheckpoints(parent, (message) => notes.push(message))) {
      stored.push(describeStored(id, one));
    }
  }
  const { metric, direction } = config.study;
  const room = { freeBytes: Infinity, neededBytes: 0, wantedBytes: 0 };
  const state = {
    policy: studyPolicy(config),
    tightFrom: tightFromOf(study),
    metric,
    direction,
    trials,
    current: null,
    room,
  };
  const plan = decideRetention({ ...state, checkpoints: stored });
  /** Only where what stays is sound is anything given up for it. */
  const verified = new Set<string>();
  const remove = async () => {
    const checked = await soundPlan(
      stored,
      (sound) => decideRetention({ ...state, checkpoints: sound }),
      (decision) => reliedOn(decision, metric, direction),
      verified,
      (message) => notes.push(message),
    );
    await carryOut(checked.plan);
  };
  let done: Promise<void> | undefined;
  const item = (one: typeof stored[number], action: CleanupItem["action"], bytes: number): Omit<Found, "remove"> => ({
    kind: "retention",
    action,
    path: relative(experiments, one.folder),
    bytes,
    reason: plan.reasons.get(one) ?? "",
  });
  return [
    ...plan.remove.map((one) => ({ ...item(one, "remove", one.bytes), remove: () => done ??= remove() })),
    ...plan.reduce.map((one) => ({
      ...item(one, "drop_optimizer", one.optimizerBytes),
      remove: () => done ??= remove(),
    })),
  ];
}

async function entries(folder: string): Promise<Deno.DirEntry[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).sort((a, b) => a.name < b.name ? -1 : 1);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

const TRIAL = "trial_";

async function trialIds(experiments: string): Promise<string[]> {
  return (await entries(experiments)).filter(({ isDirectory, name }) => isDirectory && name.startsWith(TRIAL))
    .map(({ name }) => name.slice(TRIAL.length));
}

const bytesOf = async (path: string, entry: Deno.DirEntry) =>
  entry.isDirectory ? await folderBytes(path) : (await Deno.lstat(path)).size;

/** Half-written and half-deleted folders and files. The next save or resume of a trial would remove its own too. */
async function orphans(experiments: string, trials: readonly string[], everywhere: boolean): Promise<Found[]> {
  const found: Found[] = [];
  const add = async (parent: string, entry: Deno.DirEntry, reason: string, remove?: () => Promise<void>) => {
    const path = join(parent, entry.name);
    found.push({
      kind: "orphan",
      action: "remove",
      path: relative(experiments, path),
      bytes: await bytesOf(path, entry),
      reason,
      remove: remove ?? (() => Deno.remove(path, { recursive: true })),
    });
  };
  for (const id of trials) {
    const parent = checkpointsFolder(experiments, id);
    const all = await entries(parent);
    const names = new Set(all.map(({ name }) => name));
    for (const entry of all) {
      const [, name, what] = /^\.(.+)\.(partial|trash|replaced)-\d+$/.exec(entry.name) ?? [];
      // A replaced one whose successor never came gets its name back instead.
      if (!entry.isDirectory || name === undefined || (what === "replaced" && !names.has(name))) continue;
      const reason = what === "partial" ? "a save that was interrupted" : "a deletion that was interrupted";
      await add(parent, entry, reason, () => cleanPartials(parent));
    }
  }
  const folders = [...trials.map((id) => join(experiments, `${TRIAL}${id}`)), ...(everywhere ? [experiments] : [])];
  for (const folder of folders) {
    for (const entry of await entries(folder)) {
      const isReserve = join(folder, entry.name) === reserveFile(experiments);
      if (!entry.isFile || !(isTemporaryName(entry.name) || isReserve)) continue;
      await add(folder, entry, isReserve ? "the reserve of a run that was killed" : "a write that was interrupted");
    }
  }
  return found;
}

/** Trials that no study has, as after a study was deleted with Optuna: their checkpoints, not their logs and reports. */
async function unknownTrials(experiments: string, trials: readonly string[], known: Set<string>): Promise<Found[]> {
  const found: Found[] = [];
  for (const id of trials.filter((id) => !known.has(id))) {
    const path = checkpointsFolder(experiments, id);
    const bytes = await folderBytes(path);
    if (bytes === 0) continue;
    const reason = "no study in study.db has this trial";
    const remove = () => Deno.remove(path, { recursive: true });
    found.push({ kind: "unknown", action: "remove", path: relative(experiments, path), bytes, reason, remove });
  }
  return found;
}

async function postText(experiments: string): Promise<Found[]> {
  const path = postTextFolder(experiments);
  return (await Promise.all((await entries(path)).map(async (entry): Promise<Found[]> => {
    const inside = join(path, entry.name);
    const remove = () => Deno.remove(inside, { recursive: true });
    const bytes = await bytesOf(inside, entry);
    const reason = entry.name === "back_translation"
      ? "evidence of posts in other words; `deno task translate` makes it again"
      : entry.name === TEXT_REPORTS
      ? "pages of studies with text of posts; `deno task report --with-text` makes them again"
      : inside === tokensFolder(experiments)
      ? "tokens of posts; made again when they are needed"
      : "a sample that is generated again when it is needed";
    return [{ kind: "data", action: "remove", path: relative(experiments, inside), bytes, reason, remove }];
  }))).flat();
}

/** The report as text. */
export function cleanupText({ experiments, executed, items, bytes, notes }: CleanupReport): string {
  const rows = items.map((one) => [
    formatBytes(one.bytes),
    { remove: one.path, drop_optimizer: join(one.path, "(optimizer)"), rewrite: `${one.path} (rewritten)` }[one.action],
    one.reason,
  ]);
  const total = items.length === 0
    ? `nothing to clean up in ${experiments}`
    : executed
    ? `${formatBytes(bytes)} deleted in ${experiments}`
    : `${formatBytes(bytes)} can go from ${experiments}; \`deno task cleanup${
      items.some(({ kind }) => kind === "post") ? " --post …" : ""
    } --execute\` deletes it`;
  return [
    ...(rows.length > 0 ? [alignColumns(["size", "path", "why"], rows), ""] : []),
    ...notes.map((note) => `note: ${note}`),
    total,
  ].join("\n");
}
