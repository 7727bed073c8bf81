/**
 * The zip archive around a PyTorch checkpoint, read without unpacking: `torch.save` stores every tensor's bytes as they
 * are, so that an entry is a range of the file. What it would not write (compression, encryption, several disks,
 * entries on top of one another) is refused, not interpreted.
 *
 * The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT. Checksums are not compared: PyTorch does not
 * either, and may be told to leave them out (`torch.serialization.set_crc32_options`).
 */
import { quote, type RandomAccess } from "./random_access.ts";
import type { FileRange } from "./stored_tensor.ts";

const END_BYTES = 22;
const END64_LOCATOR_BYTES = 20;
const END64_BYTES = 56;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;

/** A directory of a hundred thousand entries, each of which stands for one tensor, stays below this. */
const MAX_DIRECTORY_BYTES = 16 * 2 ** 20;

/** A 32-bit field that says: see the zip64 fields. */
const SEE_ZIP64 = 0xffffffff;

/** An entry as the directory describes it. */
interface Entry {
  readonly name: string;
  readonly flags: number;
  readonly isStored: boolean;
  readonly byteLength: number;
  readonly headerOffset: number;
}

/** An archive's directory, as far as it makes sense by itself. */
export interface ZipDirectory {
  readonly entries: readonly Entry[];
  /** Where in the file it begins, and entries end. */
  readonly byteOffset: number;
}

/**
 * Reads the directory of an archive.
 *
 * @throws an input error when it is damaged
 */
export function readZipDirectory(file: RandomAccess): ZipDirectory {
  const directory = findDirectory(file);
  return { entries: readDirectory(file, directory), byteOffset: directory.byteOffset };
}

/**
 * The entries by name, each a range of the file.
 *
 * @throws an input error when they lie in a way that `torch.save` does not write them
 */
export function locateEntries(file: RandomAccess, { entries, byteOffset }: ZipDirectory): Map<string, FileRange> {
  const ranges = new Map<string, FileRange>();
  let end = 0;
  for (const entry of entries.toSorted((a, b) => a.headerOffset - b.headerOffset)) {
    if (!entry.isStored) throw file.refuse(`entry ${quote(entry.name)} is compressed, which torch.save never does`);
    if (entry.headerOffset < end) throw file.refuse(`entry ${quote(entry.name)} overlaps the one before it`);
    const range = readLocalHeader(file, entry);
    end = range.byteOffset + range.byteLength;
    if (end > byteOffset) throw file.refuse(`entry ${quote(entry.name)} runs into the directory`);
    ranges.set(entry.name, range);
  }
  if (ranges.size < entries.length) throw file.refuse("two entries have the same name");
  return ranges;
}

function readView(file: RandomAccess, position: number, length: number, what: string): DataView {
  const bytes = new Uint8Array(length);
  file.read(position, bytes, what);
  return new DataView(bytes.buffer);
}

/** The central directory, which must end where the end records begin, and these where the file ends. */
function findDirectory(file: RandomAccess): FileRange & { entries: number } {
  const cut = "the directory at its end is missing, as when a download was cut off";
  const endOffset = file.size - END_BYTES;
  if (endOffset < 0) throw file.refuse(cut);
  const end = readView(file, endOffset, END_BYTES, "the end record");
  if (end.getUint32(0, true) !== 0x06054b50 || end.getUint16(20, true) !== 0) throw file.refuse(cut);
  let disks = end.getUint16(4, true) + end.getUint16(6, true);
  let entries = end.getUint16(10, true);
  let byteLength = end.getUint32(12, true);
  let byteOffset = end.getUint32(16, true);
  let directoryEnd = endOffset;
  const locatorOffset = endOffset - END64_LOCATOR_BYTES;
  const end64Offset = locatorOffset - END64_BYTES;
  if (end64Offset >= 0) {
    const locator = readView(file, locatorOffset, END64_LOCATOR_BYTES, "the zip64 locator");
    if (locator.getUint32(0, true) === 0x07064b50) {
      const end64 = readView(file, end64Offset, END64_BYTES, "the zip64 end record");
      const isSound = end64.getUint32(0, true) === 0x06064b50 && end64.getBigUint64(4, true) === 44n &&
        locator.getBigUint64(8, true) === BigInt(end64Offset);
      if (!isSound) throw file.refuse("its zip64 end record is damaged");
      const wide = (offset: number) => Number(end64.getBigUint64(offset, true));
      const agrees = (narrow: number, mark: number, value: number) => narrow === value || narrow === mark;
      if (
        !agrees(entries, 0xffff, wide(32)) || !agrees(byteLength, SEE_ZIP64, wide(40)) ||
        !agrees(byteOffset, SEE_ZIP64, wide(48))
      ) throw file.refuse("its two end records contradict one another");
      disks = end64.getUint32(16, true) + end64.getUint32(20, true);
      [entries, byteLength, byteOffset] = [wide(32), wide(40), wide(48)];
      directoryEnd = end64Offset;
    }
  }
  if (disks !== 0) throw file.refuse("it is one of several disks");
  if (byteLength > MAX_DIRECTORY_BYTES) {
    throw file.refuse(`its directory claims ${byteLength} bytes, more than the ${MAX_DIRECTORY_BYTES} allowed`);
  }
  if (byteOffset + byteLength !== directoryEnd) throw file.refuse("its directory is not where the end record says");
  return { byteOffset, byteLength, entries };
}

