/** What is tracked of a study and its trials, as params, tags and metrics. None of it holds text of a post. */
import type { Config } from "../config/schema.ts";
import type { RunningTrial } from "../hpo/executor.ts";
import { maskSecrets } from "../support/masking.ts";
import { VERSION } from "../support/version.ts";
import type { EpochRecord } from "../train/state.ts";
import type { TrainingProgress } from "../train/trainer.ts";
import { dataReference, type StudyContext } from "./trial_context.ts";

/** Parts of the configuration that decide nothing of a result. */
const LEFT_OUT = ["paths", "tracking"];

/** Dotted keys and texts of a tree of settings: what MLflow calls params. Lists are JSON. */
export function flattened(tree: object, prefix = ""): Record<string, string> {
  return Object.fromEntries(
    Object.entries(tree).flatMap(([key, value]): [string, string][] => {
      const name = prefix + key;
      if (value !== null && typeof value === "object" && !Array.isArray(value)) {
        return Object.entries(flattened(value, `${name}.`));
      }
      return [[name, maskSecrets(typeof value === "string" ? value : JSON.stringify(value))]];
    }),
  );
}

/** The params of a configuration; of a trial's, `params` are what the search drew for it. */
export function configParams(config: Config, params: RunningTrial["params"] = {}): Record<string, string> {
  const { search_space, ...rest } = Object.fromEntries(
    Object.entries(config).filter(([key]) => !LEFT_OUT.includes(key)),
  );
  const space = Object.entries(search_space as Config["search_space"])
    .map(([key, distribution]) => [`search_space.${key}`, JSON.stringify(distribution)]);
  return { ...flattened(rest), ...flattened(params), ...Object.fromEntries(space) };
}

/** Tags that say on what a run stands. */
export function originTags(context: StudyContext): Record<string, string> {
  const { config } = context;
  const data = dataReference(context);
  return tagTexts({
    "mlflow.source.type": "LOCAL",
    "mlflow.source.name": "winnow",
    "winnow.version": VERSION,
    "winnow.study_id": context.studyId,
    "winnow.metric": config.study.metric,
    "winnow.direction": config.study.direction,
    "winnow.adapter": context.gpu.name,
    "winnow.data": data.id,
    "winnow.data_revision": data.revision,
    "winnow.data_sha256": data.sha256,
    "winnow.split_sha256": data.split_sha256,
  });
}

/** Values as tags; what is null or undefined has none. */
export function tagTexts(tags: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(tags).filter(([, value]) => value !== null && value !== undefined)
      .map(([key, value]) => [key, maskSecrets(String(value))]),
  );
}

/** What is tracked of an optimizer step. */
export function stepMetrics({ metrics, learningRate }: TrainingProgress): Record<string, number> {
  return {
    "train/loss": metrics.loss,
    "train/criteria_loss": metrics.criteriaLoss,
    "train/span_loss": metrics.spanLoss,
    "train/gradient_norm": metrics.gradientNorm,
    "train/learning_rate": learningRate,
  };
}

/** What is tracked of an epoch. A metric that cannot be computed (no positives) is NaN, so that none is ever missing. */
export function epochMetrics(record: EpochRecord): Record<string, number> {
  return {
    epoch: record.epoch,
    "epoch_seconds": record.seconds,
    "train/epoch_loss": record.train_loss ?? NaN,
    ...Object.fromEntries(
      Object.entries(record.validation).map(([name, value]) => [`validation/${name}`, value ?? NaN]),
    ),
  };
}
