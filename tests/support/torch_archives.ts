/** Builds PyTorch archives by hand, honest ones and those that lie. */

const utf8 = new TextEncoder();

/** Little-endian bytes of a whole number. */
function little(value: number | bigint, width: number): number[] {
  return Array.from({ length: width }, (_, i) => Number(BigInt.asUintN(64, BigInt(value)) >> BigInt(8 * i) & 255n));
}

/** Instructions of pickle protocol 2, each as its bytes. */
export const pickle = {
  none: [0x4e],
  false: [0x89],
  mark: [0x28],
  stop: [0x2e],
  reduce: [0x52],
  emptyDict: [0x7d],
  emptyList: [0x5d],
  emptyTuple: [0x29],
  setItems: [0x75],
  build: [0x62],
  persistentId: [0x51],
  put: (index: number) => [0x72, ...little(index, 4)],
  get: (index: number) => [0x6a, ...little(index, 4)],
  integer: (value: number | bigint) => [0x8a, 8, ...little(value, 8)],
  text: (text: string) => [0x58, ...little(utf8.encode(text).length, 4), ...utf8.encode(text)],
  global: (module: string, name: string) => [0x63, ...utf8.encode(`${module}\n${name}\n`)],
  tuple: (...items: number[][]) => [0x28, ...items.flat(), 0x74],
  orderedDict: () => [...pickle.global("collections", "OrderedDict"), ...pickle.emptyTuple, ...pickle.reduce],
  dict: (entries: Record<string, number[]>) => [
    ...pickle.emptyDict,
    ...pickle.mark,
    ...Object.entries(entries).flatMap(([name, value]) => [...pickle.text(name), ...value]),
    ...pickle.setItems,
  ],
};

/** What a pickle says of a tensor. */
export interface View {
  /** Key of the storage: the entry data/<key>. */
  storage: string;
  /** PyTorch's storage class without "Storage": "Float" where left out. */
  type?: string;
  /** Elements of the storage. */
  count: number;
  start?: number;
  shape: readonly number[];
  strides: readonly number[];
}

/** The persistent id of a storage. */
export function storageOf({ storage, type = "Float", count }: Pick<View, "storage" | "type" | "count">): number[] {
  const { text, global, integer, tuple, persistentId } = pickle;
  return [
    ...tuple(text("storage"), global("torch", `${type}Storage`), text(storage), text("cpu"), integer(count)),
    ...persistentId,
  ];
}

/** `torch._utils._rebuild_tensor_v2(...)` */
export function tensorOf(view: View): number[] {
  const { global, integer, tuple, reduce } = pickle;
  const sizes = (values: readonly number[]) => tuple(...values.map(integer));
  return [
    ...global("torch._utils", "_rebuild_tensor_v2"),
    ...tuple(
      storageOf(view),
      integer(view.start ?? 0),
      sizes(view.shape),
      sizes(view.strides),
      pickle.false,
      pickle.orderedDict(),
    ),
    ...reduce,
  ];
}

/** A whole pickle of protocol 2 around a value. */
export function program(...value: number[][]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([0x80, 2, ...value.flat(), 0x2e]);
}

/** An entry of an archive; all but name and bytes are lies, or zip64. */
export interface ZipEntry {
  name: string;
  bytes: Uint8Array;
  flags?: number;
  method?: number;
  /** The size that the directory claims, unpacked and packed. */
  claim?: number;
  packed?: number;
  /** The place that the directory claims. */
  offset?: number;
  /** The name in the entry's own header. */
  localName?: string;
  localSize?: number;
  /** Puts sizes and offset of the directory's entry into a zip64 field. */
  zip64?: boolean;
}

/** Lies of the end record. */
export interface ZipEnd {
  zip64?: boolean;
  entries?: number;
  directoryBytes?: number;
  directoryOffset?: number;
  disk?: number;
  comment?: string;
}

