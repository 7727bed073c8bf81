/** Back-translation as the configuration asks for it: models through the hub cache, results on disk. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { possibleMethods } from "../config/augmentation.ts";
import type { Config } from "../config/schema.ts";
import { sentencesOf } from "../data/augmentation/back_translation.ts";
import { evidenceSegments } from "../data/augmentation/edits.ts";
import { openTranslationCache } from "../data/augmentation/translation_cache.ts";
import { mayTranslate, openTranslator, translationFiles } from "../data/augmentation/translator.ts";
import type { Example } from "../data/dataset.ts";
import { postTextFolder } from "../storage/layout.ts";
import { inputError } from "../support/errors.ts";
import { isThere } from "../support/file_system.ts";
import { downloadFromHub } from "../weights/hub.ts";
import { isFolder } from "../weights/pretrained.ts";
import type { SplitDataset } from "./data_source.ts";
import type { HubOptions } from "./model_source.ts";

type Models = NonNullable<Config["augmentation"]["back_translation"]>;
type Model = Models["to"];

/** Back-translation by the models of a configuration. */
export interface BackTranslation {
  /** Where the results lie. */
  readonly folder: string;
  /** Those of the sentences that have no result yet. */
  missing(sentences: readonly string[]): Promise<string[]>;
  /**
   * Each sentence in other words. Models are loaded where a result is missing, and not else.
   *
   * @throws an input error where one is missing and this process may not run the models, or they are no such models
   */
  translate(sentences: readonly string[], options?: TranslateOptions): Promise<string[]>;
}

/** What a caller wants to hear, and how it stops the work. */
export interface TranslateOptions {
  readonly signal?: AbortSignal;
  onProgress?(done: number, all: number): void;
}

/** The folder of back-translations in an experiments folder: text of posts, which lies nowhere else beside the data. */
export function translationsFolder(experiments: string): string {
  return join(postTextFolder(experiments), "back_translation");
}

/**
 * Opens the back-translation of a configuration. Of hub models `config.json` alone is fetched, which tells the commit.
 *
 * @throws an input error when no models are named, or one does not exist
 */
export async function openBackTranslation(
  { augmentation, paths }: Config,
  hub: HubOptions = {},
): Promise<BackTranslation> {
  const models = augmentation.back_translation;
  if (!models) {
    throw inputError("augmentation.back_translation names no models", "Choose augmentation=back_translation");
  }
  const { dtype } = models;
  const [to, from] = [await identify(models.to, dtype, hub), await identify(models.from, dtype, hub)];
  const folder = translationsFolder(paths.experiments);
  const cache = openTranslationCache(folder, { to, from, dtype, decoding: "greedy" });

  const missing = async (sentences: readonly string[]) => {
    const found = await Promise.all([...new Set(sentences)].map(async (one) => ({ one, text: await cache.get(one) })));
    return found.filter(({ text }) => text === undefined).map(({ one }) => one);
  };
  return {
    folder,
    missing,
    async translate(sentences, { signal, onProgress } = {}) {
      const wanted = await missing(sentences);
      if (wanted.length > 0) {
        if (!await mayTranslate()) throw untranslated(wanted.length, sentences.length, folder);
        const store = (sentence: string, text: string) => cache.set(sentence, text);
        await translateAll(models, wanted, store, { signal, onProgress, hub });
      }
      return await Promise.all(sentences.map(async (sentence) => (await cache.get(sentence))!));
    },
  };
}

function untranslated(missing: number, all: number, folder: string) {
  return inputError(
    `${missing} of ${all} evidence sentences have no back-translation in ${folder}, and this task may not run the ` +
      "native code of the translation models",
    "Run `deno task translate` with the same configuration first",
  );
}

/** Translates sentences one by one, there and back, storing each as soon as it is done. */
async function translateAll(
  { to, from, dtype }: Models,
  sentences: readonly string[],
  store: (sentence: string, text: string) => Promise<void>,
  { signal, onProgress, hub }: {
    signal: AbortSignal | undefined;
    onProgress: TranslateOptions["onProgress"] | undefined;
    hub: HubOptions;
  },
): Promise<void> {
  const there = await openTranslator(await fetchModel(to, dtype, hub), dtype);
  try {
    const back = await openTranslator(await fetchModel(from, dtype, hub), dtype);
    try {
      for (const [i, sentence] of sentences.entries()) {
        signal?.throwIfAborted();
        await store(sentence, await back.translate(await there.translate(sentence)));
        onProgress?.(i + 1, sentences.length);
      }
    } finally {
      await back.close();
    }
  } finally {
    await there.close();
  }
}

const OPTIONAL = "generation_config.json";

/** A model's folder with all its files. */
async function fetchModel({ id, revision }: Model, dtype: Models["dtype"], hub: HubOptions): Promise<string> {
  const wanted = translationFiles(dtype);
  const { folder, files } = await isFolder(id)
    ? { folder: id, files: await presentFiles(id, wanted) }
    : await downloadFromHub({
      ...hub,
      repo: id,
      type: "model",
      files: (path) => wanted.includes(path),
      ...(revision === null ? {} : { revision }),
    });
  const absent = wanted.find((path) => !files.includes(path) && path !== OPTIONAL);
  if (absent !== undefined) {
    throw inputError(
      `The translation model ${id} has no file ${absent}`,
      "Name a model with ONNX files for transformers.js, or another augmentation.back_translation.dtype",
    );
  }
  return folder;
}

async function presentFiles(folder: string, wanted: readonly string[]): Promise<string[]> {
  const there = await Promise.all(wanted.map((path) => isThere(join(folder, path))));
  return wanted.filter((_, i) => there[i]);
}

/** What tells a model from others: its id and commit, or of a folder the SHA-256 over its files. */
async function identify(
  { id, revision }: Model,
  dtype: Models["dtype"],
  hub: HubOptions,
): Promise<{ id: string; revision: string }> {
  if (await isFolder(id)) {
    const hash = createHash("sha256");
    for (const path of await presentFiles(id, translationFiles(dtype))) {
      hash.update(`${path}\0`);
      for await (const bytes of createReadStream(join(id, path))) hash.update(bytes as Uint8Array);
    }
    // Not the folder's name: the same files elsewhere are the same model.
    return { id: "local", revision: hash.digest("hex") };
  }
  const { commit } = await downloadFromHub({
    ...hub,
    repo: id,
    type: "model",
    files: ["config.json"],
    ...(revision === null ? {} : { revision }),
  });
  return { id, revision: commit };
}

/** All sentences of the evidence in some examples, each once. */
export function evidenceSentences(examples: readonly Example[]): string[] {
  const sentences = examples.flatMap(({ text, allEvidence }) =>
    evidenceSegments(allEvidence.flat()).flatMap((segment) =>
      sentencesOf(text, segment).map(({ start, end }) => text.slice(start, end))
    )
  );
  return [...new Set(sentences)];
}

/**
 * Checks before a study that its trials will find the back-translations they may ask for, or may make them.
 *
 * @throws an input error where neither is so, or the models do not exist
 */
export async function checkBackTranslation(config: Config, { splits }: SplitDataset): Promise<void> {
  const off = config.augmentation.prob === 0 && !("augmentation.prob" in config.search_space);
  if (off || !possibleMethods(config).includes("back_translation") || await mayTranslate()) return;
  const { missing, folder } = await openBackTranslation(config);
  const sentences = evidenceSentences(splits.train);
  const absent = await missing(sentences);
  if (absent.length > 0) throw untranslated(absent.length, sentences.length, folder);
}
