/** `deno task cleanup --post`: a post is taken out of all that a study has left, and out of nothing else. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { openTranslationCache } from "../../lib/data/augmentation/translation_cache.ts";
import { loadDataset } from "../../lib/data/dataset.ts";
import { writeSyntheticDataset } from "../../lib/data/synthetic.ts";
import { lockFolder } from "../../lib/storage/lock.ts";
import { evidenceSentences } from "../../lib/study/back_translation.ts";
import type { CleanupReport } from "../../lib/study/cleanup.ts";
import { resultOf, runCommand, TINY, trialFolders, withFolder } from "../support/commands.ts";
import { assertRefused } from "../support/refusals.ts";

const cleanup = async (experiments: string, ...args: string[]) =>
  resultOf<CleanupReport>(await runCommand("cleanup", ["--json", `paths.experiments=${experiments}`, ...args]));

/** SHA-256 of every file by its path; the databases and the lock aside, which looking may touch. */
function hashes(folder: string, under = ""): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { name, isDirectory } of Deno.readDirSync(join(folder, under))) {
    const path = join(under, name);
    if (isDirectory) Object.assign(found, hashes(folder, path));
    else if (!/\.db(-journal)?$|^\.lock$/.test(name)) {
      found[path] = createHash("sha256").update(Deno.readFileSync(join(folder, path))).digest("hex");
    }
  }
  return found;
}

/** Files that hold a text. */
const holding = (folder: string, text: string) =>
  Object.keys(hashes(folder)).filter((path) => Deno.readTextFileSync(join(folder, path)).includes(text)).sort();

