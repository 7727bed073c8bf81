import assert from "node:assert/strict";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { WinnowError } from "../../lib/support/errors.ts";
import { readTables } from "../../lib/data/tables.ts";

const POSTS = "post_id,text\np1,I cry.\np2,All well.\n";
const ANNOTATIONS =
  "post_id,sentence_id,sentence_text,DSM5_symptom,status,explanation\np1,p1_1,I cry.,DEPRESSED_MOOD,1,why\n";

type Content = string | Uint8Array;

/** A dataset folder with the given files, removed afterwards. */
async function withFolder(files: Record<string, Content>, use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      await Deno.writeFile(
        join(folder, name),
        typeof content === "string" ? new TextEncoder().encode(content) : content,
      );
    }
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Asserts that reading fails as bad input, with a remedy and a message that matches. */
async function assertRefused(files: Record<string, Content>, message: RegExp): Promise<void> {
  await withFolder(files, async (folder) => {
    await assert.rejects(readTables(folder), (error) => {
      assert.ok(error instanceof WinnowError, String(error));
      assert.equal(error.kind, "input");
      assert.match(error.message, message);
      assert.notEqual(error.remedy, "");
      assert.ok(!error.message.includes("secret"), "the text of a post is in the message");
      return true;
    });
  });
}

const withPosts = (posts: Content) => ({ "x_posts.csv": posts, "x_annotations.csv": ANNOTATIONS });
const withAnnotations = (annotations: Content) => ({ "x_posts.csv": POSTS, "x_annotations.csv": annotations });

Deno.test("tables: reads quoted line breaks, doubled quotes, CRLF, a BOM and further columns", async () => {
  const files = {
    "redsm5_posts.csv": '\ufeffextra,post_id,text\r\n1,p1,"Say ""hi"",\r\n\nthen 😭 leave"\r\n\r\n2,p2, b \r\n',
    "redsm5_annotations.csv": "post_id,sentence_text,DSM5_symptom,status\np1,leave,FATIGUE,0\np2,b,FATIGUE,1\n",
  };
  const place = (line: number) => `redsm5_annotations.csv, line ${line}`;
  await withFolder(files, async (folder) => {
    const { posts, annotations } = await readTables(folder);
    assert.deepEqual({ posts, annotations }, {
      posts: [{ postId: "p1", text: 'Say "hi",\r\n\nthen 😭 leave' }, { postId: "p2", text: " b " }],
      annotations: [
        {
          postId: "p1",
          sentenceId: "",
          sentenceText: "leave",
          criterion: "FATIGUE",
          status: 0,
          explanation: "",
          place: place(2),
        },
        {
          postId: "p2",
          sentenceId: "",
          sentenceText: "b",
          criterion: "FATIGUE",
          status: 1,
          explanation: "",
          place: place(3),
        },
      ],
    });
  });
});

Deno.test("tables: a Parquet table reads as the same CSV table does", async () => {
  const posts = parquetWriteBuffer({
    columnData: [
      { name: "post_id", data: ["p1", "p2"], type: "STRING" },
      { name: "text", data: ["I cry. 😭", "All well."], type: "STRING" },
    ],
  });
  const annotations = parquetWriteBuffer({
    codec: "SNAPPY",
    columnData: [
      { name: "post_id", data: ["p1", "p2"], type: "STRING" },
      { name: "sentence_text", data: ["I cry.", null], type: "STRING", nullable: true },
      { name: "DSM5_symptom", data: ["MOOD", "MOOD"], type: "STRING" },
      { name: "status", data: [1n, 0n], type: "INT64" },
    ],
  });
  const parquet = {
    "posts-00000-of-00001.parquet": new Uint8Array(posts),
    "annotations-00000-of-00001.parquet": new Uint8Array(annotations),
  };
  const csv = {
    "posts.csv": "post_id,text\np1,I cry. 😭\np2,All well.\n",
    "annotations.csv": "post_id,sentence_text,DSM5_symptom,status\np1,I cry.,MOOD,1\np2,,MOOD,0\n",
  };
  await withFolder(parquet, async (parquetFolder) => {
    await withFolder(csv, async (csvFolder) => {
      const content = async (folder: string) => {
        const { posts, annotations } = await readTables(folder);
        return { posts, annotations: annotations.map(({ place: _, ...annotation }) => annotation) };
      };
      assert.deepEqual(await content(parquetFolder), await content(csvFolder));
    });
  });
});

