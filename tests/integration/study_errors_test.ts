/** What a user does wrong, or a machine lacks. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { resultOf, runCommand, withFolder } from "../support/commands.ts";
import { assertRefused, checkRefusals, oneStep } from "../support/refusals.ts";

/** A YAML file with a search space. */
function withSpace(folder: string, name: string, space: string): string[] {
  const path = join(folder, `${name}.yaml`);
  Deno.writeTextFileSync(path, `defaults: [base, { model: random_small }, _self_]\nsearch_space:\n  ${space}\n`);
  return ["--config", path];
}

const CORRECT_IT = /Correct the configuration; contracts\/config\.schema\.json lists every key/;

Deno.test("configurations that cannot be run", async (t) => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "broken.yaml"), "defaults: [base\n");
    await checkRefusals(t, folder, {
      "unknown key": {
        args: ["training.epoch=3"],
        error: /unknown key "training\.epoch" \(command line\); did you mean "training\.epochs"\?/,
        remedy: CORRECT_IT,
      },
      "ill-typed key": {
        args: ["training.epochs=three"],
        error: /Expected training\.epochs to be an integer from 1 to 10000 but found "three" \(command line\)/,
        remedy: CORRECT_IT,
      },
      "unknown metric": {
        args: ["study.metric=criteria_macrof1"],
        error:
          /Expected study\.metric to be one of criteria_macro_f1, .* but found "criteria_macrof1".*; did you mean "criteria_macro_f1"/,
        remedy: CORRECT_IT,
      },
      "unknown key in the search space": {
        args: withSpace(folder, "unknown", "training.rate: { type: float, low: 1, high: 2 }"),
        error: /unknown key "training\.rate" in search_space \(.*unknown\.yaml\)/,
        remedy: CORRECT_IT,
      },
      "a range upside down in the search space": {
        args: withSpace(folder, "range", "training.weight_decay: { type: float, low: 0.2, high: 0.1 }"),
        error:
          /low of search_space\.training\.weight_decay to be at most high but found 0\.2 and 0\.1 \(.*range\.yaml\)/,
        remedy: CORRECT_IT,
      },
      "a value that the key does not take in the search space": {
        args: withSpace(folder, "choice", "model.criteria_pooling: { type: categorical, choices: [cls, median] }"),
        error: /Expected model\.criteria_pooling to be .*cls.* but search_space has "median"/,
        remedy: CORRECT_IT,
      },
      "no such file": {
        args: ["--config", join(folder, "none.yaml")],
        error: /there is no configuration file .*none\.yaml/,
        remedy: /configs\//,
      },
      "broken YAML": {
        args: ["--config", join(folder, "broken.yaml")],
        error: /not readable as YAML: .*broken\.yaml:2\)/,
        remedy: /Correct the YAML/,
      },
      "unknown option": {
        args: ["--jsno"],
        error: /unknown option --jsno; did you mean --json\?/,
        remedy: /--help/,
      },
      "longer texts than the random model has positions": {
        args: ["data.max_length=600"],
        error: /data\.max_length to be at most .*max_position_embeddings 512 but found 600/,
        remedy: CORRECT_IT,
      },
    });
  });
});

