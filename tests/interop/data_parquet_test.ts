/** Tables as pandas and pyarrow write them, CSV and Parquet in several codecs and layouts: all read to the same. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readTables } from "../../lib/data/tables.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { askPython } from "../support/python.ts";

Deno.test("tables that pandas and pyarrow wrote: CSV, codecs, page versions, encodings, shards", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const random = randomStream(1, "parquet");
    const texts = ['I cry, "often"\nand 😭', "caf\u00e9 ’tis", "日本語", "a\r\nb", "NA", "0012"];
    const posts = Array.from({ length: 500 }, (_, n) => ({ post_id: `p${n}`, text: `${random.pick(texts)} ${n}` }));
    const annotations = Array.from({ length: 700 }, (_, n) => ({
      post_id: `p${random.integer(500)}`,
      sentence_id: `s${n}`,
      // pandas writes a missing text as an empty cell and as a null.
      sentence_text: n % 7 === 0 ? null : random.pick(texts),
      DSM5_symptom: random.pick(["MOOD", "SLEEP"]),
      status: random.integer(2),
    }));
    const ways = [
      { name: "csv", csv: true },
      { name: "snappy" },
      { name: "zstd_shards", shards: 3, options: { compression: "zstd" } },
      { name: "gzip_v2", options: { compression: "gzip", data_page_version: "2.0" } },
      { name: "plain", options: { use_dictionary: false, compression: "none", data_page_size: 1000 } },
      { name: "brotli_groups", options: { compression: "brotli", row_group_size: 100 } },
      { name: "lz4", options: { compression: "lz4" } },
      { name: "float_status", types: { status: "float64" } },
      { name: "bool_status", types: { status: "bool" }, options: { data_page_version: "2.0", compression: "none" } },
      { name: "bool_status_v1", types: { status: "bool" } },
      { name: "small_status", types: { status: "int8" } },
      { name: "categories", types: { DSM5_symptom: "category" } },
    ];
    await askPython("parquet_tables.py", [], { folder, tables: { posts, annotations }, ways });
    const expected = {
      posts: posts.map(({ post_id, text }) => ({ postId: post_id, text })),
      annotations: annotations.map((row) => ({
        postId: row.post_id,
        sentenceId: row.sentence_id,
        sentenceText: row.sentence_text ?? "",
        criterion: row.DSM5_symptom,
        status: row.status,
        explanation: "",
      })),
    };
    for (const { name } of ways) {
      const read = await readTables(join(folder, name));
      const found = read.annotations.map(({ place: _, ...annotation }) => annotation);
      assert.deepEqual({ posts: read.posts, annotations: found }, expected, name);
      assert.equal(read.files.length, name === "zstd_shards" ? 6 : 2);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
