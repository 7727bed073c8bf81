/**
 * `thresholds.json` of a checkpoint: the thresholds that its weights were given on the validation split. It is written
 * with the weights, so the manifest has its hash and retention keeps it with them.
 */
import { join } from "node:path";
import { z } from "zod";
import { storageError } from "../support/errors.ts";
import { diskFileSystem, type FileSystem, readText } from "../support/file_system.ts";
import { CALIBRATION_NAMES, defaultThresholds, type Thresholds } from "./thresholds.ts";

/** The file's name within a checkpoint. */
export const THRESHOLDS_FILE = "thresholds.json";

const FORMAT = "winnow-thresholds/1";

/** The schema of `thresholds.json`. */
export const thresholdsSchema = z.strictObject({
  format: z.literal(FORMAT),
  calibration: z.enum(CALIBRATION_NAMES).describe("how they were chosen on the validation split; fixed: not at all"),
  criteria: z.record(z.string(), z.number().min(0).max(1))
    .describe("by criterion, which is predicted where probability ≥ threshold"),
  evidence: z.strictObject({
    null_threshold: z.number().describe("a text has evidence where its best span's lead over none is larger"),
    min_span_score: z.number().describe("further spans are given where their lead is larger"),
  }),
}).meta({ title: "Winnow thresholds", description: "The decision thresholds of one checkpoint." });

/** The text of `thresholds.json`. */
export function thresholdsText(thresholds: Thresholds): string {
  return JSON.stringify(thresholdsSchema.parse({ format: FORMAT, ...thresholds }), null, 2) + "\n";
}

/**
 * The thresholds of a checkpoint, to be applied to any split or text: `thresholdList` brings the criteria's into the order
 * of the outputs, `givenSpans` applies those of evidence. A checkpoint without the file (saved within an epoch, by an
 * interrupt or by an earlier version) has the default ones.
 *
 * @param criteria the model's, in the order of its outputs
 * @throws a storage error when the file is damaged, or is of other criteria
 */
export async function loadThresholds(
  folder: string,
  criteria: readonly string[],
  fs: FileSystem = diskFileSystem,
): Promise<Thresholds> {
  const path = join(folder, THRESHOLDS_FILE);
  const refuse = (reason: string, cause?: unknown) =>
    storageError(`${path} cannot be used: ${reason}`, "Use another checkpoint, or restore this one from a copy", {
      cause,
    });
  let text: string;
  try {
    text = await readText(fs, path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return defaultThresholds(criteria);
    throw refuse(String(error), error);
  }
  let found: z.infer<typeof thresholdsSchema>;
  try {
    found = thresholdsSchema.parse(JSON.parse(text));
  } catch (error) {
    throw refuse(error instanceof z.ZodError ? z.prettifyError(error) : String(error), error);
  }
  const names = Object.keys(found.criteria);
  if (names.length !== criteria.length || !criteria.every((name) => Object.hasOwn(found.criteria, name))) {
    throw refuse(`it is of the criteria ${names.join(", ")} and not of ${criteria.join(", ")}`);
  }
  const { format: _, ...thresholds } = found;
  return thresholds;
}
