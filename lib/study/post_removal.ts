/**
 * Taking posts out of everything that Winnow has made of them, by their ids: generated samples, back-translations, logs,
 * reports and the tracker's copies of them. What cannot be taken out is said: the dataset, and weights trained on it.
 */
import { createHash } from "node:crypto";
import { dirname, join, resolve } from "node:path";
import type { Config } from "../config/schema.ts";
import { sentencesOf } from "../data/augmentation/back_translation.ts";
import { buildDataset } from "../data/dataset.ts";
import { locateDataset } from "../data/dataset_source.ts";
import { readTables, type Tables } from "../data/tables.ts";
import { listStudies, openStudyDatabase } from "../hpo/study_db.ts";
import { listCheckpoints } from "../storage/checkpoint.ts";
import { checkpointsFolder, postTextFolder, studyDatabasePath, tokensFolder } from "../storage/layout.ts";
import { WinnowError } from "../support/errors.ts";
import { isThere } from "../support/file_system.ts";
import { ARTIFACTS_FOLDER } from "../tracking/mlflow_db.ts";
import { downloadFromHub } from "../weights/hub.ts";
import { offlineEnv } from "../weights/hub_environment.ts";
import { evidenceSentences, translationsFolder } from "./back_translation.ts";
import { findPostFiles, type PostFile } from "./post_files.ts";
import type { PostIds } from "./post_mentions.ts";
import { storedConfig } from "./study_attributes.ts";
import { trialStandings } from "./study_storage.ts";

/** A study of the folder, as far as posts are concerned. */
interface PostStudy {
  readonly id: string;
  readonly config: Config;
  readonly trials: readonly string[];
}

/** Something of the posts, with its removal. */
export interface PostFinding extends Pick<PostFile, "path" | "action" | "bytes" | "execute"> {
  readonly reason: string;
}

/** What was found. */
export interface PostFindings {
  /** In the order in which they have to go: what is found by the text of a post comes before that text. */
  readonly findings: readonly PostFinding[];
  /** What holds the posts and stays. */
  readonly notes: readonly string[];
}

/**
 * Finds everything in an experiments folder that holds something of some posts. Nothing is changed, and nothing is
 * fetched.
 *
 * @param configs Further configurations whose datasets are looked into
 */
export async function findPosts(
  experiments: string,
  ids: readonly string[],
  configs: readonly Config[],
): Promise<PostFindings> {
  const wanted: PostIds = new Set(ids);
  const notes: string[] = [];
  const studies = await readStudies(experiments, notes);
  const datasets = await readDatasets(experiments, [...studies.map(({ config }) => config), ...configs], notes);
  const sentences = new Set(datasets.flatMap((one) => sentencesOfPosts(one, wanted)));
  const known = new Set(datasets.flatMap(({ tables }) => tables.posts.map(({ postId }) => postId)));
  const translations = translationsFolder(experiments);
  const findings: PostFinding[] = [
    ...await findTranslations(translations, sentences),
    ...await findTokens(tokensFolder(experiments)),
  ];

  const folders = [experiments, ...artifactFolders(experiments, studies)];
  for (const folder of folders) {
    for (const file of await findPostFiles(folder, wanted, (text) => notes.push(text))) {
      if ([translations, tokensFolder(experiments)].some((own) => file.path.startsWith(join(own, "/")))) continue;
      findings.push({ ...file, reason: `${count(file)} of the posts${effect(experiments, file.path)}` });
    }
  }
  const absent = ids.filter((id) => !known.has(id));
  if (absent.length > 0 && await isThere(translations)) {
    notes.push(
      `no dataset that is here has ${
        absent.join(", ")
      }, so that back-translations of its sentences, if there are any, ` +
        "cannot be told from others: `deno task cleanup --data --execute` removes all of them",
    );
  }
  notes.push(...await whatStays(experiments, wanted, studies, datasets));
  return { findings, notes };
}

async function readStudies(experiments: string, notes: string[]): Promise<PostStudy[]> {
  const path = studyDatabasePath(experiments);
  const studies: PostStudy[] = [];
  if (await isThere(path)) {
    using db = await openStudyDatabase(path);
    for (const study of listStudies(db)) {
      const config = storedConfig(study);
      const trials = trialStandings(db, study).map(({ id }) => id);
      if (config !== null) studies.push({ id: study.id, config, trials });
      else notes.push(`study ${study.id} was made by another program or version: its dataset is not looked into`);
    }
  }
  return studies;
}

const count = ({ removed, what }: PostFile) =>
  what === "the file"
    ? what
    : `${removed} ${removed === 1 ? { rows: "row", entries: "entry", lines: "line" }[what] : what}`;

/** What a change of a table brings with it. */
function effect(experiments: string, path: string): string {
  const isTable = path.startsWith(join(postTextFolder(experiments), "/")) && path.endsWith(".csv");
  return isTable ? "; studies on this sample can be neither resumed nor evaluated again, since their data change" : "";
}

/** Where the tracker keeps copies of reports outside of the experiments folder. */
function artifactFolders(experiments: string, studies: readonly PostStudy[]): string[] {
  const folders = studies.flatMap(({ config: { tracking } }) =>
    tracking.store === "mlflow_db" && tracking.uri !== null ? [resolve(dirname(tracking.uri), ARTIFACTS_FOLDER)] : []
  );
  return [...new Set(folders)].filter((folder) => !folder.startsWith(join(resolve(experiments), "/")));
}

