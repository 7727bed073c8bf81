/**
 * Back-translation by tiny random Marian models in ONNX: the same words as Python's `transformers`, through the hub's
 * routes, once, and from the cache for ever after.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { MORE_TOKENS, openTranslator, TOKENS_PER_TOKEN } from "../../lib/data/augmentation/translator.ts";
import { writeSyntheticDataset } from "../../lib/data/synthetic.ts";
import { loggedEvents, resultOf, runCommand, TINY, withFolder } from "../support/commands.ts";
import { startHub } from "../support/hub_server.ts";
import { askPython } from "../support/python.ts";
import { assertRefused } from "../support/refusals.ts";

const SENTENCES = [
  'My friend said "I am fine" 😀 and went to the park',
  "I feel so tired and sad all the time",
  "I can't sleep at night, and I cannot get up",
  "Everything that I liked is boring now",
  "we were looking forward to the party",
];

/** Writes the models `to` and `from` into a folder, and returns Python's translations. */
const writeModels = (folder: string) =>
  askPython<{ to: string[]; from: string[] }>("tiny_translators.py", [folder], {
    sentences: SENTENCES,
    tokens_per_token: TOKENS_PER_TOKEN,
    more_tokens: MORE_TOKENS,
  });

/** All files under a folder by their path in it. */
async function filesIn(folder: string, under = ""): Promise<Record<string, Uint8Array<ArrayBuffer>>> {
  const files: Record<string, Uint8Array<ArrayBuffer>> = {};
  for await (const { name, isDirectory } of Deno.readDir(join(folder, under))) {
    const path = join(under, name);
    if (isDirectory) Object.assign(files, await filesIn(folder, path));
    else files[path] = await Deno.readFile(join(folder, path));
  }
  return files;
}

/** Everything under a folder in one text. */
async function contentOf(folder: string): Promise<string> {
  const files = await filesIn(folder);
  return Object.values(files).map((bytes) => new TextDecoder().decode(bytes)).join("\n");
}

Deno.test("back-translation by models from the hub", async (t) => {
  await withFolder(async (folder) => {
    const models = join(folder, "models"), experiments = join(folder, "experiments"), data = join(folder, "tables");
    await Deno.mkdir(models);
    const expected = await writeModels(models);
    await writeSyntheticDataset(data, { posts: 60, seed: 3 });

    await t.step("greedy translations are those of transformers", async () => {
      for (const [name, texts] of [["to", SENTENCES], ["from", expected.to]] as const) {
        const translator = await openTranslator(join(models, name), "fp32");
        try {
          for (const [i, text] of texts.entries()) assert.equal(await translator.translate(text), expected[name][i]);
        } finally {
          await translator.close();
        }
      }
    });

    // One repository stands for both: the loopback hub has one.
    await using hub = startHub(await filesIn(join(models, "to")));
    const env = { HF_HUB_OFFLINE: "0", HF_ENDPOINT: hub.url, HF_HOME: join(folder, "hub") };
    const settings = (name: string) => [
      ...["--json", ...TINY, "training.epochs=1", `data.id=${data}`, `paths.experiments=${join(experiments, name)}`],
      ...["augmentation=back_translation", "augmentation.prob=0.5", "augmentation.back_translation.dtype=fp32"],
      ...[
        "augmentation.back_translation.to.id=org/name",
        `augmentation.back_translation.from.id=${join(models, "from")}`,
      ],
    ];
    const train = (name: string) => runCommand("train", ["--mode", "single", ...settings(name)], env);

    await t.step("training without translations says what to do, and trains nothing", async () => {
      assertRefused(await train("a"), {
        code: 2,
        error:
          /\d+ of \d+ evidence sentences have no back-translation in .*back_translation, and this task may not run/,
        remedy: /Run `deno task translate` with the same configuration first/,
      });
      assert.ok(hub.requests.every((path) => !path.endsWith(".onnx")), "the models are not fetched");
    });

    await t.step("the task translate makes them once", async () => {
      const first = resultOf<Record<string, unknown>>(await runCommand("translate", settings("a"), env));
      assert.equal(first.folder, join(experiments, "a", "data", "back_translation"));
      assert.ok(Number(first.sentences) > 20);
      assert.equal(first.translated, first.sentences);
      assert.ok(hub.requests.some((path) => path.endsWith("onnx/decoder_model_merged.onnx")));
      const requests = hub.requests.length;
      const second = resultOf<Record<string, unknown>>(await runCommand("translate", settings("a"), env));
      assert.deepEqual(second, { ...first, translated: 0 });
      assert.equal(hub.requests.length, requests);
    });

    await t.step("training takes them, and tells how many and no word of them", async () => {
      const requests = hub.requests.length;
      const finished = await train("a");
      const result = resultOf(finished);
      assert.equal(result.trials[0]!.state, "COMPLETE");
      assert.equal(hub.requests.length, requests);
      const report = JSON.parse(
        await Deno.readTextFile(join(experiments, "a", `trial_${result.best_trial_id}`, "evaluation_report.json")),
      );
      const { made, unchanged, by_method } = report.augmentation;
      assert.ok(made > 0, JSON.stringify(report.augmentation));
      assert.deepEqual(by_method, { back_translation: { made, unchanged } });
      const event = loggedEvents(join(experiments, "a")).find(({ message }) => message === "augmentation");
      assert.deepEqual(event?.context, report.augmentation);

      const cached = await filesIn(join(experiments, "a", "data", "back_translation"));
      const translations = Object.entries(cached).filter(([path]) => !path.endsWith("models.json"))
        .map(([, bytes]) => JSON.parse(new TextDecoder().decode(bytes)).text as string)
        .filter((text) => text.length > 15);
      assert.ok(translations.length > 10);
      const elsewhere = await contentOf(join(experiments, "a", `trial_${result.best_trial_id}`, "logs")) +
        JSON.stringify(report) + finished.stderr;
      for (const text of translations) assert.ok(!elsewhere.includes(text));
    });

    await t.step("a damaged translation is made again, and models that are none are refused", async () => {
      const cache = join(experiments, "a", "data", "back_translation");
      const [path] = Object.keys(await filesIn(cache)).filter((name) => !name.endsWith("models.json"));
      const before = await Deno.readTextFile(join(cache, path!));
      await Deno.writeTextFile(join(cache, path!), before.slice(0, 5));
      const result = resultOf<Record<string, unknown>>(await runCommand("translate", settings("a"), env));
      assert.equal(result.translated, 1);
      assert.equal(await Deno.readTextFile(join(cache, path!)), before);

      const refuse = async (change: string, error: RegExp, remedy: RegExp) =>
        assertRefused(await runCommand("translate", [...settings("b"), change], env), { code: 2, error, remedy });
      await refuse(
        "augmentation.back_translation.dtype=q8",
        /The translation model org\/name has no file onnx\/encoder_model_quantized\.onnx/,
        /another augmentation\.back_translation\.dtype/,
      );
      await refuse("augmentation.back_translation.to.id=org/none", /has no model "org\/none"/, /Check the id/);
      const broken = join(folder, "broken");
      await Deno.mkdir(join(broken, "onnx"), { recursive: true });
      for (const [name, bytes] of Object.entries(await filesIn(join(models, "to")))) {
        await Deno.writeFile(join(broken, name), name.endsWith(".onnx") ? bytes.subarray(0, 1000) : bytes);
      }
      await refuse(
        `augmentation.back_translation.to.id=${broken}`,
        /broken holds no translation model: /,
        /Name ONNX models of a sequence-to-sequence family/,
      );
    });
  });
});
