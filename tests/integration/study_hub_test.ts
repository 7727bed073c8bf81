/** Model and data from a hub: a study that names both by their hub ids, against a hub on the loopback interface. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { writeSyntheticDataset } from "../../lib/data/synthetic.ts";
import { resultOf, runCommand, TINY, withFolder } from "../support/commands.ts";
import { COMMIT, startHub } from "../support/hub_server.ts";

const MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];
const TABLES = ["redsm5_posts.csv", "redsm5_annotations.csv"];

Deno.test("a study takes model and data from the hub, and a second one makes no request", async () => {
  await withFolder(async (folder) => {
    const first = resultOf(
      await runCommand("train", ["--mode", "single", "--json", ...TINY, `paths.experiments=${join(folder, "first")}`]),
    );
    const tables = join(folder, "tables");
    await writeSyntheticDataset(tables, { posts: 60, seed: 3 });
    const read = async (parent: string, names: string[]) =>
      Object.fromEntries(await Promise.all(names.map(async (name) => [name, await Deno.readFile(join(parent, name))])));
    await using hub = startHub({
      ...await read(first.trials[0]!.checkpoint!, MODEL_FILES),
      ...await read(tables, TABLES),
    });
    const env = { HF_HUB_OFFLINE: "0", HF_ENDPOINT: hub.url, HF_HOME: join(folder, "hub"), HF_TOKEN: "hf_secret" };
    const study = (name: string) =>
      runCommand("train", [
        ...["--mode", "single", "--json", "model.id=org/name", "data.id=org/name", "data.max_length=48"],
        ...["training.epochs=1", `paths.experiments=${join(folder, name)}`],
      ], env);

    const finished = await study("second");
    const second = resultOf(finished);
    assert.equal(second.trials[0]!.state, "COMPLETE");
    const summary = JSON.parse(await Deno.readTextFile(second.summary_report));
    assert.equal(summary.data.id, "org/name");
    assert.equal(summary.data.revision, COMMIT);
    assert.deepEqual(summary.data.files.map(({ path }: { path: string }) => path), TABLES);
    const config = JSON.parse(await Deno.readTextFile(join(second.trials[0]!.checkpoint!, "config.json")));
    assert.deepEqual(config.winnow.base, { id: "org/name", revision: COMMIT });
    assert.ok(hub.authorizations.hub.every((header) => header === "Bearer hf_secret"));
    assert.ok(!finished.stderr.includes("hf_secret"));

    const requests = hub.requests.length;
    assert.ok(requests > 0);
    const third = resultOf(await study("third"));
    assert.equal(hub.requests.length, requests);
    assert.equal(third.best_value, second.best_value);
  });
});
