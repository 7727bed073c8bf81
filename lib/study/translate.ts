/** `deno task translate`: back-translates the evidence of the training split, so that training needs no native code. */
import type { Config } from "../config/schema.ts";
import { ensureWritable } from "../storage/disk.ts";
import { evidenceSentences, openBackTranslation } from "./back_translation.ts";
import { openDataset } from "./data_source.ts";

/** The object that `--json` prints. */
export interface TranslationResult {
  /** Evidence sentences of the training split, each counted once. */
  readonly sentences: number;
  /** How many of them were translated now; the others were there. */
  readonly translated: number;
  readonly folder: string;
}

/**
 * Back-translates what has no back-translation yet.
 *
 * @throws an input error when the configuration names no models or they cannot be had
 */
export async function translateEvidence(
  config: Config,
  signal: AbortSignal,
  { say, onProgress }: { say(text: string): void; onProgress(done: number, all: number): void },
): Promise<TranslationResult> {
  await ensureWritable(config.paths.experiments);
  const { splits } = await openDataset(config);
  const back = await openBackTranslation(config);
  const sentences = evidenceSentences(splits.train);
  const { length: translated } = await back.missing(sentences);
  say(`${translated} of ${sentences.length} evidence sentences to translate`);
  await back.translate(sentences, { signal, onProgress });
  say(`translations in ${back.folder}`);
  return { sentences: sentences.length, translated, folder: back.folder };
}
