import assert from "node:assert/strict";
import { join } from "node:path";
import { loadDataset, REDSM5_CRITERIA } from "../../lib/data/dataset.ts";
import { writeSyntheticDataset } from "../../lib/data/synthetic.ts";

/** The dataset made with the given options, and the bytes of its two files. */
async function make(options: Parameters<typeof writeSyntheticDataset>[1]) {
  const folder = await Deno.makeTempDir();
  try {
    await writeSyntheticDataset(join(folder, "deep", "down"), options);
    const files = await Promise.all(
      ["posts", "annotations"].map((name) => Deno.readTextFile(join(folder, "deep", "down", `redsm5_${name}.csv`))),
    );
    return { files, dataset: await loadDataset({ id: join(folder, "deep", "down"), criteria: "auto" }) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("synthetic: has what the real data have, and every sentence is found", async () => {
  const { dataset } = await make({ posts: 600, seed: 7 });
  const { counts, examples, criteria } = dataset;
  assert.deepEqual(criteria, REDSM5_CRITERIA.toSorted());
  assert.equal(counts.posts, 600);
  assert.equal(counts.alignment.not_found, 0);
  assert.ok(counts.alignment.normalised > 20, `${counts.alignment.normalised} sentences need normalising`);
  assert.ok(counts.explicitNegatives > 60);
  assert.ok(counts.postsWithoutCriterion > 110 && counts.postsWithoutCriterion < 190);
  assert.ok(counts.positives.every((count) => count > 40), `${counts.positives}`);
  const text = examples.map((example) => example.text).join(" ");
  for (const needed of ["😭", "👨‍👩‍👧", "é", "’", "“", "\n", "\u00a0"]) assert.ok(text.includes(needed), `no ${needed}`);
  assert.ok(!/[{}|]/.test(text), "an unexpanded template");
  assert.ok(new Set(text.toLowerCase().match(/\p{L}+/gu)).size < 1500);
  const words = examples.map((example) => example.text.split(/\s+/).length).sort((a, b) => a - b);
  assert.ok(words[60]! >= 20 && words[540]! <= 90, `10% to 90% of the posts have ${words[60]} to ${words[540]} words`);
});

Deno.test("synthetic: the seed decides the bytes", async () => {
  const { files } = await make({ posts: 30, seed: 1 });
  assert.deepEqual((await make({ posts: 30, seed: 1 })).files, files);
  assert.notDeepEqual((await make({ posts: 30, seed: 2 })).files, files);
});

Deno.test("synthetic: some criteria only", async () => {
  const { dataset } = await make({ posts: 60, seed: 1, criteria: ["FATIGUE", "SLEEP_ISSUES"] });
  assert.deepEqual(dataset.criteria, ["FATIGUE", "SLEEP_ISSUES"]);
  await assert.rejects(make({ posts: 1, seed: 1, criteria: ["LUCK"] }), /Expected RedSM5 criteria but found "LUCK"/);
});
