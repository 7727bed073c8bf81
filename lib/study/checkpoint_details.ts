/** What a checkpoint's predictions for a split come to, at the thresholds that the checkpoint holds. */
import type { PostPredictions } from "../train/aggregation.ts";
import { splitDetails } from "../train/split_details.ts";
import type { Thresholds } from "../train/thresholds.ts";
import { loadThresholds } from "../train/thresholds_file.ts";
import type { StudyContext } from "./trial_context.ts";

/** A checkpoint's thresholds, and the details of a split at them. */
export interface CheckpointDetails {
  readonly thresholds: Thresholds;
  readonly details: ReturnType<typeof splitDetails>;
}

/**
 * Scores predictions at a checkpoint's thresholds.
 *
 * @param folder The checkpoint's
 * @param posts Its predictions, with every span that was found
 * @throws a storage error when the thresholds cannot be read
 */
export async function checkpointDetails(
  { config, data: { dataset: { criteria } } }: Pick<StudyContext, "config" | "data">,
  folder: string,
  posts: PostPredictions,
): Promise<CheckpointDetails> {
  const thresholds = await loadThresholds(folder, criteria);
  const bootstrap = { samples: config.evaluation.bootstrap_samples, seed: config.seed };
  return { thresholds, details: splitDetails(posts, criteria, thresholds, bootstrap) };
}

/** Thresholds as the reports have them. */
export const thresholdFields = ({ calibration, criteria, evidence }: Thresholds) => ({
  threshold_calibration: calibration,
  thresholds: { ...criteria },
  evidence_thresholds: { ...evidence },
});