Deno.test("models that cannot be used", async (t) => {
  await withFolder(async (folder) => {
    // A checkpoint of ours is a model folder as any other.
    const first = resultOf(await runCommand("train", oneStep(join(folder, "first"))));
    const sound = first.trials[0]!.checkpoint!;
    const model = async (name: string, change: (folder: string) => Promise<void> | void) => {
      const copy = join(folder, name);
      await Deno.mkdir(copy);
      for await (const { name } of Deno.readDir(sound)) await Deno.copyFile(join(sound, name), join(copy, name));
      await change(copy);
      return `model.id=${copy}`;
    };
    const weights = (path: string) => join(path, "model.safetensors");
    const config = (changes: Record<string, unknown>) => async (path: string) => {
      const old = JSON.parse(await Deno.readTextFile(join(path, "config.json")));
      await Deno.writeTextFile(join(path, "config.json"), JSON.stringify({ ...old, ...changes }));
    };
    /** Another length of the header than it has, or other text in it. */
    const header = (lie: (text: string) => string, length?: bigint) => async (path: string) => {
      const bytes = await Deno.readFile(weights(path));
      const view = new DataView(bytes.buffer);
      const end = 8 + Number(view.getBigUint64(0, true));
      const text = lie(new TextDecoder().decode(bytes.subarray(8, end)));
      bytes.set(new TextEncoder().encode(text.padEnd(end - 8).slice(0, end - 8)), 8);
      if (length !== undefined) view.setBigUint64(0, length, true);
      await Deno.writeFile(weights(path), bytes);
    };
    const keep = (text: string) => text;
    const hub = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      () => Response.json({ error: "Repository not found" }, { status: 404 }),
    );
    const online = {
      HF_HUB_OFFLINE: "0",
      HF_ENDPOINT: `http://127.0.0.1:${hub.addr.port}`,
      HF_HOME: join(folder, "hub"),
    };

    await t.step("a checkpoint of ours is a model that training starts from", async () => {
      const result = resultOf(
        await runCommand("train", oneStep(join(folder, "second"), await model("sound", () => {}))),
      );
      assert.equal(result.trials[0]!.state, "COMPLETE");
    });

    const unsound = /model\.safetensors is not a sound safetensors file: /.source;
    await checkRefusals(t, folder, {
      "a hub id that does not exist": {
        args: ["model.id=org/none"],
        env: online,
        error: /127\.0\.0\.1:\d+ has no model "org\/none" .*\(404\)/,
        remedy: /Check the id and the revision, or name a local folder/,
      },
      "a folder that does not exist": {
        args: [`model.id=${join(folder, "none")}`],
        error: /There is no model folder .*none/,
        remedy: /Check the path/,
      },
      "truncated weights": {
        args: [await model("truncated", (path) => Deno.truncate(weights(path), 100_000))],
        error: new RegExp(`${unsound}tensor ".*" lies at bytes \\d+ to \\d+ of \\d+`),
        remedy: /Fetch or write the file again/,
      },
      "weights cut within their header": {
        args: [await model("cut", (path) => Deno.truncate(weights(path), 500))],
        error: new RegExp(unsound),
        remedy: /Fetch or write the file again/,
      },
      "a header that claims to be larger than memory": {
        args: [await model("claim", header(keep, 2n ** 60n))],
        error: new RegExp(`${unsound}its header claims 1152921504606846976 bytes`),
        remedy: /Fetch or write the file again/,
      },
      "a header that lies on a tensor's place": {
        args: [await model("place", header((text) => text.replace(/"data_offsets":\[\d+,/, '"data_offsets":[4,')))],
        error: new RegExp(unsound),
        remedy: /Fetch or write the file again/,
      },
      "weights of another shape than config.json says": {
        args: [await model("shape", config({ intermediate_size: 128 }))],
        error: /intermediate\.dense\.weight has shape \[64,32\] where config\.json says \[128,32\]/,
        remedy: /config\.json that belongs to these weights/,
      },
      "fewer layers than config.json says": {
        args: [await model("layers", config({ num_hidden_layers: 2 }))],
        error: /lacks 16 of the model's tensors: encoder\.layer\.1\./,
        remedy: /belong to the same model/,
      },
      "another family": {
        args: [await model("family", config({ model_type: "xlm-roberta" }))],
        error: /family "xlm-roberta"; supported are "bert", "roberta", "distilbert"/,
        remedy: /Choose a model of these families/,
      },
      "weights of another family": {
        args: [await model("other", config({ model_type: "distilbert", n_layers: 1, n_heads: 2 }))],
        error: /lacks 16 of the model's tensors: transformer\.layer\.0\.attention\.q_lin\.weight/,
        remedy: /belong to the same model/,
      },
      "a decoder": {
        args: [await model("decoder", config({ is_decoder: true }))],
        error: /describes a decoder: is_decoder is true/,
        remedy: /Choose an encoder/,
      },
      "no tokenizer": {
        args: [
          await model("tokenizer", async (path) => {
            for (const name of ["vocab.txt", "tokenizer.json"]) await Deno.remove(join(path, name));
          }),
        ],
        error: /has no tokenizer: neither tokenizer\.json nor vocab\.txt/,
        remedy: /holds one of them/,
      },
      "no weights": {
        args: [await model("weights", (path) => Deno.remove(weights(path)))],
        error: /has no weights: none of model\.safetensors, model\.safetensors\.index\.json, pytorch_model\.bin, /,
        remedy: /layout of transformers/,
      },
      "longer texts than the model has positions": {
        args: [await model("positions", () => {}), "data.max_length=600"],
        error: /data\.max_length is 600 but .*positions has 512 positions/,
        remedy: /Set data\.max_length to at most 512/,
      },
      "no adapter": {
        args: [],
        env: { VK_DRIVER_FILES: join(sound, "none.json"), VK_ICD_FILENAMES: join(sound, "none.json") },
        error: /No Vulkan adapter was found on this machine/,
        remedy: /NVIDIA_DRIVER_CAPABILITIES=all .*mesa-vulkan-drivers/,
      },
      "a dataset id that does not exist": {
        args: ["data.id=org/none"],
        env: online,
        error: /127\.0\.0\.1:\d+ has no dataset "org\/none" .*\(404\)/,
        remedy: /Check the id and the revision, or name a local folder/,
      },
    });
    await hub.shutdown();

    await t.step("a damaged checkpoint is not evaluated", async () => {
      const bytes = await Deno.readFile(weights(sound));
      bytes[bytes.length - 1]! ^= 1;
      await Deno.writeFile(weights(sound), bytes);
      const place = ["--json", `paths.experiments=${join(folder, "first")}`];
      assertRefused(await runCommand("evaluate", ["--study-id", first.study_id, ...place]), {
        code: 3,
        error: /damaged checkpoint .*: model\.safetensors has SHA-256 /,
        remedy: /another checkpoint from a copy/,
      });
    });
  });
});

