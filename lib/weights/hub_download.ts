/**
 * A file of the hub on its way into the cache: into `blobs/<hash>.incomplete`, from the byte that it has already, then
 * checked against its hash and given its name at once, so that no reader ever sees a part of a file.
 */
import { createHash, type Hash, randomUUID } from "node:crypto";
import { statfs } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { isDiskFull, storageError, WinnowError } from "../support/errors.ts";
import { type HubFile, isWhole, statIfThere } from "./hub_cache.ts";
import { type Answer, BrokenTransfer, HubRefusal } from "./hub_http.ts";

/** A transfer that came this far before it broke was worth its try. */
const PROGRESS_BYTES = 8 * 1024 ** 2;
const CHUNK_BYTES = 1024 ** 2;

/** How a file comes. */
export interface Transfer {
  /** Asks for the file's bytes from one of them on, and reads the answer. */
  get(file: HubFile, from: number, read: (answer: Answer) => Promise<void>): Promise<void>;
  /** Repeats what may pass. */
  retry(call: () => Promise<void>): Promise<void>;
  /** Called when bytes have come: how many there are now. */
  onProgress?: ((file: HubFile, received: number) => void) | undefined;
}

/** A file that is being written, and the hash of what it has. */
interface Part {
  readonly path: string;
  readonly output: Deno.FsFile;
  received: number;
  hash: Hash;
}

/**
 * Brings a file into a snapshot, unless another process has just done so.
 *
 * @throws a failure when the content is not what the hub announced; a storage error when the disk is full; what
 * `transfer` throws. What has come stays for the next run, but for a full disk and a wrong hash.
 */
export async function storeFile(repoFolder: string, snapshot: string, file: HubFile, transfer: Transfer) {
  const blob = join(repoFolder, "blobs", file.hash);
  const pointer = join(snapshot, file.path);
  await Deno.mkdir(dirname(blob), { recursive: true });
  await Deno.mkdir(dirname(pointer), { recursive: true });
  using lock = await lockBlob(repoFolder, file.hash);
  if (!await isWhole(blob, file)) {
    // Two writers of one file would spoil it, so where locks do not work each has one of its own.
    const part = lock ? partPath(repoFolder, file) : `${blob}.${randomUUID().slice(0, 8)}.incomplete`;
    try {
      await complete(part, file, transfer);
      await publish(part, blob, file);
    } finally {
      if (!lock) await Deno.remove(part).catch(() => {}); // gone when the rename was done
    }
  }
  if (await isWhole(pointer, file)) return;
  await Deno.remove(pointer).catch(() => {}); // a damaged or dangling one
  try {
    await Deno.symlink(relative(dirname(pointer), blob), pointer);
  } catch {
    // Links need more than the named write permission; as in Python's library, the file then stands in its own place.
    await Deno.rename(blob, pointer);
  }
}

/** Gives a whole file its name, unless another process that the lock did not keep out did so with the same file. */
async function publish(part: string, blob: string, file: HubFile): Promise<void> {
  try {
    await Deno.rename(part, blob);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound) || !await isWhole(blob, file)) throw error;
  }
}

function partPath(repoFolder: string, file: HubFile): string {
  return join(repoFolder, "blobs", `${file.hash}.incomplete`);
}

/**
 * The lock of a blob, which Python's library takes too (flock); undefined on a file system that has none. The lock file
 * stays behind: removing it would let two processes hold "the" lock on two different files.
 */
async function lockBlob(repoFolder: string, hash: string): Promise<Disposable | undefined> {
  const folder = join(dirname(repoFolder), ".locks", basename(repoFolder));
  await Deno.mkdir(folder, { recursive: true });
  for (;;) {
    const file = await Deno.open(join(folder, `${hash}.lock`), { read: true, write: true, create: true, mode: 0o664 });
    const locked = await file.lock(true).then(() => true, () => false);
    if (locked && (await file.stat()).nlink !== 0) return { [Symbol.dispose]: () => file.close() };
    file.close();
    if (!locked) return undefined;
    // Somebody removed the lock file meanwhile: this lock would keep nobody out.
  }
}

/**
 * Refuses to begin what cannot end: checks that the disk has room for what is still to come of the files.
 *
 * @throws a storage error that says how much is needed
 */
export async function checkRoom(repoFolder: string, files: readonly HubFile[]): Promise<void> {
  let needed = 0;
  for (const file of files) {
    const { size } = await statIfThere(join(repoFolder, "blobs", file.hash)) ??
      await statIfThere(partPath(repoFolder, file)) ?? { size: 0 };
    needed += Math.max(0, file.size - size);
  }
  if (needed > await freeBytes(repoFolder)) throw await noRoom(repoFolder, needed);
}

/** Bytes that this user may still write; as many as you like where that may not be asked. */
async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return Infinity;
  }
}