Deno.test("tables: Parquet that is damaged or holds no UTF-8 is refused", async () => {
  const table = (name: string, values: (string | Uint8Array)[]) =>
    parquetWriteBuffer({
      columnData: [
        { name: "post_id", data: ["p1", "p2"], type: "STRING" },
        { name, data: values, type: typeof values[0] === "string" ? "STRING" : "BYTE_ARRAY" },
      ],
    });
  const bytes = table("text", [new Uint8Array([0x61]), new Uint8Array([0xe9, 0x61])]);
  const files = (posts: Uint8Array) => ({ "posts.parquet": posts, "annotations.csv": ANNOTATIONS });
  await assertRefused(files(new Uint8Array(bytes)), /posts\.parquet, row 2, column text: the bytes are not UTF-8/);
  await assertRefused(files(new Uint8Array(bytes).slice(0, 60)), /posts\.parquet cannot be read as Parquet/);
  await assertRefused(files(new TextEncoder().encode("post_id,text\n")), /posts\.parquet is no Parquet file/);
  await assertRefused(files(new Uint8Array(table("body", ["a", "b"]))), /posts\.parquet has no column "text"/);
});

Deno.test("tables: a missing folder or table and two candidates are refused", async () => {
  await assert.rejects(readTables("/no/such/folder"), /No dataset folder at \/no\/such\/folder/);
  await assertRefused({ "a_posts.csv": POSTS }, /holds no annotations table/);
  await assertRefused({ "a_annotations.csv": ANNOTATIONS, "readme.md": "" }, /holds no posts table/);
  await assertRefused(
    { ...withPosts(POSTS), "full_posts.parquet": "" },
    /holds 2 posts tables: full_posts\.parquet, x_posts\.csv/,
  );
});

Deno.test("tables: a row that breaks the schema is named by file, line and column", async () => {
  await assertRefused(withPosts("id,text\np1,a\n"), /x_posts\.csv has no column "post_id"/);
  await assertRefused(withPosts("post_id,text,text\np1,a,b\n"), /has 2 columns "text"/);
  await assertRefused(withPosts("post_id,text\n"), /x_posts\.csv has a header but no rows/);
  await assertRefused(withPosts(""), /x_posts\.csv is empty/);
  await assertRefused(
    withPosts('post_id,text\np1,"a\nsecret"\np2,b\np1,c\n'),
    /x_posts\.csv, line 5, column post_id: "p1" stands at line 2 already/,
  );
  await assertRefused(withPosts('post_id,text\np1," \n "\n'), /line 2, column text: the text of post "p1" is empty/);
  await assertRefused(withPosts("post_id,text\n,secret\n"), /line 2, column post_id: empty/);
  const head = "post_id,sentence_text,DSM5_symptom,status\n";
  await assertRefused(
    withAnnotations(head + "p9,secret,MOOD,1\n"),
    /line 2, column post_id: "p9", which the posts table does not/,
  );
  await assertRefused(withAnnotations(head + "p1,secret,,1\n"), /line 2, column DSM5_symptom: empty/);
  await assertRefused(withAnnotations(head + "p1,secret,MOOD,yes\n"), /column status: Expected 0 or 1 but found "yes"/);
  await assertRefused(withAnnotations(head + "p1,secret,MOOD,\n"), /column status: Expected 0 or 1 but found ""/);
});

Deno.test("tables: bad quoting and bytes that are not UTF-8 are named by line", async () => {
  await assertRefused(
    withPosts('post_id,text\np1,a\np2,"secret\n'),
    /x_posts\.csv, line 3: a quote is opened and never/,
  );
  await assertRefused(withPosts('post_id,text\np1,secret "b"\n'), /line 2: a quote stands in the middle/);
  await assertRefused(withPosts('post_id,text\np1,"secret" b\n'), /line 2: text follows a closing quote/);
  await assertRefused(withPosts("post_id,text\np1,secret,b\n"), /line 2: the number of cells differs/);
  const latin1 = Uint8Array.from("post_id,text\np1,a\np2,caf\u00e9\n", (character) => character.charCodeAt(0));
  await assertRefused(withPosts(latin1), /x_posts\.csv, line 3: the bytes are not UTF-8/);
});