/** A dataset that is on this machine. */
interface LocalDataset {
  readonly config: Config;
  readonly folder: string;
  readonly isSample: boolean;
  readonly tables: Tables;
}

/** The datasets of some configurations, each once; what is not here is noted. */
async function readDatasets(experiments: string, configs: readonly Config[], notes: string[]): Promise<LocalDataset[]> {
  const found = new Map<string, LocalDataset | null>();
  for (const config of configs) {
    const { id, revision, files, criteria, alignment, synthetic } = config.data;
    const isSample = id === "synthetic";
    const key = JSON.stringify([id, revision, files, criteria, alignment, isSample ? synthetic : null]);
    if (found.has(key)) continue;
    const sample = join(postTextFolder(experiments), `synthetic_${synthetic.posts}_${synthetic.seed}`);
    // A sample that is not there is of no post.
    if (isSample && !await isThere(sample)) continue;
    try {
      const { folder } = await locateDataset({
        id: isSample ? sample : id,
        files,
        ...(revision === null ? {} : { revision }),
        download: (request) => downloadFromHub({ ...request, env: offlineEnv }),
      });
      const tables = await readTables(folder, { files, declaredSplits: false });
      found.set(key, { config, folder, isSample, tables });
    } catch (error) {
      if (!(error instanceof WinnowError)) throw error;
      found.set(key, null);
      notes.push(`the dataset ${id} cannot be looked into: ${error.message}`);
    }
  }
  return [...found.values()].filter((one) => one !== null);
}

/** All texts of some posts that may have been translated: their sentences, and what of them is evidence. */
function sentencesOfPosts({ config, tables }: LocalDataset, ids: PostIds): string[] {
  const posts = tables.posts.filter(({ postId }) => ids.has(postId));
  const annotations = tables.annotations.filter(({ postId }) => ids.has(postId));
  const whole = posts.flatMap(({ text }) =>
    sentencesOf(text, { start: 0, end: text.length }).map(({ start, end }) => text.slice(start, end))
  );
  const evidence = [config.data.criteria, "auto" as const].flatMap((criteria) => {
    try {
      return evidenceSentences(
        buildDataset({ posts, annotations }, criteria, config.data.alignment.min_score).examples,
      );
    } catch (error) {
      if (error instanceof WinnowError) return []; // none of these posts has one of the criteria
      throw error;
    }
  });
  return [...whole, ...evidence, ...annotations.map(({ sentenceText }) => sentenceText)];
}

/** Back-translations of some sentences, by all models. */
async function findTranslations(folder: string, sentences: ReadonlySet<string>): Promise<PostFinding[]> {
  const hashes = [...sentences].map((one) => createHash("sha256").update(one).digest("hex")).sort();
  const models = await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
  const found: PostFinding[] = [];
  for (const { name } of models) {
    for (const hash of hashes) {
      const path = join(folder, name, hash.slice(0, 2), `${hash}.json`);
      const stored = await Deno.lstat(path).catch(() => null);
      if (stored === null) continue;
      const reason = "a sentence of the posts in other words";
      found.push({ path, action: "remove", bytes: stored.size, reason, execute: () => Deno.remove(path) });
    }
  }
  return found;
}

/** All tokens that are kept: whose they are does not stand there, and they are soon made again. */
async function findTokens(folder: string): Promise<PostFinding[]> {
  const files = await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
  return await Promise.all(files.map(async ({ name }): Promise<PostFinding> => {
    const path = join(folder, name);
    const { size: bytes } = await Deno.lstat(path);
    const reason = "tokens of posts, maybe of these; made again when they are needed";
    return { path, action: "remove", bytes, reason, execute: () => Deno.remove(path) };
  }));
}

/** What holds the posts and is not Winnow's to change, or cannot be taken apart. */
async function whatStays(
  experiments: string,
  ids: PostIds,
  studies: readonly PostStudy[],
  datasets: readonly LocalDataset[],
): Promise<string[]> {
  const has = ({ tables }: LocalDataset) => tables.posts.some(({ postId }) => ids.has(postId));
  const own = new Map(datasets.filter((one) => !one.isSample && has(one)).map((one) => [one.folder, one]));
  const notes = [...own.values()].map(({ config, folder }) =>
    `the dataset ${config.data.id} has the posts: take them out of it (here it is ${folder}), or the next study reads ` +
    "them again; studies that began with them can then be neither resumed nor evaluated again"
  );
  const without = new Set(datasets.filter((one) => !has(one)).map(({ config }) => JSON.stringify(config.data)));
  for (const { id, config, trials } of studies) {
    if (without.has(JSON.stringify(config.data))) continue;
    const folders = trials.map((trial) => checkpointsFolder(experiments, trial));
    const trained = (await Promise.all(folders.map(async (one) => (await listCheckpoints(one)).length))).filter(
      Boolean,
    );
    if (trained.length > 0) {
      notes.push(
        `checkpoints of ${trained.length} trials of study ${id} come from training on data with the posts, as far as can ` +
          "be told: nothing can be taken out of weights, nor out of the vocabulary of a model that began at random; " +
          "delete them (trial_*/checkpoints), and train anew",
      );
    }
    if (config.tracking.store === "mlflow_rest") {
      notes.push(`reports that study ${id} has sent to its MLflow server are not looked into`);
    }
  }
  return notes;
}
