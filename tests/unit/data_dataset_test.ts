import assert from "node:assert/strict";
import { buildDataset, isTableFile, loadDataset, REDSM5_CRITERIA } from "../../lib/data/dataset.ts";
import { writeSyntheticDataset } from "../../lib/data/synthetic.ts";
import type { Annotation } from "../../lib/data/tables.ts";

const annotation = (postId: string, criterion: string, status: 0 | 1, sentenceText: string): Annotation => ({
  postId,
  criterion,
  status,
  sentenceText,
  sentenceId: "",
  explanation: "",
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
    annotations: 9,
    ignoredAnnotations: 1,
    ignoredLabels: { SPECIAL_CASE: 1 },
    explicitNegatives: 1,
    positives: [1, 2, 1],
    alignment: { exact: 4, normalised: 0, not_found: 2, no_sentence: 1 },
  });
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
    const requests: unknown[] = [];
    const download = (request: unknown) => {
      requests.push(request);
      return Promise.resolve(folder);
    };
    const local = await loadDataset({ id: folder, criteria: "auto", download });
    assert.deepEqual(requests, []);
    const remote = await loadDataset({ id: "irlab-udc/redsm5", revision: "abc", criteria: "auto", download });
    assert.equal(remote.hash, local.hash);
    assert.deepEqual(requests, [{ repo: "irlab-udc/redsm5", type: "dataset", revision: "abc", files: isTableFile }]);
    await assert.rejects(loadDataset({ id: "./nowhere/at/all", criteria: "auto", download }), /it is no hub id/);
    await assert.rejects(loadDataset({ id: "owner/name", criteria: "auto" }), /No dataset folder at owner\/name/);
    const file = `${folder}/redsm5_posts.csv`;
    await assert.rejects(loadDataset({ id: file, criteria: "auto", download }), /data\.id names the file/);
    assert.equal(requests.length, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("dataset: of a hub repository only the tables in its root are fetched", () => {
  assert.ok(isTableFile("redsm5_full_posts.csv") && isTableFile("redsm5_annotations_long.parquet"));
  assert.ok(!isTableFile("README.md") && !isTableFile("old/posts.csv") && !isTableFile("posts.csv.gz"));
});
