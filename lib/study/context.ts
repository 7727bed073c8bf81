/** Opens everything that a study stands on, checking each part before the next is begun. */
import type { Config } from "../config/schema.ts";
import { type Gpu, openGpu } from "../gpu/device.ts";
import { checkSpace } from "../hpo/space.ts";
import { ensureWritable } from "../storage/disk.ts";
import { formatBytes } from "../storage/free_space.ts";
import { openDataset, SPLITS } from "./data_source.ts";
import { checkLength, modelKey, openModel } from "./model_source.ts";
import { describePreflight, type Preflight, preflight } from "./preflight.ts";
import { encodedSplits, engineOptions, type StudyContext } from "./trial.ts";

/**
 * Opens data, model and adapter of a configuration.
 *
 * @throws an input error for what is missing or does not fit together, a storage error when the experiments folder
 * cannot be written
 */
export async function openContext(config: Config, studyId: string, signal: AbortSignal): Promise<StudyContext> {
  await ensureWritable(config.paths.experiments);
  checkSpace(config.search_space);
  const data = await openDataset(config);
  signal.throwIfAborted();
  const model = await openModel(config, data.splits.train);
  checkLength(config, model);
  const gpu: Gpu = await openGpu(config.gpu.preset);
  const cache = { models: new Map([[modelKey(config), model]]), encoded: new Map() };
  return { config, studyId, gpu, data, model, signal, cache };
}

/** Runs the preflight of the configuration's own values. */
export function contextPreflight(context: StudyContext): Promise<Preflight> {
  return preflight(context.config, context.gpu, engineOptions(context));
}

/** What was opened, in a few lines for people. */
export function describeContext(context: StudyContext, found: Preflight): string {
  const { gpu, data, model } = context;
  const { counts } = data.dataset;
  const { alignment } = counts;
  const encoded = encodedSplits(context);
  const truncated = SPLITS.reduce((sum, split) => sum + encoded.counts[split].truncatedPosts, 0);
  const posts = SPLITS.map((split) => `${data.splits[split].length} ${split}`).join(", ");
  const lost = alignment.not_found > 0 ? `, ${alignment.not_found} not found in their post` : "";
  const cut = truncated > 0 ? `; ${truncated} posts are longer than data.max_length and lose their end` : "";
  const weights = model.folder === undefined ? "random initialisation" : `pretrained, revision ${model.revision}`;
  return [
    `adapter      ${gpu.name}${gpu.isSoftware ? " (software)" : ""}, ${gpu.preset} kernels`,
    `data         ${data.id}: ${posts} posts; ${data.dataset.criteria.length} criteria; evidence ` +
    `${alignment.exact} exact, ${alignment.normalised} normalised, ${alignment.fuzzy} fuzzy${lost}${cut}`,
    `model        ${model.id} (${weights}): ${model.encoder.num_hidden_layers} layers, hidden ` +
    `${model.encoder.hidden_size}, ${formatBytes(found.weightsBytes)} of weights`,
    describePreflight(found),
  ].join("\n");
}
