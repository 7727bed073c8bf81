/**
 * `manifest.json` of a checkpoint: what the checkpoint is (step, epoch, metrics, kind) and the size and SHA-256 of each
 * of its files. It is written last, so a folder without a manifest is no checkpoint.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { storageError } from "../support/errors.ts";
import { diskFileSystem, type FileSystem, readText } from "../support/file_system.ts";

/** The manifest's file name within a checkpoint folder. */
export const MANIFEST_FILE = "manifest.json";

const RESTORE = "Use another checkpoint, or restore this one from a copy.";

/** Hashing goes in pieces of this size: the fastest measured, and memory stays small for any file. */
const CHUNK_BYTES = 4 * 1024 * 1024;

/** A relative path that stays inside its folder: a manifest is read from disk and may lie. */
const relativePath = z.string().regex(/^(?!\.{1,2}(?:\/|$))[^/\\\0]+(?:\/(?!\.{1,2}(?:\/|$))[^/\\\0]+)*$/);

const infoSchema = z.looseObject({
  step: z.int().min(0).describe("optimizer steps done"),
  epoch: z.int().min(0).describe("epochs done"),
  kind: z.string().describe('why it was saved, such as "epoch" or "interrupted"'),
  metrics: z.record(z.string(), z.number().nullable()).describe("validation metrics; null stands for NaN"),
});

/** What a checkpoint says of itself; further keys (code version, architecture signature) are kept as they are. */
export type CheckpointInfo = z.infer<typeof infoSchema>;

/** The contents of manifest.json. `checksum` is the SHA-256 of the manifest's own JSON without that key. */
export const manifestSchema = z.strictObject({
  format: z.literal("winnow-checkpoint/1"),
  info: infoSchema,
  files: z.record(relativePath, z.strictObject({ bytes: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) })),
  dropped: z.array(relativePath).describe("files that were taken out later: without them it is no resume point"),
  checksum: z.string(),
});

/** The contents of manifest.json. */
export type Manifest = z.infer<typeof manifestSchema>;

const checksumOf = ({ checksum: _, ...rest }: Manifest): string =>
  createHash("sha256").update(JSON.stringify(rest)).digest("hex");

const textOf = (manifest: Manifest): string => JSON.stringify(manifest, null, 2) + "\n";

/** The manifest's text. NaN and infinities in `info` become null, as JSON has none. */
export function manifestText(info: CheckpointInfo, files: Manifest["files"], dropped: string[] = []): string {
  const manifest: Manifest = JSON.parse(
    JSON.stringify({ format: "winnow-checkpoint/1", info, files, dropped, checksum: "" }),
  );
  // Parsed as it will be read, so that ill-typed info is found when it is written and not when it is needed.
  manifestSchema.parse(manifest);
  return textOf({ ...manifest, checksum: checksumOf(manifest) });
}

/**
 * Reads and checks the manifest of a checkpoint folder; the other files are not looked at.
 *
 * @throws a storage error that says what is wrong with it.
 */
export async function readManifest(folder: string, fs: FileSystem = diskFileSystem): Promise<Manifest> {
  const path = join(folder, MANIFEST_FILE);
  const damaged = (what: string, cause?: unknown) =>
    storageError(`damaged checkpoint ${folder}: ${MANIFEST_FILE} ${what}`, RESTORE, { cause });
  let text: string;
  try {
    text = await readText(fs, path);
  } catch (error) {
    throw damaged(error instanceof Deno.errors.NotFound ? "is missing" : "cannot be read", error);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged("is no JSON", error);
  }
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw damaged(`has an unexpected "${issue.path.join(".")}": ${issue.message}`, parsed.error);
  }
  // Over the value as it was read, since zod may reorder the keys.
  if (checksumOf(value as Manifest) !== parsed.data.checksum) throw damaged("does not match its own checksum");
  // Spaces and line breaks are no part of the checksum, and changed all the same.
  if (text !== textOf(value as Manifest)) throw damaged("is not as it was written");
  return parsed.data;
}

/** SHA-256 of a file in hexadecimal, and its size in bytes. */
export async function hashFile(
  path: string,
  fs: FileSystem = diskFileSystem,
): Promise<{ bytes: number; sha256: string }> {
  const file = await fs.openForReading(path);
  try {
    const hash = createHash("sha256");
    const { size } = await fs.status(path);
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, Math.max(size, 1 << 12)));
    let bytes = 0;
    for (let read = await file.read(chunk); read !== null; read = await file.read(chunk)) {
      hash.update(chunk.subarray(0, read));
      bytes += read;
    }
    return { bytes, sha256: hash.digest("hex") };
  } finally {
    file.close();
  }
}
