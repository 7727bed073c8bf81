/**
 * Back-translations on disk, so that a sentence is translated once and a second run loads no model:
 *
 *     <folder>/<key of the two models>/models.json   which models these are
 *     <folder>/<key>/ab/<SHA-256 of the sentence>.json   {"text": "the sentence in other words"}
 *
 * The files hold what was written in posts. This folder is the one place outside of the dataset where such text lies; the
 * file of a sentence is found by the hash of the sentence.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { makeFolder, writeFileAtomic } from "../../storage/atomic_file.ts";
import { isThere } from "../../support/file_system.ts";

const entry = z.strictObject({ text: z.string() });

/** Back-translations by two models. */
export interface TranslationCache {
  /** The stored back-translation of a sentence, or undefined. */
  get(sentence: string): Promise<string | undefined>;
  set(sentence: string, text: string): Promise<void>;
}

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/**
 * Opens the cache of two models, which need not exist yet.
 *
 * @param models All that a translation depends on besides the sentence: ids, revisions, precision
 */
export function openTranslationCache(folder: string, models: Readonly<Record<string, unknown>>): TranslationCache {
  const place = join(folder, sha256(JSON.stringify(models)).slice(0, 16));
  const fileOf = (sentence: string) => {
    const hash = sha256(sentence);
    return { parent: join(place, hash.slice(0, 2)), path: join(place, hash.slice(0, 2), `${hash}.json`) };
  };
  return {
    async get(sentence) {
      const stored = await Deno.readTextFile(fileOf(sentence).path).catch((error) => {
        if (error instanceof Deno.errors.NotFound) return undefined;
        throw error;
      });
      return stored === undefined ? undefined : parseEntry(stored);
    },
    async set(sentence, text) {
      const { parent, path } = fileOf(sentence);
      await makeFolder(parent);
      const description = join(place, "models.json");
      const described = await isThere(description);
      if (!described) await writeFileAtomic(description, JSON.stringify(models, null, 2) + "\n");
      await writeFileAtomic(path, JSON.stringify({ text }) + "\n");
    },
  };
}

/** A damaged entry counts as none: the sentence is translated again. */
function parseEntry(stored: string): string | undefined {
  try {
    return entry.parse(JSON.parse(stored)).text;
  } catch {
    return undefined;
  }
}
