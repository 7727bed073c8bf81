/**
 * What a Parquet file would take once unpacked, checked before anything is.
 *
 * A few bytes can claim any number of values: in the footer, in a page's header, in a run of equal values ("run-length
 * encoding / bit-packing hybrid" of https://parquet.apache.org/docs/file-format/data-pages/encodings). The reader
 * believes all three, so that they are walked here first and held against one another.
 */
import type { ColumnMetaData, FileMetaData, PageHeader } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { parquetHeader } from "hyparquet/column";
import { decompressPage } from "hyparquet/datapage";

/** Rows of a table. */
const MAX_ROWS = 5_000_000;
/** Bytes of all pages that are read, unpacked. */
const MAX_UNPACKED_BYTES = 512 * 2 ** 20;
/** Encodings whose values take the room that they have in the page; DELTA_BYTE_ARRAY repeats what went before. */
const ENCODINGS = [
  "PLAIN",
  "PLAIN_DICTIONARY",
  "RLE_DICTIONARY",
  "RLE",
  "DELTA_BINARY_PACKED",
  "DELTA_LENGTH_BYTE_ARRAY",
];

/**
 * Checks the pages of the named columns.
 *
 * @param bytes The whole file
 * @throws Error where the file contradicts itself, is too large, or is made in a way that is not read
 */
export function checkParquetSize(metadata: FileMetaData, bytes: Uint8Array, columns: readonly string[]): void {
  if (metadata.num_rows > MAX_ROWS) throw new Error(`${metadata.num_rows} rows, more than the ${MAX_ROWS} of a table`);
  const left = { bytes: MAX_UNPACKED_BYTES };
  let rows = 0n;
  for (const group of metadata.row_groups) {
    rows += group.num_rows;
    for (const name of columns) {
      const chunk = group.columns.find(({ meta_data }) => meta_data?.path_in_schema[0] === name)?.meta_data;
      if (!chunk || chunk.path_in_schema.length !== 1) throw new Error(`column ${name} is not a plain column`);
      const optional = metadata.schema.find((element) => element.name === name)?.repetition_type === "OPTIONAL";
      const found = checkChunk(bytes, chunk, optional, Number(group.num_rows), left);
      if (found !== Number(group.num_rows)) {
        throw new Error(`column ${name} has ${found} values in a group of ${group.num_rows} rows`);
      }
    }
  }
  if (rows !== metadata.num_rows) throw new Error(`its groups have ${rows} rows, not ${metadata.num_rows}`);
}

/** Walks the pages of a column chunk and returns the number of its values. */
function checkChunk(
  bytes: Uint8Array,
  chunk: ColumnMetaData,
  optional: boolean,
  rows: number,
  left: { bytes: number },
): number {
  const start = Number(chunk.dictionary_page_offset || chunk.data_page_offset);
  const length = Number(chunk.total_compressed_size);
  if (!(start >= 0 && length >= 0 && start + length <= bytes.length)) {
    throw new Error("a column lies outside of the file");
  }
  const reader = { view: new DataView(bytes.buffer, bytes.byteOffset + start, length), offset: 0 };
  let values = 0;
  while (values < rows && reader.offset < length - 1) {
    const header = parquetHeader(reader);
    const { compressed_page_size: size, uncompressed_page_size: unpacked } = header;
    if (!(size >= 0 && unpacked >= 0 && reader.offset + size <= length)) {
      throw new Error("a page ends outside of its column");
    }
    left.bytes -= unpacked;
    if (left.bytes < 0) throw new Error(`it unpacks to more than ${MAX_UNPACKED_BYTES} bytes`);
    const body = bytes.subarray(start + reader.offset, start + reader.offset + size);
    reader.offset += size;
    if (header.dictionary_page_header) {
      if (!(header.dictionary_page_header.num_values <= unpacked)) {
        throw new Error("a dictionary claims too many values");
      }
      continue;
    }
    const count = (header.data_page_header ?? header.data_page_header_v2)?.num_values ?? -1;
    values += count;
    if (!(count >= 0 && values <= rows)) throw new Error(`a page claims ${count} values in a group of ${rows} rows`);
    checkRuns(body, header, chunk, optional, count);
  }
  return values;
}

/** Checks the runs of a data page: those that say which values are null, and those of dictionary indices. */
function checkRuns(
  body: Uint8Array,
  header: PageHeader,
  chunk: ColumnMetaData,
  optional: boolean,
  count: number,
): void {
  const v1 = header.data_page_header, v2 = header.data_page_header_v2;
  const encoding = (v1 ?? v2)!.encoding;
  if (!ENCODINGS.includes(encoding)) throw new Error(`the encoding ${encoding} is not read`);
  let values: Uint8Array;
  if (v2) {
    const levels = v2.definition_levels_byte_length;
    if (!(levels >= 0 && v2.repetition_levels_byte_length === 0 && levels <= body.length)) {
      throw new Error("a page's levels end outside of it");
    }
    if (optional) checkLevels(body.subarray(0, levels), count);
    values = body.subarray(levels);
    if (v2.is_compressed !== false) {
      values = decompressPage(values, header.uncompressed_page_size - levels, chunk.codec, compressors);
    }
  } else {
    values = decompressPage(body, header.uncompressed_page_size, chunk.codec, compressors);
    if (optional) {
      const levels = new DataView(values.buffer, values.byteOffset, values.length).getUint32(0, true);
      if (4 + levels > values.length) throw new Error("a page's levels end outside of it");
      checkLevels(values.subarray(4, 4 + levels), count);
      values = values.subarray(4 + levels);
    }
  }
  if (values.length === 0) return; // nulls only
  if (encoding.endsWith("_DICTIONARY")) runs(values.subarray(1), values[0]!, count);
  else if (encoding === "RLE") runs(values.subarray(4), 1, count);
}

/** The reader would go on into what follows the levels where they are too few. */
function checkLevels(bytes: Uint8Array, count: number): void {
  if (runs(bytes, 1, count) < count) throw new Error("a page has fewer levels than values");
}

/** Checks that no run of a hybrid holds more values than the page, and returns how many there are in all. */
function runs(bytes: Uint8Array, bitWidth: number, count: number): number {
  let seen = 0;
  for (let at = 0; seen < count && at < bytes.length;) {
    let header = 0;
    for (let shift = 0, byte = 0x80; byte & 0x80; shift += 7) {
      byte = bytes[at++] ?? 0;
      header += (byte & 0x7f) * 2 ** shift;
    }
    if (header % 2 === 1) {
      const groups = (header - 1) / 2; // of eight values
      if (groups * 8 > count - seen + 7) throw new Error("a run holds more values than its page");
      seen += groups * 8;
      at += groups * bitWidth;
    } else {
      if (header / 2 > count - seen) throw new Error("a run holds more values than its page");
      seen += header / 2;
      at += Math.ceil(bitWidth / 8);
    }
  }
  return seen;
}
