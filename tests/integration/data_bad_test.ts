/**
 * Bad data, a table of cases: each is refused with file, row and remedy, or counted in the data report. Nothing is
 * dropped without a word, and no message holds the text of a post.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { loadConfig } from "../../lib/config/compose.ts";
import type { DataReport } from "../../lib/report/data_report.ts";
import { dataTable } from "../../lib/report/data_table.ts";
import { reportData } from "../../lib/study/data_report.ts";
import { WinnowError } from "../../lib/support/errors.ts";

type Bytes = string | Uint8Array<ArrayBuffer>;
type Files = Record<string, Bytes | { bytes: number } | { folder: true } | { link: string }>;

/** No message and no report may hold this word: it stands in every text. */
const SECRET = "zaxolotl";
const COUNT = 20;

const text = (n: number) => `Post ${n} is of the ${SECRET}. I cry ${n} times. I never sleep.`;
const posts = Array.from({ length: COUNT }, (_, n) => `p${n},${text(n)}`);
const annotations = Array.from(
  { length: COUNT },
  (_, n) => n % 2 === 0 ? `p${n},p${n}_1,I cry ${n} times.,MOOD,1` : `p${n},p${n}_2,I never sleep.,SLEEP,1`,
);
const table = (header: string, rows: readonly string[]) => [header, ...rows].join("\n") + "\n";
const POSTS = "post_id,text", ANNOTATIONS = "post_id,sentence_id,sentence_text,DSM5_symptom,status";
const sound = { "posts.csv": table(POSTS, posts), "annotations.csv": table(ANNOTATIONS, annotations) };
/** The sound posts with one line replaced (counted as editors do, the header being 1) or added. */
const withPost = (line: number, row: string): Files => ({
  ...sound,
  "posts.csv": table(POSTS, posts.toSpliced(line - 2, 1, row)),
});
const withAnnotation = (line: number, row: string): Files => ({
  ...sound,
  "annotations.csv": table(ANNOTATIONS, annotations.toSpliced(line - 2, 1, row)),
});
const LAST = COUNT + 2; // the line behind the last
const encode = (content: string) => new TextEncoder().encode(content);
const bytesOf = (content: string) => Uint8Array.from(content, (character) => character.charCodeAt(0));
function utf16(content: string, mark: boolean): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Uint16Array.from((mark ? "\ufeff" : "") + content, (unit) => unit.charCodeAt(0)).buffer);
}
const parquet = (columns: Parameters<typeof parquetWriteBuffer>[0]["columnData"]) =>
  new Uint8Array(parquetWriteBuffer({ columnData: columns }));