/** The header that stands before an entry's bytes. */
export function localHeader({ name, bytes, flags = 0, method = 0, localName = name, localSize }: ZipEntry): number[] {
  const encoded = utf8.encode(localName);
  const size = localSize ?? Math.min(bytes.length, 0xffffffff);
  return [
    ...[0x50, 0x4b, 3, 4, 0, 0],
    ...little(flags, 2),
    ...little(method, 2),
    ...little(0, 8),
    ...little(size, 4),
    ...little(size, 4),
    ...little(encoded.length, 2),
    ...little(0, 2),
    ...encoded,
  ];
}

/** The directory's record of an entry whose header stands at `offset`. */
export function directoryEntry(entry: ZipEntry, offset: number): number[] {
  const { name, bytes, flags = 0, method = 0, claim = bytes.length, packed = claim, zip64 = false } = entry;
  const encoded = utf8.encode(name);
  const place = entry.offset ?? offset;
  const narrow = (value: number) => little(zip64 ? 0xffffffff : value, 4);
  const extra = zip64 ? [1, 0, 24, 0, ...little(claim, 8), ...little(packed, 8), ...little(place, 8)] : [];
  return [
    ...[0x50, 0x4b, 1, 2, 0, 0, 0, 0],
    ...little(flags, 2),
    ...little(method, 2),
    ...little(0, 8),
    ...narrow(packed),
    ...narrow(claim),
    ...little(encoded.length, 2),
    ...little(extra.length, 2),
    ...little(0, 10),
    ...narrow(place),
    ...encoded,
    ...extra,
  ];
}

/** The records at the end of an archive. */
export function endRecords(
  entries: number,
  directoryBytes: number,
  directoryOffset: number,
  end: ZipEnd = {},
): number[] {
  const count = end.entries ?? entries;
  const length = end.directoryBytes ?? directoryBytes;
  const offset = end.directoryOffset ?? directoryOffset;
  const comment = utf8.encode(end.comment ?? "");
  const wide = [
    ...[0x50, 0x4b, 6, 6, ...little(44, 8), ...little(0, 12)],
    ...little(count, 8),
    ...little(count, 8),
    ...little(length, 8),
    ...little(offset, 8),
    ...[0x50, 0x4b, 6, 7, 0, 0, 0, 0, ...little(directoryOffset + directoryBytes, 8), 1, 0, 0, 0],
  ];
  return [
    ...end.zip64 ? wide : [],
    ...[0x50, 0x4b, 5, 6, ...little(end.disk ?? 0, 2), 0, 0],
    ...little(end.zip64 ? 0xffff : count, 2),
    ...little(end.zip64 ? 0xffff : count, 2),
    ...little(end.zip64 ? 0xffffffff : length, 4),
    ...little(end.zip64 ? 0xffffffff : offset, 4),
    ...little(comment.length, 2),
    ...comment,
  ];
}

/** A zip archive of stored entries. */
export function zipOf(entries: readonly ZipEntry[], end: ZipEnd = {}): Uint8Array<ArrayBuffer> {
  const body: Uint8Array[] = [];
  const directory: number[] = [];
  let at = 0;
  for (const entry of entries) {
    const header = Uint8Array.from(localHeader(entry));
    directory.push(...directoryEntry(entry, at));
    body.push(header, entry.bytes);
    at += header.length + entry.bytes.length;
  }
  const tail = Uint8Array.from([...directory, ...endRecords(entries.length, directory.length, at, end)]);
  return concat([...body, tail]);
}

/** Arrays of bytes, one after the other. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** An archive as `torch.save` lays it out. */
export function torchArchive(
  value: readonly number[],
  storages: Record<string, Uint8Array | ArrayBufferView>,
  more: readonly ZipEntry[] = [],
): Uint8Array<ArrayBuffer> {
  return zipOf([
    { name: "archive/data.pkl", bytes: program([...value]) },
    ...Object.entries(storages).map(([key, { buffer, byteOffset, byteLength }]) => ({
      name: `archive/data/${key}`,
      bytes: new Uint8Array(buffer, byteOffset, byteLength),
    })),
    { name: "archive/byteorder", bytes: utf8.encode("little") },
    ...more,
  ]);
}
