/** Opens everything that a study stands on, checking each part before the next is begun. */
import { possibleMethods } from "../config/augmentation.ts";
import type { Config } from "../config/schema.ts";
import type { EncodingCounts } from "../data/encoding.ts";
import { type Gpu, openGpu } from "../gpu/device.ts";
import { ensureWritable } from "../storage/disk.ts";
import { formatBytes } from "../storage/free_space.ts";
import { openAutotuner } from "./autotune.ts";
import { checkBackTranslation } from "./back_translation.ts";
import { openDataset, SPLITS, trainingTexts } from "./data_source.ts";
import { shortestLength } from "./inputs.ts";
import { checkModel, modelKey, openModel } from "./model_source.ts";
import { largestCheckpoint } from "./checkpoint_size.ts";
import { describePreflight, type Preflight, preflight } from "./preflight.ts";
import { searchSpaceOf } from "./search_space.ts";
import { encodedSplits, engineOptions, type StudyContext } from "./trial_context.ts";
import { keepTokens } from "./token_cache.ts";
import { createTrialCache } from "./trial_cache.ts";

/**
 * Opens data, model and adapter of a configuration.
 *
 * @throws an input error for what is missing or does not fit together, a storage error when the experiments folder
 * cannot be written
 */
export async function openContext(config: Config, studyId: string, signal: AbortSignal): Promise<StudyContext> {
  await ensureWritable(config.paths.experiments);
  searchSpaceOf(config);
  const data = await openDataset(config);
  await checkBackTranslation(config, data);
  signal.throwIfAborted();
  const model = await openModel(config, trainingTexts(config, data), { signal });
  checkModel(config, model);
  const gpu: Gpu = await openGpu(config.gpu.preset);
  const cache = createTrialCache();
  cache.models.set(modelKey(config), model);
  await keepTokens(cache.tokens, config, data, model.tokenizer);
  const autotuner = await openAutotuner(config, gpu);
  return { config, studyId, gpu, autotuner, data, model, signal, cache };
}

/**
 * Runs the preflight of the configuration's own values, with the checkpoints of the largest trial that its search allows.
 *
 * @param ownedBytes Bytes of the study's checkpoints that are there already
 */
export async function contextPreflight(context: StudyContext, ownedBytes = 0): Promise<Preflight> {
  const { config, gpu } = context;
  const largest = largestCheckpoint(config, (candidate) => engineOptions({ ...context, config: candidate }));
  return await preflight(config, gpu, engineOptions(context), shortestLength(context), { ownedBytes, largest });
}

/** What was opened, in a few lines for people. */
export function describeContext(context: StudyContext, found: Preflight): string {
  const { gpu, autotuner, data, model } = context;
  const { counts } = data.dataset;
  const { alignment } = counts;
  const posts = SPLITS.map((split) => `${data.splits[split].length} ${split}`).join(", ");
  const lost = alignment.not_found > 0 ? `, ${alignment.not_found} not found in their post` : "";
  const weights = model.folder === undefined ? "random initialisation" : `pretrained, revision ${model.revision}`;
  return [
    `adapter      ${gpu.name}${gpu.isSoftware ? " (software)" : ""}, ${gpu.preset} kernels${
      autotuner ? ", tuned" : ""
    }`,
    `data         ${data.id}: ${posts} posts; ${data.dataset.criteria.length} criteria; evidence ` +
    `${alignment.exact} exact, ${alignment.normalised} normalised, ${alignment.fuzzy} fuzzy${lost}`,
    `inputs       ${describeInputs(context)}`,
    ...describeAugmentation(context),
    `model        ${model.id} (${weights}): ${model.encoder.num_hidden_layers} layers, hidden ` +
    `${model.encoder.hidden_size}, ${formatBytes(found.modelBytes)} of weights${describeTuning(context, found)}`,
    describePreflight(found),
  ].join("\n");
}

/** What is trained, where that is not everything. */
function describeTuning({ config }: StudyContext, { weightsBytes }: Preflight): string {
  const { mode } = config.tuning;
  return mode === "full" ? "" : `, ${formatBytes(weightsBytes)} of them trained (${mode})`;
}

/** Which methods may change the evidence of how many training posts; nothing where there are none. */
function describeAugmentation({ config, data }: StudyContext): string[] {
  const methods = possibleMethods(config);
  if (methods.length === 0) return [];
  const posts = data.splits.train.filter(({ allEvidence }) => allEvidence.some((spans) => spans.length > 0)).length;
  const { prob } = config.augmentation;
  return [
    `augmentation ${
      methods.join(", ")
    }: a copy of ${posts} training posts with evidence, each with probability ${prob}`,
  ];
}

/** The input rows of each split, and what long posts lose or are cut into. */
function describeInputs(context: StudyContext): string {
  const { input_format, max_length } = context.config.data;
  const { counts } = encodedSplits(context);
  const all = SPLITS.map((split) => counts[split]);
  const sum = (of: (one: EncodingCounts) => number) => all.reduce((total, one) => total + of(one), 0);
  const rows = SPLITS.map((split) => `${counts[split].inputs} ${split}`).join(", ");
  const cut = sum((one) => one.truncatedPosts), windowed = sum((one) => one.windowedPosts);
  const lost = sum((one) => one.spans.truncated);
  const most = Math.max(...all.map((one) => one.mostWindows));
  return [
    `${input_format} of at most ${max_length} tokens: ${rows}`,
    ...(cut > 0 ? [`${cut} posts are cut off and lose ${sum((one) => one.truncatedTokens)} tokens`] : []),
    ...(windowed > 0 ? [`${windowed} posts are read in windows, at most ${most}`] : []),
    ...(lost > 0 ? [`${lost} evidence spans are whole in no input`] : []),
  ].join("; ");
}
