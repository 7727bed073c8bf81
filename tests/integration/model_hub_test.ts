/** Models of the catalog and weights of other formats from a hub: what is asked for, and what is recorded. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { catalogModel } from "../../lib/model/catalog.ts";
import { resolvePretrained } from "../../lib/weights/pretrained.ts";
import { resultOf, runCommand, TINY, withFolder } from "../support/commands.ts";
import { startHub } from "../support/hub_server.ts";

const MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];
const PIN = catalogModel("bert-base")!.revision;

Deno.test("of a hub model only the files that are read are fetched", async () => {
  await withFolder(async (folder) => {
    const common = { "config.json": "{}", "vocab.json": "{}", "merges.txt": "", "README.md": "x", "tf_model.h5": "x" };
    const cases = [
      [{ "flax_model.msgpack": "f" }, ["flax_model.msgpack"]],
      [{ "flax_model.msgpack": "f", "pytorch_model.bin": "p" }, ["pytorch_model.bin"]],
      [{ "flax_model.msgpack": "f", "pytorch_model.bin": "p", "model.safetensors": "s" }, ["model.safetensors"]],
      [
        { "pytorch_model.bin.index.json": "{}", "pytorch_model-00001-of-00001.bin": "p", "flax_model.msgpack": "f" },
        ["pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"],
      ],
    ] as const;
    for (const [i, [weights, expected]] of cases.entries()) {
      await using hub = startHub({ ...common, ...weights });
      const fetched: string[] = [];
      const env = (name: string) => name === "HF_ENDPOINT" ? hub.url : undefined;
      const onDownload = (path: string) => void fetched.push(path);
      await resolvePretrained("org/name", { cacheDir: join(folder, String(i)), env, onDownload });
      assert.deepEqual(fetched.sort(), [...expected, "config.json", "merges.txt", "vocab.json"].sort());
    }
    await using hub = startHub(common);
    const env = (name: string) => name === "HF_ENDPOINT" ? hub.url : undefined;
    await assert.rejects(
      resolvePretrained("org/name", { cacheDir: join(folder, "none"), env }),
      /none of the weights that Winnow reads: model\.safetensors, pytorch_model\.bin, flax_model\.msgpack/,
    );
  });
});

Deno.test("a model of the catalog is taken at its pinned commit, which is recorded", async () => {
  await withFolder(async (folder) => {
    const train = (name: string, settings: string[], env: Record<string, string> = {}) =>
      runCommand("train", ["--mode", "single", "--json", ...settings, `paths.experiments=${join(folder, name)}`], env);
    const first = resultOf(await train("first", [...TINY, "training.epochs=1"]));

    // As a download at the pin leaves it: the cache's layout is shared with Python.
    const repo = join(folder, "hub", "hub", "models--google-bert--bert-base-uncased");
    await Deno.mkdir(join(repo, "snapshots", PIN), { recursive: true });
    for (const name of MODEL_FILES) {
      await Deno.copyFile(join(first.trials[0]!.checkpoint!, name), join(repo, "snapshots", PIN, name));
    }
    const settings = ["model.id=bert-base", "data.synthetic.posts=60", "data.max_length=48", "training.epochs=1"];
    const env = { HF_HOME: join(folder, "hub") };
    const second = resultOf(await train("second", settings, env));
    const config = JSON.parse(await Deno.readTextFile(join(second.trials[0]!.checkpoint!, "config.json")));
    assert.deepEqual(config.winnow.base, { id: "google-bert/bert-base-uncased", revision: PIN });

    await using hub = startHub({});
    const online = { HF_HOME: join(folder, "empty"), HF_HUB_OFFLINE: "0", HF_ENDPOINT: hub.url };
    const absent = await train("third", settings, online);
    assert.equal(absent.code, 2);
    assert.match(absent.stderr, /has no model "google-bert\/bert-base-uncased"/);
    assert.ok(hub.requests.length > 0 && hub.requests.every((path) => path.includes(PIN)), hub.requests.join());
    await train("fourth", [...settings, "model.revision=main"], online);
    assert.ok(
      hub.requests.at(-1)!.endsWith("/google-bert/bert-base-uncased/revision/main"),
      hub.requests.at(-1) ?? "no request",
    );
  });
});
