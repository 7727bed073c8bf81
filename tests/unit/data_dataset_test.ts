import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { buildDataset, loadDataset, REDSM5_CRITERIA } from "../../lib/data/dataset.ts";
import type { DownloadDataset } from "../../lib/data/dataset_source.ts";
import { isTableFile } from "../../lib/data/dataset_files.ts";
import { writeSyntheticDataset } from "../../lib/data/synthetic.ts";
import type { Annotation } from "../../lib/data/tables.ts";

let line = 1;
const annotation = (postId: string, criterion: string, status: 0 | 1, sentenceText: string): Annotation => ({
  postId,
  criterion,
  status,
  sentenceText,
  sentenceId: "",
  explanation: "",
  place: `annotations.csv, line ${++line}`,
});

const TABLES = {
  posts: [{ postId: "b", text: "I’m tired. I cry. I'm tired." }, { postId: "a", text: "All well." }],
  annotations: [
    annotation("b", "MOOD", 1, "I cry."),
    annotation("b", "FATIGUE", 1, "I'm tired."),
    annotation("b", "FATIGUE", 1, "I’m tired."),
    annotation("b", "FATIGUE", 1, "I AM GONE."),
    annotation("b", "FATIGUE", 1, "I'm tired."),
    annotation("a", "FATIGUE", 0, "All well."),
    annotation("a", "SLEEP", 1, "not in the post"),
    annotation("a", "SPECIAL_CASE", 1, "All well."),
    annotation("a", "MOOD", 1, ""),
  ],
};

Deno.test("dataset: labels, evidence in post order and counts", () => {
  const { criteria, examples, counts } = buildDataset(TABLES, ["FATIGUE", "MOOD", "SLEEP"]);
  assert.deepEqual(criteria, ["FATIGUE", "MOOD", "SLEEP"]);
  assert.deepEqual(examples, [
    {
      postId: "a",
      text: "All well.",
      labels: new Uint8Array([0, 1, 1]),
      evidence: [null, null, null],
      allEvidence: [[], [], []],
    },
    {
      postId: "b",
      text: "I’m tired. I cry. I'm tired.",
      labels: new Uint8Array([1, 1, 0]),
      evidence: [{ status: "exact", start: 0, end: 10 }, { status: "exact", start: 11, end: 17 }, null],
      allEvidence: [
        [{ status: "exact", start: 0, end: 10 }, { status: "exact", start: 18, end: 28 }],
        [{ status: "exact", start: 11, end: 17 }],
        [],
      ],
    },
  ]);
  assert.deepEqual(counts, {
    posts: 2,
    postsWithoutCriterion: 0,
    postsWithoutAnnotation: 0,
    damagedPosts: 0,
    annotations: 9,
    labels: {
      FATIGUE: { positive: 4, negative: 1 },
      MOOD: { positive: 2, negative: 0 },
      SLEEP: { positive: 1, negative: 0 },
      SPECIAL_CASE: { positive: 1, negative: 0 },
    },
    ignoredAnnotations: 1,
    ignoredLabels: { SPECIAL_CASE: 1 },
    explicitNegatives: 1,
    duplicateAnnotations: 1,
    contradictions: 0,
    repeatedSentences: 0,
    positives: [1, 2, 1],
    alignment: { exact: 4, normalised: 0, fuzzy: 0, not_found: 2, no_sentence: 1 },
  });
});

Deno.test("dataset: every row is told what became of it, also where it is not used", () => {
  const { alignments } = buildDataset(TABLES, ["FATIGUE", "MOOD", "SLEEP"]);
  assert.deepEqual(
    alignments.map(({ place, alignment, used }) => [place.split(" ").at(-1), alignment, used]),
    [
      ["2", "exact", true],
      ["3", "exact", true],
      ["4", "exact", true],
      ["5", "not_found", false],
      ["6", "exact", true],
      ["7", "exact", false], // status 0
      ["8", "not_found", false],
      ["9", "exact", false], // not a criterion
      ["10", "no_sentence", false],
    ],
  );
  assert.deepEqual(alignments.map(({ score }) => score === null || (score >= 0 && score <= 1)), Array(9).fill(true));
  assert.equal(alignments[8]!.score, null);
  assert.deepEqual(Object.keys(alignments[0]!).sort(), [
    "alignment",
    "criterion",
    "place",
    "postId",
    "score",
    "sentenceId",
    "status",
    "used",
  ]);
});

Deno.test("dataset: a similar passage is evidence with its score from min_score on", () => {
  const tables = {
    posts: [{ postId: "p", text: "Hello. I really can not sleep at night. Bye." }],
    annotations: [annotation("p", "SLEEP", 1, "I really cannot sleep at nights.")],
  };
  const [example] = buildDataset(tables, "auto").examples;
  const score = 1 - 2 / 32;
  assert.deepEqual(example!.evidence, [{ status: "fuzzy", start: 7, end: 39, score }]);
  const strict = buildDataset(tables, "auto", 0.95);
  assert.deepEqual(strict.examples[0]!.evidence, [null]);
  assert.deepEqual([...strict.examples[0]!.labels], [1]);
  assert.equal(strict.alignments[0]!.score, score);
  assert.notEqual(strict.hash, buildDataset(tables, "auto").hash);
});

