/** Archives that lie or that torch.save does not write, and large ones. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openTorch } from "../../lib/weights/torch_pickle.ts";
import {
  directoryEntry,
  endRecords,
  localHeader,
  pickle,
  program,
  tensorOf,
  type ZipEnd,
  type ZipEntry,
  zipOf,
} from "../support/torch_archives.ts";
import { assertMemory, assertRefused, checkRefusals, inFolder } from "../support/weights_checks.ts";

const utf8 = new TextEncoder();
const values = Float32Array.from({ length: 12 }, (_, i) => i + 0.5);
const sound = tensorOf({ storage: "0", count: 12, shape: [12], strides: [1] });

const honest: ZipEntry[] = [
  { name: "archive/data.pkl", bytes: program(pickle.dict({ weight: sound })) },
  { name: "archive/data/0", bytes: new Uint8Array(values.buffer) },
];
const withData = (lies: Partial<ZipEntry>, end?: ZipEnd) => zipOf([honest[0]!, { ...honest[1]!, ...lies }], end);
const withEntry = (name: string, content: string) => zipOf([...honest, { name, bytes: utf8.encode(content) }]);
const patched = (bytes: Uint8Array, at: number, ...values: number[]) => {
  const copy = bytes.slice();
  copy.set(values, at < 0 ? bytes.length + at : at);
  return copy;
};

const ARCHIVES: [name: string, bytes: Uint8Array, message: RegExp][] = [
  ["empty", new Uint8Array(0), /no zip archive/],
  ["3 bytes", utf8.encode("PK\u0003"), /no zip archive/],
  ["text", utf8.encode("<html>not found</html>"), /no zip archive/],
  ["a bare pickle", program(pickle.none), /bare pickle, as PyTorch wrote before 1\.6/],
  ["cut off", zipOf(honest).subarray(0, -30), /directory at its end is missing/],
  ["an empty archive", zipOf([]), /no zip archive/],
  ["a comment", zipOf(honest, { comment: "hello" }), /directory at its end is missing/],
  ["several disks", zipOf(honest, { disk: 1 }), /several disks/],
  ["fewer entries than claimed", zipOf(honest, { entries: 9 }), /lists 2 entries, but should list 9/],
  ["a directory of 17 MiB", zipOf(honest, { directoryBytes: 17 * 2 ** 20 }), /claims 17825792 bytes/],
  [
    "a directory of 2^50 bytes",
    zipOf(honest, { directoryBytes: 2 ** 50, zip64: true }),
    /claims 1125899906842624 bytes/,
  ],
  ["a directory elsewhere", zipOf(honest, { directoryOffset: 3 }), /not where the end record says/],
  ["a zip64 record that contradicts", patched(zipOf(honest, { zip64: true }), -12, 9, 0), /contradict one another/],
  ["a zip64 record that is none", patched(zipOf(honest, { zip64: true }), -97, 9), /zip64 end record is damaged/],
  ["a compressed entry", withData({ method: 8 }), /"archive\/data\/0" is compressed/],
  ["an encrypted entry", withData({ flags: 1 }), /is encrypted/],
  ["a size that is a lie", withData({ claim: 1e9 }), /contradicts the directory/],
  ["two sizes", withData({ packed: 10 }), /claims 48 bytes, but stores 10/],
  ["an entry past the end", withData({ claim: 1e9, localSize: 1e9 }), /runs into the directory/],
  [
    "a zip64 entry of 2^60 bytes",
    withData({ claim: 2 ** 60, zip64: true, flags: 8, localSize: 0 }),
    /runs into the directory/,
  ],
  ["an entry inside another", withData({ offset: 4 }), /overlaps the one before/],
  ["an entry at no header", withData({ offset: 70 }), /overlaps|contradicts/],
  ["an entry beyond the file", withData({ offset: 1e9 }), /ends inside the header of entry/],
  ["another name in the header", withData({ localName: "archive/data/1" }), /contradicts the directory/],
  ["the same name twice", zipOf([...honest, honest[1]!]), /same name/],
  ["the same entry twice", zipOf([...honest, { ...honest[1]!, offset: 0, name: "archive/data/1" }]), /overlaps/],
  ["a name that leads out", withEntry("../x", ""), /named "\.\.\/x"/],
  ["an absolute name", withEntry("/etc/passwd", ""), /named "\/etc/],
  ["a name with a backslash", withEntry("a\\b", ""), /named "a\\\\b"/],
  ["a name that is not UTF-8", zipOf(honest).map((byte) => byte === 0x68 ? 0xff : byte), /name is not UTF-8/],
  ["a size that should be in a zip64 field", withData({ claim: 2 ** 32 - 1 }), /lacks its zip64 field/],
  ["no data.pkl", zipOf([honest[1]!]), /holds 0 entries data\.pkl/],
  ["two data.pkl", withEntry("other/data.pkl", ""), /holds 2 entries data\.pkl/],
  ["TorchScript", withEntry("archive/constants.pkl", ""), /TorchScript archive/],
  ["big-endian", withEntry("archive/byteorder", "big"), /byte order "big"/],
  ["a byte order of a megabyte", withEntry("archive/byteorder", "x".repeat(1e6)), /byteorder has 1000000 bytes/],
  [
    "a pickle of 17 MiB",
    zipOf([{ name: "a/data.pkl", bytes: new Uint8Array(17 * 2 ** 20) }]),
    /data\.pkl has 17825792 bytes/,
  ],
  [
    "a pickle of no bytes",
    zipOf([{ name: "a/data.pkl", bytes: new Uint8Array(0) }]),
    /ends inside the operand at byte 0/,
  ],
];

Deno.test("archives that lie or are not of torch.save are refused with the reason", async (t) => {
  await checkRefusals(t, openTorch, ARCHIVES);
});

Deno.test("a file cut anywhere is refused", () =>
  inFolder((folder) => {
    const path = join(folder, "pytorch_model.bin");
    const whole = zipOf(honest);
    for (let length = 0; length < whole.length; length++) {
      Deno.writeFileSync(path, whole.subarray(0, length));
      assertRefused(() => openTorch(path).close(), /no zip archive|is missing|not where/);
    }
    Deno.writeFileSync(path, whole);
    using file = openTorch(path);
    Deno.truncateSync(path, 100);
    assertRefused(() => file.readFloat32("weight"), /ends inside tensor "weight"/);
  }));

Deno.test("zip64 archives, and sizes left open in the headers before entries, are read", () =>
  inFolder((folder) => {
    const path = join(folder, "pytorch_model.bin");
    const entries = honest.map((entry) => ({ ...entry, zip64: true, flags: 8, localSize: 0 }));
    Deno.writeFileSync(path, zipOf(entries, { zip64: true }));
    using file = openTorch(path);
    assert.deepEqual(file.readFloat32("weight"), values);
  }));

Deno.test("10 GB are opened, and parts read, without taking them into memory", () =>
  inFolder((folder) => {
    const path = join(folder, "pytorch_model.bin");
    const gigabytes = 10 * 2 ** 30;
    const rows = 10;
    const columns = gigabytes / 4 / rows;
    const pkl = program(pickle.dict({
      large: tensorOf({ storage: "0", count: gigabytes / 4, shape: [rows, columns], strides: [columns, 1] }),
      column: tensorOf({ storage: "0", count: gigabytes / 4, shape: [rows], strides: [columns], start: 7 }),
      small: tensorOf({ storage: "1", count: 12, shape: [12], strides: [1] }),
    }));
    // Only the claims of the middle entry are large: the file is sparse.
    const entries: ZipEntry[] = [
      { name: "a/data.pkl", bytes: pkl },
      { name: "a/data/0", bytes: new Uint8Array(0), claim: gigabytes, localSize: 0, flags: 8, zip64: true },
      { name: "a/data/1", bytes: new Uint8Array(values.buffer), zip64: true },
    ];
    const file = Deno.openSync(path, { write: true, create: true });
    const directory: number[] = [];
    let at = 0;
    let columnAt = 0;
    for (const entry of entries) {
      const header = Uint8Array.from(localHeader(entry));
      directory.push(...directoryEntry(entry, at));
      file.seekSync(at, Deno.SeekMode.Start);
      file.writeSync(header);
      file.writeSync(entry.bytes);
      if (entry.claim) columnAt = at + header.length + 28;
      at += header.length + (entry.claim ?? entry.bytes.length);
    }
    file.seekSync(at, Deno.SeekMode.Start);
    file.writeSync(
      Uint8Array.from([...directory, ...endRecords(entries.length, directory.length, at, { zip64: true })]),
    );
    for (let row = 0; row < rows; row++) {
      file.seekSync(columnAt + 4 * row * columns, Deno.SeekMode.Start);
      file.writeSync(new Uint8Array(Float32Array.of(row + 1).buffer));
    }
    file.close();
    assertMemory(100, () => {
      using weights = openTorch(path);
      assert.deepEqual(weights.readFloat32("small"), values);
      assert.deepEqual([...weights.readFloat32("column")], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      assert.equal(weights.tensors.get("large")!.byteLength, gigabytes);
      assertRefused(() => weights.readFloat32("large"), /has 2684354560 elements, more than the 1073741824 readable/);
    });
  }));