const ids = { name: "post_id", data: posts.map((_, n) => `p${n}`), type: "STRING" } as const;
const parquetPosts = parquet([ids, { name: "text", data: posts.map((_, n) => text(n)), type: "STRING" }]);
const asParquet = (content: Uint8Array<ArrayBuffer>): Files => ({
  "posts.parquet": content,
  "annotations.csv": sound["annotations.csv"],
});
async function gzip(content: string): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([content]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

interface Case {
  files: Files;
  settings?: string[];
  /** The message, with file and row, and the remedy. */
  refused?: [message: RegExp, remedy: RegExp];
  /** What the report says of it. */
  counted?: (report: DataReport) => [found: unknown, expected: unknown];
}

const QUOTES = /Quote cells that hold commas/;
const cases: Record<string, Case> = {
  "a missing column": {
    files: { ...sound, "posts.csv": table("post_id,body", posts) },
    refused: [/posts\.csv has no column "text"/, /columns post_id, text; found: post_id, body/],
  },
  "no header": {
    files: { ...sound, "posts.csv": posts.join("\n") },
    refused: [/posts\.csv has no column "post_id"/, /found: p0, …/],
  },
  "a column twice": {
    files: { ...sound, "posts.csv": table("post_id,text,text", ["p1,a,b"]) },
    refused: [/posts\.csv has 2 columns "text"/, /columns post_id, text/],
  },
  "a header only": {
    files: { ...sound, "posts.csv": POSTS + "\n" },
    refused: [/posts\.csv has a header but no rows/, /Fill the posts table/],
  },
  "an empty file": { files: { ...sound, "posts.csv": "" }, refused: [/posts\.csv is empty/, /Put the table there/] },
  "a duplicate post id": {
    files: withPost(LAST, "p3,again"),
    refused: [/posts\.csv, line 22, column post_id: "p3" stands at line 5 already/, /Remove one of the two rows/],
  },
  "a post without an id": {
    files: withPost(4, ` ,${SECRET}`),
    refused: [/posts\.csv, line 4, column post_id: empty/, /Give every post an id/],
  },
  "an empty text": {
    files: withPost(4, 'p2," \u00a0"'),
    refused: [/posts\.csv, line 4, column text: the text of post "p2" is empty/, /Remove the post and its annotations/],
  },
  "control characters in an id": {
    files: withPost(4, "p2\u001b[31m,text"),
    refused: [/posts\.csv, line 4, column post_id: control characters/, /letters, digits and punctuation/],
  },
  "interchanged columns": {
    files: { ...sound, "posts.csv": table("text,post_id", posts.map((row) => row + " " + "long ".repeat(50))) },
    refused: [/posts\.csv, line 2, column post_id: \d+ characters, more than/, /columns are not interchanged/],
  },
  "an id that looks like a path": {
    files: {
      "posts.csv": sound["posts.csv"].replace("p0,", "../../etc/passwd,"),
      "annotations.csv": sound["annotations.csv"].replace("p0,", "../../etc/passwd,"),
    },
    counted: ({ posts }) => [posts.total, COUNT],
  },
  "white space around ids": {
    files: withAnnotation(2, " p0 ,s,I cry 0 times.,MOOD,1"),
    counted: ({ annotations, alignment }) => [[annotations.total, alignment.evidence.exact], [COUNT, COUNT]],
  },
  "an annotation without its post": {
    files: withAnnotation(7, "p99,s,I cry.,MOOD,1"),
    refused: [
      /annotations\.csv, line 7, column post_id: "p99", which the posts table does not have/,
      /Add the post, or remove its annotations/,
    ],
  },
  "an empty label": {
    files: withAnnotation(7, "p5,s,I cry.,,1"),
    refused: [/annotations\.csv, line 7, column DSM5_symptom: empty/, /Name the criterion/],
  },
  ...Object.fromEntries(["2", "yes", "", "-1", "1.5"].map((status): [string, Case] => [
    `the status "${status}"`,
    {
      files: withAnnotation(7, `p5,s,I cry.,MOOD,${status}`),
      refused: [
        new RegExp(`annotations\\.csv, line 7, column status: Expected 0 or 1 but found "${status}"`),
        /Write 1 where the sentence is evidence/,
      ],
    },
  ])),
  "a sentence in the column of the status": {
    files: withAnnotation(7, `p5,s,MOOD,1,it is the ${SECRET} that I mean`),
    refused: [/annotations\.csv, line 7, column status: .* found a text of 30 characters/, /Write 1 where/],
  },
  "the status 1.0 of pandas": {
    files: { ...sound, "annotations.csv": table(ANNOTATIONS, annotations.map((row) => row + ".0")) },
    counted: ({ annotations: { labels } }) => [labels["MOOD"]!.status_1 + labels["SLEEP"]!.status_1, COUNT],
  },
  "a label that is not in the list": {
    files: withAnnotation(LAST, "p5,s,I cry 5 times.,SPECIAL_CASE,1"),
    counted: ({ annotations: { ignored, labels } }) => [
      [ignored, labels["SPECIAL_CASE"]],
      [1, { status_1: 1, status_0: 0, criterion: false, posts: 1 }],
    ],
  },
  "a label like a property of JavaScript's": {
    files: withAnnotation(LAST, "p5,s,I cry 5 times.,constructor,0"),
    counted: ({ annotations: { labels } }) => [labels["constructor"]!.status_0, 1],
  },
  "no label that is in the list": {
    files: sound,
    settings: ["data.criteria=[JOY]"],
    refused: [/No post has any of the criteria JOY; labels in the annotations table: MOOD, SLEEP/, /data\.criteria/],
  },
  "a sentence that is not in its post": {
    files: withAnnotation(2, "p0,s,Nobody ever wrote these words here.,MOOD,1"),
    counted: ({ alignment }) => [
      [alignment.evidence.not_found, alignment.rows[0]!.row, alignment.rows[0]!.used],
      [1, "annotations.csv, line 2", false],
    ],
  },
  "a sentence longer than its post": {
    files: withAnnotation(2, `p0,s,${text(0)} And much more.,MOOD,1`),
    counted: ({ alignment }) => [[alignment.evidence.not_found, alignment.rows[0]!.score! > 0.5], [1, true]],
  },
  "a label without a sentence": {
    files: withAnnotation(2, "p0,s,,MOOD,1"),
    counted: ({ alignment }) => [alignment.evidence.no_sentence, 1],
  },
  "an annotation twice": {
    files: withAnnotation(LAST, annotations[3]!),
    counted: ({ annotations, findings }) => [
      [annotations.duplicates, findings.some(({ message }) => message === "1 annotations repeat one before")],
      [1, true],
    ],
  },
  "status 0 and 1 for one sentence and label": {
    files: withAnnotation(LAST, annotations[3]!.replace(/1$/, "0")),
    counted: ({ annotations, findings }) => [
      [annotations.contradictions, findings.some(({ message }) => message.includes("status 0 and 1"))],
      [1, true],
    ],
  },
  "a post of the same text as another": {
    files: withPost(LAST, `q,${text(3).toUpperCase()}`),
    counted: ({ posts }) => [[posts.same_text, posts.without_annotation], [2, 1]],
  },
  "text that was decoded wrongly before": {
    files: withPost(LAST, "q,caf\ufffd"),
    counted: ({ posts }) => [posts.damaged, 1],
  },
  "further columns": {
    files: { ...sound, "posts.csv": table("post_id,text,author,note", posts.map((row) => row + ",a,b")) },
    counted: ({ files }) => [files[0]!.further_columns, ["author", "note"]],
  },
  "a byte order mark and CRLF": {
    files: { ...sound, "posts.csv": "\ufeff" + sound["posts.csv"].replaceAll("\n", "\r\n") },
    counted: ({ posts, alignment }) => [[posts.total, alignment.evidence.exact], [COUNT, COUNT]],
  },
  "a line break in quotes": {
    files: withPost(2, 'p0,"Post 0,\n\nquoted. I cry 0 times. ""So""."'),
    counted: ({ posts, alignment }) => [[posts.total, alignment.evidence.exact], [COUNT, COUNT]],
  },
  "the row behind a line break in quotes": {
    files: withPost(2, 'p0,"Post 0,\n\nquoted. I cry 0 times."\n,nameless'),
    refused: [/posts\.csv, line 5, column post_id: empty/, /Give every post an id/],
  },
  "a quote in the middle of a cell": {
    files: withPost(4, `p2,they say "${SECRET}"`),
    refused: [/posts\.csv, line 4: a quote stands in the middle of an unquoted cell/, QUOTES],
  },
  "text behind a closing quote": {
    files: withPost(4, `p2,"${SECRET}" is it`),
    refused: [/posts\.csv, line 4: text follows a closing quote/, QUOTES],
  },
  "a quote that is never closed": {
    files: withPost(LAST, `q,"${SECRET}`),
    refused: [/posts\.csv, line 22: a quote is opened and never closed/, QUOTES],
  },
  "a ragged row": {
    files: withPost(4, `p2,the ${SECRET}, unquoted`),
    refused: [/posts\.csv, line 4: the number of cells differs from the header's/, QUOTES],
  },
  "semicolons": {
    files: { ...sound, "posts.csv": sound["posts.csv"].replaceAll(",", ";") },
    refused: [/posts\.csv, line 1: the columns are separated by semicolons/, /Save the table with commas/],
  },
  "tabs": {
    files: { ...sound, "annotations.csv": sound["annotations.csv"].replaceAll(",", "\t") },
    refused: [/annotations\.csv, line 1: the columns are separated by tabs/, /Save the table with commas/],
  },
  "Latin-1": {
    files: { ...sound, "posts.csv": bytesOf(sound["posts.csv"].replace("p3,", "p3,caf\u00e9 ")) },
    refused: [/posts\.csv, line 5: the bytes are not UTF-8/, /iconv -f WINDOWS-1252 -t UTF-8/],
  },
  "UTF-16": {
    files: { ...sound, "posts.csv": utf16(sound["posts.csv"], true) },
    refused: [/posts\.csv is UTF-16, not UTF-8/, /iconv -f UTF-16 -t UTF-8/],
  },
  "UTF-16 without a mark": {
    files: { ...sound, "posts.csv": utf16(sound["posts.csv"], false) },
    refused: [/posts\.csv, line 1: a NUL byte/, /UTF-16 has NUL bytes/],
  },
  "NUL bytes": {
    files: withPost(4, "p2,a\0b"),
    refused: [/posts\.csv, line 4: a NUL byte, which text does not have/, /tr -d '\\000'/],
  },
  "a line of 10 MB": {
    files: withPost(4, `p2,"${"long ".repeat(2 * 2 ** 20)}"`),
    refused: [/posts\.csv, line 4: a record is longer than 8388608 characters/, QUOTES],
  },
  "a table of 300 MB": {
    files: { ...sound, "posts.csv": { bytes: 300 * 2 ** 20 } },
    refused: [/posts\.csv has 314572800 bytes, more than the 268435456 bytes/, /Write the table as several files/],
  },
  "a compressed file named csv": {
    files: { ...sound, "posts.csv": await gzip(sound["posts.csv"]) },
    refused: [/posts\.csv is compressed with gzip/, /gunzip/],
  },
  "a spreadsheet named csv": {
    files: { ...sound, "posts.csv": "PK\x03\x04..." },
    refused: [/posts\.csv is a zip archive or a spreadsheet/, /save the sheet as CSV/],
  },
  "a pointer of Git LFS": {
    files: { ...sound, "posts.csv": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n" },
    refused: [/posts\.csv is a pointer of Git LFS/, /git lfs pull/],
  },
  "a web page": {
    files: { ...sound, "posts.csv": "<!DOCTYPE html><html>Log in</html>" },
    refused: [/posts\.csv is a web page/, /HF_TOKEN/],
  },
  "a folder in place of the file": {
    files: { "posts.csv": { folder: true }, "annotations.csv": sound["annotations.csv"] },
    refused: [/posts\.csv is a folder, not a file/, /Put the table itself there/],
  },
  "a link to nothing": {
    files: { "posts.csv": { link: "gone.csv" }, "annotations.csv": sound["annotations.csv"] },
    refused: [/Cannot read .*posts\.csv \(a link to nothing\)/, /Put the table itself there/],
  },
  "a link to a table": {
    files: { "x": sound["posts.csv"], "posts.csv": { link: "x" }, "annotations.csv": sound["annotations.csv"] },
    counted: ({ posts }) => [posts.total, COUNT],
  },
  "CSV and Parquet of one table": {
    files: { ...sound, "posts.parquet": parquetPosts },
    refused: [/holds 2 posts tables: posts\.csv, posts\.parquet/, /data\.files\.posts=posts\.csv/],
  },
  "CSV and Parquet of one table, one of them named": {
    files: { ...sound, "posts.parquet": parquetPosts },
    settings: ["data.files.posts=posts.parquet"],
    counted: ({ files, posts }) => [[files[0]!.path, posts.total], ["posts.parquet", COUNT]],
  },
  "a shard that is missing": {
    files: { "posts-00000-of-00002.parquet": parquetPosts, "annotations.csv": sound["annotations.csv"] },
    refused: [/lacks shard 1 of the posts table/, /Fetch all shards/],
  },
  "truncated Parquet": {
    files: asParquet(parquetPosts.slice(0, 200)),
    refused: [/posts\.parquet cannot be read as Parquet: /, /Fetch or write the file again/],
  },
  "CSV named parquet": {
    files: asParquet(encode(sound["posts.csv"])),
    refused: [/posts\.parquet is no Parquet file/, /the ending \.csv/],
  },
  "Parquet named csv": {
    files: { ...sound, "posts.csv": parquetPosts },
    refused: [/posts\.csv is a Parquet file/, /the ending \.parquet/],
  },
  "Parquet with numbers for texts": {
    files: asParquet(parquet([ids, { name: "text", data: posts.map((_, n) => n), type: "INT32" }])),
    refused: [/posts\.parquet, row 1, column text: Expected a text but found a number/, /column of strings/],
  },
  "Parquet with dates for ids": {
    files: asParquet(parquet([
      { name: "post_id", data: posts.map(() => new Date(0)), type: "TIMESTAMP" },
      { name: "text", data: posts.map((_, n) => text(n)), type: "STRING" },
    ])),
    refused: [/posts\.parquet, row 1, column post_id: Expected a text but found a list, a date/, /column of strings/],
  },
  "Parquet that is not UTF-8": {
    files: asParquet(parquet([
      ids,
      { name: "text", data: posts.map((_, n) => bytesOf(n === 4 ? "caf\u00e9" : "a")), type: "BYTE_ARRAY" },
    ])),
    refused: [/posts\.parquet, row 5, column text: the bytes are not UTF-8/, /iconv/],
  },
  "Parquet with a NUL character": {
    files: asParquet(parquet([ids, { name: "text", data: posts.map(() => "a\0"), type: "STRING" }])),
    refused: [/posts\.parquet, row 1, column text: a NUL character/, /Remove it/],
  },
  "Parquet with a text of 10 MB": {
    files: asParquet(parquet([
      ids,
      { name: "text", data: posts.map((_, n) => n === 6 ? "long ".repeat(2 * 2 ** 20) : "a"), type: "STRING" },
    ])),
    refused: [/posts\.parquet, row 7, column text: a text of more than 8388608 characters/, /cut it into several/],
  },
  "a split that does not exist": {
    files: {
      ...sound,
      "posts.csv": table(POSTS + ",split", posts.map((row, n) => `${row},${n < 15 ? "train" : "dew"}`)),
    },
    refused: [/posts\.csv, line 17, column split: Expected train, .* found "dew"/, /data\.splits\.declared=false/],
  },
  "splits for some posts": {
    files: { ...sound, "posts.csv": table(POSTS + ",split", posts.map((row, n) => `${row},${n < 15 ? "train" : ""}`)) },
    counted: ({ trainable, splits, findings }) => [
      [trainable, splits, findings[0]!.message, /declared=false/.test(findings[0]!.remedy)],
      [
        false,
        null,
        "The posts table declares splits for some posts only: train 15, validation 0, test 0, none for 5 posts such " +
        'as "p15"',
        true,
      ],
    ],
  },
  "splits for some posts, passed over": {
    files: {
      ...sound,
      "posts.csv": table(POSTS + ",split", posts.map((row, n) => `${row},${n < 15 ? "train" : "x"}`)),
    },
    settings: ["data.splits.declared=false"],
    counted: ({ trainable, splits }) => [[trainable, splits!.source], [true, "made"]],
  },
  "a post in the files of two splits": {
    files: {
      "posts_train.csv": table(POSTS, posts.slice(0, 10)),
      "posts_dev.csv": table(POSTS, posts.slice(10, 15)),
      "posts_test.csv": table(POSTS, [...posts.slice(15), posts[2]!]),
      "annotations.csv": sound["annotations.csv"],
    },
    refused: [/posts_train\.csv, line 4, .*"p2" stands at posts_test\.csv, line 7 already/, /belongs to one split/],
  },
  "a post whose column and file declare two splits": {
    files: { "posts_train.csv": table(POSTS + ",split", posts.map((row) => `${row},test`)), ...sound, "posts.csv": "" },
    settings: ["data.files.posts=posts_train.csv"],
    refused: [/posts_train\.csv, line 2, column split: test, but the file is the train split/, /Correct one of them/],
  },
  "an annotation in the file of another split": {
    files: {
      "train/posts.csv": table(POSTS, posts.slice(0, 10)),
      "val/posts.csv": table(POSTS, posts.slice(10, 15)),
      "test/posts.csv": table(POSTS, posts.slice(15)),
      "train/annotations.csv": table(ANNOTATIONS, annotations),
    },
    refused: [
      /train\/annotations\.csv, line 12, column post_id: post "p10" is in validation, but the file is the train split/,
      /Correct one of them/,
    ],
  },
  "a text in two declared splits": {
    files: {
      ...sound,
      "posts.csv": table(
        POSTS + ",split",
        [...posts, `q,${text(1)}`].map((row, n) => `${row},${n < 12 ? "train" : n < 16 ? "valid" : "test"}`),
      ),
    },
    counted: ({ trainable, splits, findings }) => [
      [trainable, splits!.shared_texts, findings.some(({ message }) => /stand in two of the declared/.test(message))],
      [true, 1, true],
    ],
  },
  "evidence that was annotated on another version of the posts": {
    files: {
      ...sound,
      "annotations.csv": table(
        ANNOTATIONS,
        annotations.map((row) => row.replace(/I cry|I never/, "Quite other words")),
      ),
    },
    counted: ({ trainable, alignment, findings }) => [
      [
        trainable,
        alignment.found! < 0.5,
        /^\d+ of the 20 evidence sentences of .* were found/.test(findings[0]!.message),
      ],
      [false, true, true],
    ],
  },
};

async function write(folder: string, files: Files): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await Deno.mkdir(dirname(path), { recursive: true });
    if (typeof content === "string") await Deno.writeTextFile(path, content);
    else if (content instanceof Uint8Array) await Deno.writeFile(path, content);
    else if ("folder" in content) await Deno.mkdir(path);
    else if ("link" in content) await Deno.symlink(content.link, path);
    else {
      await Deno.writeTextFile(path, POSTS + "\n");
      await Deno.truncate(path, content.bytes);
    }
  }
}

Deno.test("bad data: refused with file, row and remedy, or counted", async (t) => {
  assert.ok(Object.keys(cases).length >= 25);
  for (const [name, { files, settings = [], refused, counted }] of Object.entries(cases)) {
    await t.step(name, async () => {
      const folder = await Deno.makeTempDir();
      try {
        await write(folder, files);
        const config = loadConfig({
          file: "configs/quickstart.yaml",
          overrides: [`data.id=${folder}`, "data.criteria=[MOOD, SLEEP]", ...settings],
        });
        let report: DataReport | undefined;
        let error: unknown;
        try {
          report = await reportData(config, new AbortController().signal);
        } catch (caught) {
          error = caught;
        }
        if (refused) {
          assert.ok(error instanceof WinnowError && error.kind === "input", String(error ?? "it was not refused"));
          assert.match(error.message, refused[0]);
          assert.match(error.remedy, refused[1]);
          assert.ok(!`${error.message} ${error.remedy}`.includes(SECRET), "the text of a post is in the message");
        } else {
          if (error) throw error;
          assert.deepEqual(...counted!(report!));
          assert.ok(!(JSON.stringify(report) + dataTable(report!)).includes(SECRET), "a text is in the report");
        }
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    });
  }
});