Deno.test("a post is taken out of samples, translations, logs, reports and the tracker's copies", async (t) => {
  await withFolder(async (folder) => {
    const experiments = join(folder, "experiments");
    const settings = [...TINY, "training.epochs=1", `paths.experiments=${experiments}`];
    const result = resultOf(await runCommand("train", ["--mode", "single", "--json", ...settings]));
    const sample = join(experiments, "data", "synthetic_60_7");
    const dataset = await loadDataset({ id: sample, criteria: "auto" });
    const withEvidence = dataset.examples.filter(({ allEvidence }) => allEvidence.some((spans) => spans.length > 0));
    const sentences = new Map(withEvidence.map((one) => [one, evidenceSentences([one])]));
    const [post, other] = withEvidence.filter((one) =>
      withEvidence.every((two) =>
        two === one || !sentences.get(two)!.some((text) => sentences.get(one)!.includes(text))
      )
    );
    assert.ok(post && other && !other.postId.startsWith(post.postId));
    const [id, otherId] = [post.postId, other.postId];

    // Of a fresh study, the sample alone has a post, by its id or in its text.
    await t.step("a study writes posts nowhere but into data/", () => {
      assert.ok(holding(experiments, id).every((path) => path.startsWith("data/")), holding(experiments, id).join());
      const text = post.text.slice(0, 40);
      assert.deepEqual(holding(experiments, text), ["data/synthetic_60_7/redsm5_posts.csv"]);
    });

    // What translation leaves, and what other tools or versions may write.
    const translations = join(experiments, "data", "back_translation");
    for (const revision of ["1", "2"]) {
      const cache = openTranslationCache(translations, { revision });
      for (const one of [post, other]) {
        for (const [i, text] of sentences.get(one)!.entries()) {
          await cache.set(text, `in other words ${one.postId} ${i}`);
        }
      }
    }
    const [trial] = trialFolders(experiments);
    const row = (post_id: string) => ({ post_id, probabilities: [0.25, 1e-9], evidence: "words" });
    const predictions = [row(id), row(otherId)];
    const written: Record<string, string> = {
      "predictions.json": JSON.stringify({ step: 12, predictions }, null, 2) + "\n",
      "predictions.jsonl": predictions.map((one) => JSON.stringify(one) + "\n").join(""),
      "predictions.csv": `post_id,text\n${id},"a, ""b""\nc"\n${otherId},"d\r\n"\n`,
      "notes.txt": `see ${id}`,
    };
    const mlartifacts = join(experiments, "mlartifacts", "1", "run", "artifacts");
    await Deno.mkdir(mlartifacts, { recursive: true });
    for (const place of [trial!, mlartifacts]) {
      for (const [name, text] of Object.entries(written)) await Deno.writeTextFile(join(place, name), text);
    }
    const log = join(trial!, "logs", "training.jsonl"), text = join(trial!, "logs", "stdout.log");
    const lines = [await Deno.readTextFile(log), await Deno.readTextFile(text)];
    await Deno.writeTextFile(log, JSON.stringify({ message: "odd", context: { post_id: id } }) + "\n", {
      append: true,
    });
    await Deno.writeTextFile(text, `2026-01-31 12:00:00 WARNING data odd post_id=${id} row=3\n`, { append: true });

    const tokens = join(experiments, "data", "tokens");
    await Deno.mkdir(tokens);
    await Deno.writeFile(join(tokens, "0123.tokens"), Uint8Array.of(1, 2, 3));

    const before = hashes(experiments);
    let listed: CleanupReport;
    await t.step("it lists what would change, and changes nothing", async () => {
      listed = await cleanup(experiments, "--post", id);
      assert.deepEqual(hashes(experiments), before);
      assert.equal(listed.executed, false);
      assert.ok(listed.items.every(({ kind, reason }) => kind === "post" && reason !== ""));
      const translated = listed.items.filter(({ path }) => path.includes("back_translation"));
      assert.equal(translated.length, 2 * sentences.get(post)!.length);
      assert.ok(listed.items.indexOf(translated.at(-1)!) < listed.items.findIndex(({ path }) => path.endsWith(".csv")));
      assert.equal(listed.items.length - translated.length, 2 + 2 * 3 + 2 + 1);
      const [ofTokens] = listed.items.filter(({ path }) => path.endsWith("0123.tokens"));
      assert.deepEqual([ofTokens!.action, ofTokens!.bytes], ["remove", 3]);
      assert.match(
        listed.items.find(({ path }) => path.endsWith("redsm5_posts.csv"))!.reason,
        /^1 row of the posts; studies on this sample can be neither resumed/,
      );
      assert.equal(
        listed.notes.filter((note) => /notes\.txt names the post and cannot be rewritten/.test(note)).length,
        2,
      );
      assert.ok(
        listed.notes.some((note) => /checkpoints of 1 trials of study .* nothing can be taken out of/.test(note)),
      );
      const shown = await runCommand("cleanup", [`paths.experiments=${experiments}`, "--post", id]);
      assert.match(shown.stdout, /redsm5_posts\.csv \(rewritten\) +1 row of the posts/);
      assert.match(shown.stdout, /can go from .*; `deno task cleanup --post … --execute` deletes it$/m);
      assert.ok(!shown.stdout.includes(post.text.slice(0, 20)), "no text of a post is shown");
    });

    await t.step("while a run uses the folder nothing is deleted", async () => {
      using _lock = await lockFolder(experiments);
      assertRefused(
        await runCommand("cleanup", ["--json", `paths.experiments=${experiments}`, "--post", id, "--execute"]),
        { code: 3, error: /another run is using the experiments folder/, remedy: /Wait for it to end/ },
      );
      assert.deepEqual(hashes(experiments), before);
    });

    await t.step("--execute takes it out of all of these, and leaves every other byte", async () => {
      const done = await cleanup(experiments, "--post", id, "--execute");
      assert.deepEqual([done.executed, done.items], [true, listed.items]);
      const after = hashes(experiments);
      const changed = Object.keys(before).filter((path) => before[path] !== after[path]).sort();
      assert.deepEqual(changed, listed.items.map(({ path }) => path).sort());
      assert.deepEqual(Object.keys(after).filter((path) => !(path in before)), []);
      assert.ok(holding(experiments, id).every((path) => path.endsWith("notes.txt")), holding(experiments, id).join());
      assert.deepEqual(holding(experiments, post.text.slice(0, 40)), []);
      assert.deepEqual([await Deno.readTextFile(log), await Deno.readTextFile(text)], lines);
      for (const place of [trial!, mlartifacts]) {
        const read = (name: string) => Deno.readTextFileSync(join(place, name));
        assert.equal(read("predictions.csv"), `post_id,text\n${otherId},"d\r\n"\n`);
        assert.equal(read("predictions.jsonl"), JSON.stringify(row(otherId)) + "\n");
        assert.equal(
          read("predictions.json"),
          JSON.stringify({ step: 12, predictions: [row(otherId)] }, null, 2) + "\n",
        );
      }
      const left = await loadDataset({ id: sample, criteria: dataset.criteria });
      assert.deepEqual(left.examples, dataset.examples.filter(({ postId }) => postId !== id));
    });

    await t.step("a second time there is nothing but what cannot be told any more", async () => {
      const again = await cleanup(experiments, "--post", id, "--execute");
      assert.deepEqual(again.items, []);
      assert.ok(again.notes.some((note) => note.includes(`no dataset that is here has ${id}`)), again.notes.join("\n"));
      assertRefused(
        await runCommand("evaluate", ["--json", "--study-id", result.study_id, `paths.experiments=${experiments}`]),
        { error: /the data of study .* have changed since it began: .* had 60 posts .* and has 59/, remedy: /Restore/ },
      );
    });

    await t.step("several at once; all of the posts may go", async () => {
      const rest = dataset.examples.map(({ postId }) => ["--post", postId]).flat();
      await cleanup(experiments, ...rest, "--execute");
      assert.match(await Deno.readTextFile(join(sample, "redsm5_posts.csv")), /^[^\n]*\n$/);
      assert.deepEqual(holding(translations, "in other words"), []);
    });
  });
});

Deno.test("a dataset of one's own is not changed: it is named, and its sentences tell the translations", async () => {
  await withFolder(async (folder) => {
    const experiments = join(folder, "experiments"), data = join(folder, "tables");
    await writeSyntheticDataset(data, { posts: 60, seed: 3 });
    const dataset = await loadDataset({ id: data, criteria: "auto" });
    const post = dataset.examples.find(({ allEvidence }) => allEvidence.some((spans) => spans.length > 0))!;
    const cache = openTranslationCache(join(experiments, "data", "back_translation"), {});
    const [sentence] = evidenceSentences([post]);
    await cache.set(sentence!, "in other words");
    const before = hashes(data);
    const done = await cleanup(
      experiments,
      `data.id=${data}`,
      `--post=${post.postId}`,
      "--post",
      "nobody",
      "--execute",
    );
    assert.equal(done.items.length, 1);
    assert.equal(await cache.get(sentence!), undefined);
    assert.deepEqual(hashes(data), before);
    assert.ok(done.notes.some((note) => note.includes(`the dataset ${data} has the posts: take them out of it`)));
    assert.ok(done.notes.some((note) => note.includes("no dataset that is here has nobody,")));
    // A hub dataset that is not in the cache is not fetched, and no reason to fail.
    const hub = await cleanup(experiments, "data.id=org/none", "--post", post.postId);
    assert.ok(
      hub.notes.some((note) => /the dataset org\/none cannot be looked into: .*cache/.test(note)),
      hub.notes.join(),
    );
  });
});
