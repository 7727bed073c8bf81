import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { findTableFiles, type NamedFiles } from "../../lib/data/dataset_files.ts";
import { WinnowError } from "../../lib/support/errors.ts";

/** Empty files in a folder; names that end in "/" are folders, "a -> b" is a link. */
async function withFiles(paths: string[], use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const path of paths) {
      const [name, target] = path.split(" -> ") as [string, string?];
      await Deno.mkdir(join(folder, name.endsWith("/") ? name : dirname(name)), { recursive: true });
      if (target !== undefined) await Deno.symlink(target, join(folder, name));
      else if (!name.endsWith("/")) await Deno.writeTextFile(join(folder, name), "");
    }
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What is found, as "path" or "path: split". */
async function found(paths: string[], named?: NamedFiles): Promise<string[]> {
  let files: string[] = [];
  await withFiles(paths, async (folder) => {
    files = (await findTableFiles(folder, named)).map(({ path, split }) => split ? `${path}: ${split}` : path);
  });
  return files;
}

async function refused(paths: string[], message: RegExp, remedy: RegExp, named?: NamedFiles): Promise<void> {
  await withFiles(paths, async (folder) => {
    await assert.rejects(findTableFiles(folder, named), (error) => {
      assert.ok(error instanceof WinnowError && error.kind === "input", String(error));
      assert.match(error.message, message);
      assert.match(error.remedy, remedy);
      return true;
    });
  });
}

Deno.test("files: the names that RedSM5 has, in the folder or below it", async () => {
  const layouts = [
    ["redsm5_posts.csv", "redsm5_annotations.csv"],
    ["redsm5_full_posts.csv", "redsm5_annotations_long.csv"],
    ["redsm5_posts_sample_paraphrased.csv", "redsm5_annotations_sample_paraphrased.csv"],
    ["data/redsm5_posts.parquet", "data/redsm5_annotations.csv"],
    ["default/posts/0000.parquet", "default/annotations/0000.parquet"],
    ["posts.PARQUET", "Annotations.CSV"],
  ];
  for (const layout of layouts) {
    assert.deepEqual(await found([...layout, "README.md", "data/redsm5_sample.csv", ".git/posts.csv"]), layout);
  }
});

Deno.test("files: shards and files of a split are one table", async () => {
  assert.deepEqual(
    await found([
      "data/posts-00001-of-00002.parquet",
      "data/posts-00000-of-00002.parquet",
      "data/annotations-00000-of-00001-0123456789abcdef.parquet",
    ]),
    [
      "data/posts-00000-of-00002.parquet",
      "data/posts-00001-of-00002.parquet",
      "data/annotations-00000-of-00001-0123456789abcdef.parquet",
    ],
  );
  assert.deepEqual(
    await found(["posts_train.csv", "posts_dev.csv", "posts_test.csv", "annotations.csv"]),
    ["posts_dev.csv: validation", "posts_test.csv: test", "posts_train.csv: train", "annotations.csv"],
  );
  const folders = ["test", "train", "valid"].flatMap((name) => [`${name}/annotations.csv`, `${name}/posts.csv`]);
  assert.deepEqual((await found(folders)).sort(), [
    "test/annotations.csv: test",
    "test/posts.csv: test",
    "train/annotations.csv: train",
    "train/posts.csv: train",
    "valid/annotations.csv: validation",
    "valid/posts.csv: validation",
  ]);
  assert.deepEqual(
    await found(["posts-train-00000-of-00001.parquet", "posts-test-00000-of-00001.parquet", "annotations.csv"]),
    ["posts-test-00000-of-00001.parquet: test", "posts-train-00000-of-00001.parquet: train", "annotations.csv"],
  );
});

Deno.test("files: several candidates are refused by name, and data.files chooses", async () => {
  const both = ["posts.csv", "posts.parquet", "old/posts.csv", "annotations.csv"];
  await refused(both, /holds 3 posts tables: old\/posts\.csv, posts\.csv, posts\.parquet/, /data\.files\.posts=/);
  assert.deepEqual(await found(both, { posts: "posts.parquet", annotations: null }), [
    "posts.parquet",
    "annotations.csv",
  ]);
  const parts = { posts: ["a/one.csv", "a/two_test.csv"], annotations: "labels.csv" };
  assert.deepEqual(await found(["a/one.csv", "a/two_test.csv", "labels.csv"], parts), [
    "a/one.csv",
    "a/two_test.csv: test",
    "labels.csv",
  ]);
  await refused(both, /holds no postz\.csv, which data\.files\.posts names/, /files found: annotations\.csv/, {
    posts: "postz.csv",
    annotations: null,
  });
  for (const path of ["../posts.csv", "/etc/posts.csv", "a/../../posts.csv", "posts.txt"]) {
    await refused(both, /data\.files\.posts names /, /by its path within/, { posts: path, annotations: null });
  }
});

Deno.test("files: missing tables and shards, folders, links to nothing and pipes are refused", async () => {
  await refused(["posts.csv"], /holds no annotations table/, /files found: posts\.csv/);
  await refused([], /holds no posts table/, /files found: none/);
  await refused(["posts.csv.gz", "annotations.csv"], /holds no posts table/, /Turn posts\.csv\.gz into a CSV/);
  await refused(
    ["posts-00000-of-00003.parquet", "posts-00002-of-00003.parquet", "annotations.csv"],
    /lacks shard 1 of the posts table/,
    /Fetch all shards/,
  );
  await refused(
    ["posts/0000.parquet", "posts/0002.parquet", "annotations.csv"],
    /lacks shard 1 of the posts table/,
    /Fetch all shards/,
  );
  await refused(["posts.csv/", "annotations.csv"], /posts\.csv is a folder, not a file/, /Put the table itself there/);
  await refused(["posts.csv -> gone", "annotations.csv"], /posts\.csv \(a link to nothing\)/, /Put the table itself/);
  await refused(["posts.csv -> /dev/null", "annotations.csv"], /is a device or pipe/, /Put the table itself/);
  assert.deepEqual(await found(["x.csv", "posts.csv -> x.csv", "annotations.csv"]), ["posts.csv", "annotations.csv"]);
  await assert.rejects(findTableFiles("/no/such/folder"), /No dataset folder at \/no\/such\/folder \(ENOENT\)/);
});