Deno.test("datasets that cannot be used", async (t) => {
  await withFolder(async (folder) => {
    const dataset = (name: string, posts: string, annotations: string) => {
      const path = join(folder, name);
      Deno.mkdirSync(path);
      Deno.writeTextFileSync(join(path, "posts.csv"), posts);
      Deno.writeTextFileSync(join(path, "annotations.csv"), annotations);
      return `data.id=${path}`;
    };
    const rows = "post_id,sentence_text,DSM5_symptom,status\n1,so tired,FATIGUE,1\n";
    await checkRefusals(t, folder, {
      "no such folder": {
        args: [`data.id=${join(folder, "none")}`],
        error: /No dataset folder at .*none/,
        remedy: /Set data\.id to a folder that holds a posts and an annotations table/,
      },
      "a missing column": {
        args: [dataset("column", "post_id,body\n1,so tired\n", rows)],
        error: /posts\.csv has no column "text"/,
        remedy: /columns post_id, text; found: post_id, body/,
      },
      "a missing column of the annotations": {
        args: [dataset("annotations", "post_id,text\n1,so tired\n", rows.replace("DSM5_symptom", "label"))],
        error: /annotations\.csv has no column "DSM5_symptom"/,
        remedy: /found: post_id, sentence_text, label, status/,
      },
      "no row": {
        args: [dataset("rows", "post_id,text\n", rows)],
        error: /posts\.csv has a header but no rows/,
        remedy: /Fill the posts table/,
      },
      "an empty split": {
        args: ["data.max_posts=2"],
        error: /Splitting 2 posts leaves an empty split: train 2, validation 0, test 0/,
        remedy: /larger dataset, or larger shares/,
      },
      "no post with a criterion": {
        args: [dataset("criteria", "post_id,text\n1,so tired\n", rows), "data.criteria=[SADNESS]"],
        error: /No post has any of the criteria SADNESS; labels in the annotations table: FATIGUE/,
        remedy: /data\.criteria/,
      },
    });
  });
});
