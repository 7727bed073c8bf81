/** What several reports have in common. */
import { z } from "zod";

/** A hash. */
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/).describe("SHA-256 in hexadecimal");
/** A time. */
export const time = z.iso.datetime().describe("ISO 8601, UTC");

/** A file of a dataset's tables. */
export const dataFileSchema = z.strictObject({
  path: z.string().describe("within the dataset's folder"),
  bytes: z.int().min(0),
  sha256,
});