function readDirectory(file: RandomAccess, directory: FileRange & { entries: number }): Entry[] {
  const view = readView(file, directory.byteOffset, directory.byteLength, "the directory");
  const entries: Entry[] = [];
  let at = 0;
  while (at < view.byteLength) {
    if (view.byteLength - at < CENTRAL_BYTES || view.getUint32(at, true) !== 0x02014b50) {
      throw file.refuse(`entry ${entries.length} of its directory is damaged`);
    }
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const nameEnd = at + CENTRAL_BYTES + nameBytes!;
    const next = nameEnd + extraBytes! + commentBytes!;
    if (next > view.byteLength) throw file.refuse(`entry ${entries.length} of its directory is cut off`);
    const name = decodeName(file, new Uint8Array(view.buffer, at + CENTRAL_BYTES, nameBytes));
    entries.push(parseEntry(file, name, view, at, new DataView(view.buffer, nameEnd, extraBytes)));
    at = next;
  }
  if (entries.length !== directory.entries) {
    throw file.refuse(`its directory lists ${entries.length} entries, but should list ${directory.entries}`);
  }
  return entries;
}

function decodeName(file: RandomAccess, bytes: Uint8Array): string {
  let name: string;
  try {
    name = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw file.refuse("an entry's name is not UTF-8", cause);
  }
  if (
    name === "" || name.includes("\\") || name.split("/").some((part, i) => part === ".." || (part === "" && i === 0))
  ) {
    throw file.refuse(`an entry is named ${quote(name)}`);
  }
  return name;
}

function parseEntry(file: RandomAccess, name: string, view: DataView, at: number, extra: DataView): Entry {
  const flags = view.getUint16(at + 8, true);
  if (flags & 0x2041) throw file.refuse(`entry ${quote(name)} is encrypted`);
  const isStored = view.getUint16(at + 10, true) === 0;
  const sizes = [24, 20, 42].map((offset) => view.getUint32(at + offset, true)); // in the order of the zip64 field
  const wide = sizes.includes(SEE_ZIP64) ? zip64Values(file, name, extra) : [];
  const [byteLength, stored, headerOffset] = sizes.map((size) => {
    if (size !== SEE_ZIP64) return size;
    const value = wide.shift();
    if (value === undefined) throw file.refuse(`entry ${quote(name)} lacks its zip64 sizes`);
    return value;
  }) as [number, number, number];
  if (isStored && byteLength !== stored) {
    throw file.refuse(`entry ${quote(name)} claims ${byteLength} bytes, but stores ${stored}`);
  }
  if (view.getUint16(at + 34, true) !== 0) throw file.refuse(`entry ${quote(name)} is on another disk`);
  return { name, flags, isStored, byteLength, headerOffset };
}

/** The 64-bit numbers of a directory entry's zip64 field. */
function zip64Values(file: RandomAccess, name: string, extra: DataView): number[] {
  for (let at = 0; at + 4 <= extra.byteLength;) {
    const length = extra.getUint16(at + 2, true);
    if (at + 4 + length > extra.byteLength) break;
    if (extra.getUint16(at, true) === 1) {
      return Array.from({ length: length >> 3 }, (_, i) => Number(extra.getBigUint64(at + 4 + 8 * i, true)));
    }
    at += 4 + length;
  }
  throw file.refuse(`entry ${quote(name)} lacks its zip64 field`);
}

/** Where an entry's bytes are. Its own header must say what the directory says, or leave it open. */
function readLocalHeader(file: RandomAccess, entry: Entry): FileRange {
  const nameBytes = new TextEncoder().encode(entry.name);
  const label = `the header of entry ${quote(entry.name)}`;
  const view = readView(file, entry.headerOffset, LOCAL_BYTES + nameBytes.length, label);
  const sizeFits = (size: number) =>
    size === entry.byteLength || size === SEE_ZIP64 || (size === 0 && (entry.flags & 8) !== 0);
  const fits = view.getUint32(0, true) === 0x04034b50 && view.getUint16(6, true) === entry.flags &&
    view.getUint16(8, true) === 0 && sizeFits(view.getUint32(18, true)) && sizeFits(view.getUint32(22, true)) &&
    view.getUint16(26, true) === nameBytes.length &&
    nameBytes.every((byte, i) => byte === view.getUint8(LOCAL_BYTES + i));
  if (!fits) throw file.refuse(`${label} contradicts the directory`);
  const byteOffset = entry.headerOffset + view.byteLength + view.getUint16(28, true);
  return { byteOffset, byteLength: entry.byteLength };
}
