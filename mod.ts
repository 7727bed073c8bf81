/**
 * Winnow as a library: the pieces that the commands are made of.
 *
 * @example
 * ```ts no-eval
 * import { loadConfig, startStudy } from "./mod.ts";
 * const config = loadConfig({ file: "configs/quickstart.yaml", overrides: ["study.n_trials=1"] });
 * const quiet = { say: () => {}, onEvent: () => {}, onProgress: () => {} };
 * const { best_value } = await startStudy(config, new AbortController().signal, quiet);
 * ```
 */
export { loadConfig, withParams } from "./lib/config/compose.ts";
export type { Config } from "./lib/config/schema.ts";
export { type Augmentation, type AugmentationOptions, augmentExamples } from "./lib/data/augmentation/augment.ts";
export type { AugmentationServices } from "./lib/data/augmentation/method.ts";
export { openWordNet, type WordNet } from "./lib/data/augmentation/wordnet.ts";
export { type Dataset, loadDataset, REDSM5_CRITERIA } from "./lib/data/dataset.ts";
export { declaredSplits, splitExamples } from "./lib/data/splits.ts";
export { type Gpu, openGpu } from "./lib/gpu/device.ts";
export { paramImportances } from "./lib/hpo/importance/ped_anova.ts";
export type { OptimizeOptions } from "./lib/hpo/optimize.ts";
export { hyperbandPruner } from "./lib/hpo/pruners/hyperband.ts";
export { patientPruner } from "./lib/hpo/pruners/patient.ts";
export { medianPruner, percentilePruner } from "./lib/hpo/pruners/percentile.ts";
export type { PruneDecision, Pruner } from "./lib/hpo/pruners/pruner.ts";
export { successiveHalvingPruner } from "./lib/hpo/pruners/successive_halving.ts";
export { thresholdPruner } from "./lib/hpo/pruners/threshold.ts";
export { gridSampler } from "./lib/hpo/samplers/grid.ts";
export { quasiRandomSampler } from "./lib/hpo/samplers/quasi_random.ts";
export { randomSampler } from "./lib/hpo/samplers/random.ts";
export type { RelativeSample, Sampler } from "./lib/hpo/samplers/sampler.ts";
export { tpeSampler } from "./lib/hpo/samplers/tpe.ts";
export type { Category, Distribution, Params, SearchSpace } from "./lib/hpo/space.ts";
export {
  createStudy,
  type CreateStudyOptions,
  type EnqueueOptions,
  loadStudy,
  type LoadStudyOptions,
  type Study,
  type StudyParts,
  type Told,
  type Trial,
} from "./lib/hpo/study.ts";
export type { AttributeKind, StoredStudy, TrialTemplate } from "./lib/hpo/study_db.ts";
export type { Direction, FrozenTrial, StudyHistory, TrialState } from "./lib/hpo/trial.ts";
export type { StudyDatabase } from "./lib/hpo/database.ts";
export { CATALOG, type CatalogModel, catalogModel } from "./lib/model/catalog.ts";
export { type DualAgentConfig, dualAgentParameters } from "./lib/model/dual_agent.ts";
export type { EncoderConfig } from "./lib/model/encoder.ts";
export { FULL_TUNING, type Tuning, TUNING_MODES } from "./lib/model/tuning.ts";
export { type Catalog, catalog } from "./lib/report/catalog.ts";
export type { DataReport } from "./lib/report/data_report.ts";
export type { ProfileReport } from "./lib/report/profile.ts";
export { evaluateStudy, type StudyResult } from "./lib/study/conclude.ts";
export { type PredictedText, predictTexts, type TextToPredict } from "./lib/study/predict.ts";
export { openCheckpointModel, openExportedModel, type StoredModel } from "./lib/study/stored_model.ts";
export { reportData } from "./lib/study/data_report.ts";
export { exportModel, type ExportOptions, type ExportResult } from "./lib/study/export.ts";
export { findModel, type FoundModel, type ModelChoice } from "./lib/study/find_model.ts";
export { exportAdapter, type MergeOptions, mergeTuned } from "./lib/study/merge.ts";
export { type ProfileRequest, profileTraining } from "./lib/study/profile.ts";
export { translateEvidence, type TranslationResult } from "./lib/study/translate.ts";
export { type ReportResult, reportStudy } from "./lib/study/study_report.ts";
export { resumeStudy, startStudy, type StudyHooks } from "./lib/study/study.ts";
export { exitCode, WinnowError } from "./lib/support/errors.ts";
export { loadTokenizer, type LoadTokenizerOptions } from "./lib/text/load_tokenizer.ts";
export type { Tokenizer } from "./lib/text/tokenizer.ts";
export { type Engine, openEngine } from "./lib/train/engine.ts";
export { type EnginePlan, type MemoryForecast, planEngine } from "./lib/train/engine_plan.ts";
export {
  openTokenSuggester,
  type TokenCandidate,
  type TokenQuery,
  type TokenSuggester,
  type TokenSuggesterOptions,
} from "./lib/train/token_suggestions.ts";
export { readEncoderConfig } from "./lib/weights/encoder_config.ts";
export { openSafetensors, writeSafetensors } from "./lib/weights/safetensors.ts";
export { openWeights, type WeightInfo, type WeightsFile } from "./lib/weights/weights_file.ts";
