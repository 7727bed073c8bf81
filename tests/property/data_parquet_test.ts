/** Parquet files that lie: with any byte changed they are read or refused, and neither takes more than a moment. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { readTable } from "../../lib/data/table_file.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { WinnowError } from "../../lib/support/errors.ts";

const COLUMNS = { required: ["post_id", "text"], texts: ["text"] };

/** Two columns, one with nulls and a dictionary. */
function makeFile(codec: "UNCOMPRESSED" | "SNAPPY"): Uint8Array<ArrayBuffer> {
  return new Uint8Array(parquetWriteBuffer({
    codec,
    statistics: false,
    columnData: [
      { name: "post_id", data: Array.from({ length: 50 }, (_, n) => `p${n}`), type: "STRING" },
      { name: "text", data: Array.from({ length: 50 }, (_, n) => n % 3 ? ["a", "b"][n % 2]! : null), type: "STRING" },
    ],
  }));
}

/** Reads the bytes as a file: the number of rows, or why they were refused. */
async function read(folder: string, bytes: Uint8Array): Promise<number | string> {
  const path = join(folder, "posts.parquet");
  await Deno.writeFile(path, bytes);
  try {
    return (await readTable(path, COLUMNS)).rows.length;
  } catch (error) {
    assert.ok(error instanceof WinnowError && error.kind === "input", String((error as Error).stack));
    return error.message;
  }
}

Deno.test("Parquet: any byte changed is read or refused, and the reader comes back", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const random = randomStream(3, "parquet");
    let refused = 0, changes = 0;
    for (const codec of ["UNCOMPRESSED", "SNAPPY"] as const) {
      const sound = makeFile(codec);
      assert.equal(await read(folder, sound), 50);
      for (let at = 0; at < sound.length; at++) {
        for (const value of [0, 0xff, 0x7f, random.integer(256)]) {
          const bytes = sound.slice();
          bytes[at] = value;
          if (typeof await read(folder, bytes) === "string") refused++;
          changes++;
        }
      }
    }
    assert.ok(refused > 0.3 * changes, `${refused} of ${changes}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Puts bytes in place of the first occurrence of others of the same number. */
function replace(file: Uint8Array<ArrayBuffer>, from: number[], to: number[]): Uint8Array<ArrayBuffer> {
  const at = file.findIndex((_, start) => from.every((byte, i) => file[start + i] === byte));
  assert.ok(at >= 0 && from.length === to.length);
  const bytes = file.slice();
  bytes.set(to, at);
  return bytes;
}

Deno.test("Parquet: what claims more values, rows or bytes than it has is refused", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const sound = makeFile("UNCOMPRESSED");
    // The first column's levels are one run of 50 ones: the varint 2 · 50, and the value.
    const levels = [100, 1, 2, 0, 0, 0, 112, 48, ...[2, 0, 0, 0]];
    const run = replace(sound, levels, [0xfe, 0xff, 0xff, 0xff, 0x0f, 1, ...levels.slice(6)]);
    assert.match(String(await read(folder, run)), /a run holds more values than its page/);
    const unpacked = replace(makeFile("SNAPPY"), [100, 1, 212, 2], [100, 1, 0xff, 0x7f]);
    assert.match(String(await read(folder, unpacked)), /cannot be read as Parquet/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
