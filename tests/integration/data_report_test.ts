/** `deno task data` as a user runs it, and the refusal to train on what it finds wanting. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeSyntheticDataset } from "../../lib/data/synthetic.ts";
import { type DataReport, dataReportSchema } from "../../lib/report/data_report.ts";
import { dataFolder, tweetsToDataset } from "../fixtures/tweets_to_dataset.ts";
import { goEmotionsToDataset } from "../fixtures/goemotions_to_dataset.ts";
import { resultOf, runCommand, withFolder } from "../support/commands.ts";
import { COMMIT, startHub } from "../support/hub_server.ts";
import { assertRefused } from "../support/refusals.ts";

const sample = join(dataFolder(), "redsm5_sample");
const ignore = !existsSync(dataFolder());
/** No GPU is there for who asks. */
const noGpu = { VK_DRIVER_FILES: "/none.json", VK_ICD_FILENAMES: "/none.json" };

async function reportOf(folder: string, ...settings: string[]): Promise<DataReport> {
  const finished = await runCommand("data", ["--json", `paths.experiments=${folder}`, ...settings], noGpu);
  return dataReportSchema.parse(resultOf(finished));
}

Deno.test(
  { name: "data: the RedSM5 sample, each sentence with its score; training on it is refused", ignore },
  async () => {
    await withFolder(async (folder) => {
      const report = await reportOf(folder, `data.id=${sample}`);
      assert.deepEqual(report.files.map(({ table, rows }) => [table, rows]), [["posts", 17], ["annotations", 25]]);
      assert.deepEqual(report.alignment.all, { exact: 0, normalised: 0, fuzzy: 1, not_found: 24, no_sentence: 0 });
      assert.deepEqual(report.alignment.evidence, { exact: 0, normalised: 0, fuzzy: 1, not_found: 20, no_sentence: 0 });
      assert.equal(report.alignment.rows.length, 25);
      for (const { row, sentence_id, alignment, score, used } of report.alignment.rows) {
        assert.match(row, /^redsm5_annotations_sample_paraphrased\.csv, line \d+$/);
        assert.match(sentence_id, /^s_\d+_\d+_\d+$/);
        assert.ok(score !== null && (alignment === "fuzzy") === (score >= 0.8) && used === (alignment === "fuzzy"));
      }
      assert.equal(report.annotations.labels["SLEEP_ISSUES"]!.status_1, 6);
      assert.equal(report.annotations.labels["SLEEP_ISSUES"]!.posts, 5);
      assert.equal(report.trainable, false);
      const reason =
        /1 of the 21 evidence sentences of .*redsm5_sample were found in their posts \(0 exact, 0 normalised, 1 fuzzy with a score of at least 0\.8, 20 not found\), fewer than the share of 0\.5/;
      assert.match(report.findings[0]!.message, reason);
      assert.equal(report.findings[0]!.level, "error");

      const args = ["--config", "configs/quickstart.yaml", `data.id=${sample}`, `paths.experiments=${folder}`];
      const refused = await runCommand("train", args, noGpu);
      assertRefused(refused, { error: reason, remedy: /deno task data.*data\.alignment\.min_aligned/ });

      const lower = await reportOf(folder, `data.id=${sample}`, "data.alignment.min_score=0.3");
      assert.equal(lower.trainable, true);
      assert.equal(lower.alignment.found, 1);
      const finished = await runCommand("data", [`data.id=${sample}`, `paths.experiments=${folder}`], noGpu);
      assert.equal(finished.code, 0, finished.stderr);
      assert.match(finished.stdout, /line 18 +s_993_557_3 +WORTHLESSNESS +1 +fuzzy +0\.92 +yes/);
      assert.match(finished.stdout, /… and 5 more; --json has all/);
      assert.match(finished.stdout, /\nerror: 1 of the 21 .*\n {2}remedy: /);
      assert.match(finished.stdout, /Training on these data as configured is refused/);
      // No five words in a row of any text.
      const told = finished.stdout + finished.stderr + JSON.stringify(report) + refused.stderr;
      for (const name of ["posts", "annotations"]) {
        const table = await Deno.readTextFile(join(sample, `redsm5_${name}_sample_paraphrased.csv`));
        for (const words of table.matchAll(/(?:[A-Za-z’']+ ){5}/g)) assert.ok(!told.includes(words[0]), words[0]);
      }
    });
  },
);

Deno.test("data: what the generated sample has, and what cutting it loses", async () => {
  await withFolder(async (folder) => {
    const report = await reportOf(folder, "data.synthetic.posts=200", "data.max_length=32");
    assert.equal(report.trainable, true);
    assert.equal(report.posts.total, 200);
    const { splits, lengths, truncation, annotations, alignment } = report;
    assert.equal(splits!.source, "made");
    assert.equal(splits!.seed, 13);
    const parts = Object.values(splits!.parts);
    assert.equal(parts.reduce((sum, { posts }) => sum + posts, 0), 200);
    for (const label of report.criteria) {
      const inParts = parts.reduce((sum, { labels }) => sum + labels[label]!, 0);
      assert.equal(inParts, annotations.labels[label]!.posts);
    }
    const { min, median, mean, p90, p99, max, histogram } = lengths!;
    assert.ok(min <= median && median <= p90 && p90 <= p99 && p99 <= max && mean > min && mean < max);
    assert.equal(histogram.reduce((sum, { posts }) => sum + posts, 0), 200);
    assert.ok(histogram[0]!.from <= min && histogram.at(-1)!.to >= max);
    assert.equal(truncation!.max_length, 32);
    assert.ok(truncation!.posts > 0 && truncation!.tokens > truncation!.posts && truncation!.evidence_lost > 0);
    assert.ok(truncation!.evidence_lost < truncation!.evidence);
    assert.ok(alignment.evidence.normalised > 0 && alignment.evidence.not_found === 0);
    assert.ok(alignment.rows.every(({ alignment }) => alignment === "normalised"));

    const half = await reportOf(folder, "data.synthetic.posts=200", "data.max_length=32", "data.max_posts=100");
    assert.equal(half.splits!.left_out, 100);
    assert.equal(half.posts.total, 200);
    const again = await reportOf(folder, "data.synthetic.posts=200", "data.max_length=256");
    assert.equal(again.splits!.sha256, splits!.sha256);
    assert.equal(again.sha256, report.sha256);
    assert.deepEqual(again.truncation, {
      max_length: 256,
      posts: 0,
      tokens: 0,
      evidence: truncation!.evidence,
      evidence_lost: 0,
    });
  });
});

Deno.test("data: a hub repository with shards of a split in a folder, its commit and hashes", async () => {
  await withFolder(async (folder) => {
    const tables = join(folder, "tables");
    await writeSyntheticDataset(tables, { posts: 60, seed: 3 });
    const lines = await Deno.readTextFile(join(tables, "redsm5_annotations.csv"));
    const rows = Array.from({ length: 60 }, (_, n) => `syn_${String(n + 1).padStart(5, "0")},I cry.`);
    const part = (from: number, to: number) => ["post_id,text", ...rows.slice(from, to)].join("\n");
    await using hub = startHub({
      "README.md": "# a dataset",
      "data/posts-train.csv": part(0, 40),
      "data/posts-validation.csv": part(40, 50),
      "data/posts-test.csv": part(50, 60),
      "data/annotations.csv": lines,
      "other/posts.csv": "post_id,text\n",
    });
    const env = { ...noGpu, HF_HUB_OFFLINE: "0", HF_ENDPOINT: hub.url, HF_HOME: join(folder, "hub") };
    const data = (...settings: string[]) =>
      runCommand("data", ["--json", `paths.experiments=${folder}`, "data.id=org/name", ...settings], env);
    const names = ["train", "validation", "test"].map((split) => `data/posts-${split}.csv`);
    assertRefused(await data(), {
      error: /holds 2 posts tables: data\/posts-test\.csv, other\/posts\.csv/,
      remedy: /data\.files\.posts=data\/posts-test\.csv \(a list/,
    });
    const chosen = `data.files.posts=[${names.join(", ")}]`;
    const report = dataReportSchema.parse(resultOf(await data(chosen)));
    assert.equal(report.revision, COMMIT);
    assert.deepEqual(report.files.map(({ path, split }) => [path, split]), [
      [names[0], "train"],
      [names[1], "validation"],
      [names[2], "test"],
      ["data/annotations.csv", null],
    ]);
    assert.equal(report.splits!.source, "declared");
    assert.deepEqual(Object.values(report.splits!.parts).map(({ posts }) => posts), [40, 10, 10]);
    assert.equal(report.splits!.shared_texts, 1);
    const requests = hub.requests.length;
    resultOf(await data(chosen, "data.splits.declared=false"));
    assert.equal(hub.requests.length, requests, "a second report makes no request");
  });
});

Deno.test({ name: "data: tweets and GoEmotions through the same two tables", ignore }, async () => {
  await withFolder(async (folder) => {
    await tweetsToDataset(join(folder, "tweets"), 300);
    await goEmotionsToDataset(join(folder, "emotions"), 600);
    const tweets = await reportOf(folder, `data.id=${join(folder, "tweets")}`, "data.criteria=auto");
    assert.deepEqual(tweets.criteria, ["negative", "neutral", "positive"]);
    assert.equal(tweets.alignment.found, 1);
    assert.equal(tweets.splits!.source, "made");
    const emotions = await reportOf(folder, `data.id=${join(folder, "emotions")}`, "data.criteria=auto");
    assert.equal(emotions.splits!.source, "declared");
    assert.equal(emotions.alignment.found, null);
    assert.equal(emotions.trainable, true);
  });
});

Deno.test("data: a model that is not there leaves the report without lengths, and says so", async () => {
  await withFolder(async (folder) => {
    const report = await reportOf(folder, "data.synthetic.posts=60", "model.id=./no/such/model");
    assert.deepEqual([report.lengths, report.truncation, report.trainable], [null, null, false]);
    assert.match(
      report.findings.find(({ level }) => level === "error")!.message,
      /no model folder \.\/no\/such\/model/,
    );
    assert.equal(report.posts.total, 60);
    assertRefused(await runCommand("data", ["--json", `data.id=${folder}/none`], noGpu), {
      error: /No dataset folder at .*none/,
      remedy: /Set data\.id/,
    });
    assertRefused(await runCommand("data", ["--jsno"]), { error: /did you mean --json/, remedy: /data --help/ });
  });
});