async function noRoom(repoFolder: string, needed: number, cause?: unknown): Promise<WinnowError> {
  const free = await freeBytes(repoFolder);
  const numbers = `${megabytes(needed)} needed${free === Infinity ? "" : `, ${megabytes(free)} free`}`;
  const remedy = "Free some space there, or set HF_HOME to a folder on a larger disk";
  return storageError(`The disk is too full for a download: ${numbers} (${repoFolder})`, remedy, { cause });
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Fills a partial file to its end, whatever it has already. */
async function complete(path: string, file: HubFile, transfer: Transfer): Promise<void> {
  const part = await openPart(path, file);
  using _open = part.output;
  let lastWrong = "";
  await transfer.retry(async () => {
    if (part.received < file.size) await fill(part, file, transfer);
    const found = part.hash.copy().digest("hex");
    if (found === file.hash) return;
    await empty(part, file);
    const message = `${file.path} came with the hash ${found}, but the hub lists ${file.hash}`;
    if (found !== lastWrong) {
      lastWrong = found;
      throw new BrokenTransfer(message);
    }
    // Noise on the line is not the same twice.
    const remedy = "Try later; if it stays so, tell the owner of the repository, or of the mirror in HF_ENDPOINT";
    await Deno.remove(path);
    throw new WinnowError("failure", `${message}, twice`, remedy);
  });
  await part.output.sync();
}

/** Opens a partial file and reads what it has, be it of this run or of one before. */
async function openPart(path: string, file: HubFile): Promise<Part> {
  const output = await Deno.open(path, { read: true, write: true, create: true });
  const part = { path, output, received: 0, hash: startHash(file) };
  try {
    if ((await output.stat()).size > file.size) await output.truncate(0);
    const chunk = new Uint8Array(CHUNK_BYTES);
    for (let read = await output.read(chunk); read !== null; read = await output.read(chunk)) {
      part.hash.update(chunk.subarray(0, read));
      part.received += read;
    }
    return part;
  } catch (error) {
    output.close();
    throw error;
  }
}

/** Of a large file its SHA-256, of a small one what Git names it by. */
function startHash({ hash, size }: HubFile): Hash {
  return hash.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
}

async function empty(part: Part, file: HubFile): Promise<void> {
  await part.output.truncate(0);
  await part.output.seek(0, Deno.SeekMode.Start);
  part.received = 0;
  part.hash = startHash(file);
}

/** One transfer: appends what comes, however little. @throws BrokenTransfer when it is not the whole rest */
async function fill(part: Part, file: HubFile, transfer: Transfer): Promise<void> {
  const before = part.received;
  try {
    await transfer.get(file, before, async ({ status, headers, body }) => {
      if (firstByte(file, before, status, headers) !== part.received) await empty(part, file);
      for await (const piece of body) {
        if (part.received + piece.length > file.size) {
          await empty(part, file);
          throw new BrokenTransfer(`more came of ${file.path} than the ${file.size} bytes that the hub lists`);
        }
        await append(part, piece, file);
        transfer.onProgress?.(file, part.received);
      }
    });
    if (part.received < file.size) {
      throw new BrokenTransfer(`${file.path} broke off after ${part.received} of ${file.size} bytes`);
    }
  } catch (error) {
    if (error instanceof WrongRange || (error instanceof HubRefusal && error.status === 416)) {
      await empty(part, file); // the server cannot go on in the middle of this file, so from the beginning
      throw new BrokenTransfer(`the hub does not send ${file.path} from byte ${before} on: ${error.message}`);
    }
    if (error instanceof BrokenTransfer) error.progressed = part.received - before >= PROGRESS_BYTES;
    throw error;
  }
}

/** Another part of a file than was asked for. */
class WrongRange extends Error {
  override name = "WrongRange";
}

/** The byte that an answer begins with, which is 0 where the server does not know of ranges. */
function firstByte({ path, size }: HubFile, asked: number, status: number, headers: Headers): number {
  if (status === 206 && asked > 0) {
    const range = headers.get("Content-Range") ?? "";
    const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range) ?? [];
    if (Number(first) === asked && (total === "*" || Number(total) === size)) return asked;
    throw new WrongRange(`of ${size} bytes came the range "${range}"`);
  }
  if (headers.get("Content-Type")?.startsWith("text/html") && !/\.html?$/i.test(path)) {
    throw new BrokenTransfer(`a web page came in place of ${path}`); // a login page or a proxy's
  }
  const length = headers.get("Content-Length");
  if (status !== 200 || (length !== null && Number(length) !== size && !headers.has("Content-Encoding"))) {
    throw new BrokenTransfer(`for the ${size} bytes of ${path} came ${length ?? "?"} bytes with status ${status}`);
  }
  return 0;
}

async function append(part: Part, piece: Uint8Array, file: HubFile): Promise<void> {
  try {
    for (let written = 0; written < piece.length;) written += await part.output.write(piece.subarray(written));
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    await part.output.truncate(0); // others need the disk more than a later run needs this
    await Deno.remove(part.path);
    throw await noRoom(dirname(dirname(part.path)), file.size, error);
  }
  part.hash.update(piece);
  part.received += piece.length;
}
