/** Augmentation of the training split as a trial's configuration asks for it. */
import { augmentationMethods } from "../config/augmentation.ts";
import { type Augmentation, augmentExamples } from "../data/augmentation/augment.ts";
import type { AugmentationServices } from "../data/augmentation/method.ts";
import { openWordNet, type WordNet } from "../data/augmentation/wordnet.ts";
import { type EncodedInput, encodeExamples } from "../data/encoding.ts";
import type { EvaluationReport } from "../report/schema.ts";
import { inputError } from "../support/errors.ts";
import { openTokenSuggester, type TokenSuggester } from "../train/token_suggestions.ts";
import { openBackTranslation } from "./back_translation.ts";
import { encodingOptions } from "./data_source.ts";
import { askHub } from "./hub_pause.ts";
import { modelKey } from "./model_source.ts";
import type { StudyContext } from "./trial_context.ts";

/** Augmented copies, and which opinion `insert` asked for. */
export interface TrainingAugmentation extends Augmentation {
  readonly suggestions: TokenSuggester["source"] | null;
}

/**
 * The augmented copies of the training split, or undefined where the configuration asks for none. They depend on data,
 * seed and configuration alone, so a resumed trial makes the same; trials that ask for the same share them.
 *
 * @throws an input error where WordNet, a model or a translation cannot be had
 */
export async function trainingAugmentation(context: StudyContext): Promise<TrainingAugmentation | undefined> {
  const { config, data, cache } = context;
  const { prob, word_rate, methods: named, back_translation } = config.augmentation;
  const methods = augmentationMethods(named);
  if (methods.length === 0 || prob === 0) return undefined;
  const key = JSON.stringify([
    ...[methods, prob, word_rate, config.seed],
    methods.includes("insert") ? modelKey(config) : null,
    methods.includes("back_translation") ? back_translation : null,
  ]);
  const known = cache.augmented.get(key);
  if (known) return known;
  using services = openServices(context);
  const options = { methods, prob, wordRate: word_rate, seed: config.seed };
  const augmentation = await augmentExamples(data.splits.train, options, services);
  const made = { ...augmentation, suggestions: services.source() };
  cache.augmented.set(key, made);
  return made;
}

/** The input rows of augmented copies, as those of the originals are made. */
export function encodeAugmented(context: StudyContext, { examples }: Augmentation): EncodedInput[] {
  const { config, data, model } = context;
  return encodeExamples(examples, model.tokenizer, encodingOptions(config, data.dataset.criteria)).inputs;
}

/** What logs and reports say of an augmentation: numbers, no text. */
export function augmentationReport(
  { counts, hash, suggestions }: TrainingAugmentation,
): EvaluationReport["augmentation"] {
  return {
    candidates: counts.candidates,
    made: counts.made,
    unchanged: counts.unchanged,
    by_method: counts.byMethod,
    suggestions,
    sha256: hash,
  };
}

/** Opens what methods ask for, when they do; what is open is closed at the end. */
function openServices(
  context: StudyContext,
): AugmentationServices & Disposable & { source(): TokenSuggester["source"] | null } {
  const { gpu, model, config, signal, cache } = context;
  let wordNet: WordNet | undefined;
  let suggester: TokenSuggester | undefined;
  return {
    async wordNet() {
      return wordNet ??= await openWordNet();
    },
    async suggestions() {
      const { folder, encoder, tokenizer } = model;
      if (folder === undefined) {
        throw inputError(
          "augmentation.methods has insert, but model.id is random",
          "Leave insert out, or choose a pretrained model by model.id",
        );
      }
      const { maskId, padId, clsId, sepId } = tokenizer;
      // There is room for one model: the next trial plans its engine anew.
      cache.engine.release();
      suggester ??= await openTokenSuggester(gpu, { encoder, folder, maskId, padId, clsId, sepId });
      return { suggester, tokenizer };
    },
    backTranslate: async (texts) =>
      await askHub(context, async (hub) => await (await openBackTranslation(config, hub)).translate(texts, { signal })),
    source: () => suggester?.source ?? null,
    [Symbol.dispose]() {
      wordNet?.[Symbol.dispose]();
      suggester?.close();
    },
  };
}