Deno.test("dataset: sentences that repeat, contradict or stand twice in their post are counted", () => {
  const { counts, examples } = buildDataset({
    posts: [{ postId: "p", text: "So tired. Cannot sleep. So tired." }, { postId: "q", text: "Fine \ufffd." }],
    annotations: [
      annotation("p", "FATIGUE", 1, "So tired."),
      annotation("p", "FATIGUE", 1, " So tired."),
      annotation("p", "FATIGUE", 0, "So tired."),
      annotation("p", "SLEEP", 1, "Cannot sleep."),
    ],
  }, "auto");
  const { duplicateAnnotations, contradictions, repeatedSentences, postsWithoutAnnotation, damagedPosts } = counts;
  assert.deepEqual(
    { duplicateAnnotations, contradictions, repeatedSentences, postsWithoutAnnotation, damagedPosts },
    { duplicateAnnotations: 1, contradictions: 1, repeatedSentences: 3, postsWithoutAnnotation: 1, damagedPosts: 1 },
  );
  assert.deepEqual([...examples[0]!.labels], [1, 1]);
});

Deno.test("dataset: the hash follows the content, not the order of rows", () => {
  const hash = (tables: typeof TABLES, criteria: string[] | "auto" = "auto") => buildDataset(tables, criteria).hash;
  const reversed = { posts: TABLES.posts.toReversed(), annotations: TABLES.annotations.toReversed() };
  assert.match(hash(TABLES), /^[0-9a-f]{64}$/);
  assert.equal(hash(reversed), hash(TABLES));
  const edited = { ...TABLES, posts: TABLES.posts.map((post) => ({ ...post, text: post.text + "!" })) };
  assert.notEqual(hash(edited), hash(TABLES));
  assert.notEqual(hash(TABLES, ["MOOD"]), hash(TABLES));
});

Deno.test("dataset: auto takes the labels present; useless criteria are refused with what is there", () => {
  assert.deepEqual(buildDataset(TABLES, "auto").criteria, ["FATIGUE", "MOOD", "SLEEP", "SPECIAL_CASE"]);
  assert.throws(
    () => buildDataset(TABLES, REDSM5_CRITERIA.slice(0, 3)),
    /labels in the annotations table: FATIGUE, MOOD/,
  );
  assert.throws(() => buildDataset(TABLES, []), /data\.criteria is empty/);
  assert.throws(() => buildDataset(TABLES, ["MOOD", "MOOD"]), /names "MOOD" twice/);
  assert.ok(!REDSM5_CRITERIA.includes("SPECIAL_CASE"));
  assert.equal(REDSM5_CRITERIA.length, 9);
});

Deno.test("dataset: a folder is read in place, a hub id goes to the download, nothing else is tried", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await writeSyntheticDataset(folder, { posts: 20, seed: 3 });
    const requests: Parameters<DownloadDataset>[0][] = [];
    const download: DownloadDataset = (request) => {
      requests.push(request);
      return Promise.resolve({ folder, commit: "c".repeat(40) });
    };
    const local = await loadDataset({ id: folder, criteria: "auto", download });
    assert.equal(local.revision, null);
    assert.equal(requests.length, 0);
    const remote = await loadDataset({ id: "irlab-udc/redsm5", revision: "abc", criteria: "auto", download });
    assert.equal(remote.hash, local.hash);
    assert.equal(remote.revision, "c".repeat(40));
    const { files: wanted, ...request } = requests[0]!;
    assert.deepEqual(request, { repo: "irlab-udc/redsm5", type: "dataset", revision: "abc" });
    assert.ok(wanted("redsm5_posts.csv") && !wanted("README.md"));
    await assert.rejects(loadDataset({ id: "./nowhere/at/all", criteria: "auto", download }), /it is no hub id/);
    await assert.rejects(loadDataset({ id: "owner/name", criteria: "auto" }), /No dataset folder at owner\/name/);
    const file = `${folder}/redsm5_posts.csv`;
    await assert.rejects(loadDataset({ id: file, criteria: "auto", download }), /data\.id names the file/);
    assert.equal(requests.length, 1);
    const none = () => Promise.resolve({ folder: `${folder}/none`, commit: "c".repeat(40) });
    await assert.rejects(loadDataset({ id: "a/b", criteria: "auto", download: none }), /"a\/b" has no posts and no/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("dataset: the files are recorded with their rows, bytes and SHA-256", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const posts = "post_id,text,author\np1,so tired,x\n";
    await Deno.writeTextFile(`${folder}/posts.csv`, posts);
    await Deno.writeTextFile(
      `${folder}/annotations.csv`,
      "post_id,sentence_text,DSM5_symptom,status\np1,so tired,FATIGUE,1\n",
    );
    const { files } = await loadDataset({ id: folder, criteria: "auto" });
    assert.deepEqual(files[0], {
      table: "posts",
      path: "posts.csv",
      split: null,
      rows: 1,
      bytes: posts.length,
      sha256: createHash("sha256").update(posts).digest("hex"),
      furtherColumns: ["author"],
    });
    assert.deepEqual(files.map(({ path }) => path), ["posts.csv", "annotations.csv"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("dataset: of a hub repository the tables are fetched, or what the configuration names", () => {
  for (
    const path of [
      "redsm5_full_posts.csv",
      "redsm5_annotations_long.parquet",
      "data/posts-00000-of-00002.parquet",
      "default/annotations/0000.parquet",
      "train/posts.csv",
    ]
  ) assert.ok(isTableFile(path), path);
  for (const path of ["README.md", "posts.csv.gz", "a/b/c/posts.csv", ".cache/posts.csv", "data/train.csv"]) {
    assert.ok(!isTableFile(path), path);
  }
  const named = { posts: ["a/one.csv", "a/two.csv"], annotations: null };
  assert.ok(isTableFile("a/one.csv", named) && isTableFile("annotations.csv", named));
  assert.ok(!isTableFile("posts.csv", named));
});
