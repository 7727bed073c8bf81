/**
 * The three families of encoders against `transformers`: checkpoints written by Python in the three file formats give
 * the same hidden states and gradients here, and checkpoints written here give the same hidden states there.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Batch } from "../../lib/data/batches.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import { type Engine, openEngine } from "../../lib/train/engine.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import { loadArrays } from "../../lib/train/state.ts";
import {
  ENCODER_FAMILIES,
  type EncoderConfig,
  type EncoderFamily,
  parseEncoderConfig,
  readEncoderConfig,
} from "../../lib/weights/encoder_config.ts";
import { resolveEncoderNames } from "../../lib/weights/encoder_names.ts";
import { openWeights } from "../../lib/weights/weights_file.ts";
import { linearAgents, noSpans } from "../support/agents.ts";
import { resultOf, runCommand, withFolder } from "../support/commands.ts";
import { cosine, largestDifference, norm, parseTensors, relativeDifference } from "../support/golden.ts";
import { writeBatch } from "../support/batch_file.ts";
import { askPython } from "../support/python.ts";
import { randomBatch } from "../support/small_engine.ts";

const FORMATS = ["safetensors", "pytorch", "flax"] as const;
const CRITERIA = 3;

/** Small and odd: three heads of 16, a vocabulary that no tile divides. */
const CONFIGS: Record<EncoderFamily, Record<string, unknown>> = {
  bert: {
    ...{ hidden_size: 48, num_hidden_layers: 2, num_attention_heads: 3, intermediate_size: 80, vocab_size: 999 },
    max_position_embeddings: 64,
  },
  roberta: {
    ...{ hidden_size: 48, num_hidden_layers: 2, num_attention_heads: 3, intermediate_size: 80, vocab_size: 999 },
    ...{ max_position_embeddings: 66, type_vocab_size: 1, layer_norm_eps: 1e-5, hidden_act: "gelu_new" },
    // Those of the vocabulary that the peer writes.
    ...{ pad_token_id: 1, bos_token_id: 0, eos_token_id: 2 },
  },
  distilbert: {
    ...{ dim: 48, n_layers: 2, n_heads: 3, hidden_dim: 80, vocab_size: 999, max_position_embeddings: 64 },
  },
};

/** Opens an engine on an encoder without any dropout, its states readable. */
async function engineFor(encoder: EncoderConfig, batch: Batch, criteria: number, pooling: "cls" | "mean") {
  const gpu = await openGpu();
  const still = { ...encoder, hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 };
  return await openEngine(
    gpu,
    planEngine(gpu, {
      model: linearAgents({ encoder: still, criteria, pooling }),
      optimizer: { name: "adamw", weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
      batchSize: batch.size,
      lengths: [batch.length],
      keepStates: true,
    }),
  );
}

/** Random texts with padding, a filler row, and the padding id inside the first text. */
function batchFor({ pad_token_id, vocab_size }: EncoderConfig): Batch {
  const batch = randomBatch("families", { rows: 4, length: 17, filler: 1, criteria: CRITERIA, vocabulary: vocab_size });
  batch.ids.forEach((_, token) => {
    if (!batch.mask[token]) batch.ids[token] = pad_token_id;
  });
  batch.ids[5] = pad_token_id;
  return batch;
}

/** Every tensor of the encoder in a folder, by the family's own names. */
function encoderTensors(folder: string, family: EncoderFamily): Map<string, Float32Array<ArrayBuffer>> {
  using file = openWeights(folder);
  const names = resolveEncoderNames(file.tensors.keys(), family);
  return new Map([...names].map(([name, stored]) => [name, file.readFloat32(stored)]));
}

/** Compares every gradient by the rules of docs/numerics.md. */
async function compareGradients(engine: Engine, expectedOf: (name: string) => Float32Array) {
  const tensors: [string, Float32Array][] = [];
  for (const { name, data } of engine.tensors("gradient")) tensors.push([name, await data()]);
  const whole = Math.sqrt(tensors.reduce((sum, [name]) => sum + norm(expectedOf(name)) ** 2, 0));
  for (const [name, actual] of tensors) {
    const expected = expectedOf(name);
    if (norm(expected) === 0) {
      assert.equal(norm(actual), 0, `${name}: expected no gradient`);
    } else if (/self\.key\.bias$|k_lin\.bias$|^evidence_head\.bias$/.test(name)) {
      assert.ok(norm(actual) <= 1e-5 * whole, `${name}: ‖g‖ = ${norm(actual)} of ${whole}`);
    } else {
      const relative = relativeDifference(actual, expected), alike = cosine(actual, expected);
      assert.ok(relative <= 1e-3, `${name}: relative difference ${relative}`);
      assert.ok(alike >= 0.99999, `${name}: cosine ${alike}`);
    }
  }
}

for (const family of ENCODER_FAMILIES) {
  Deno.test(`${family} checkpoints in three formats: same bytes, hidden states and gradients as transformers`, async (t) => {
    await withFolder(async (root) => {
      const config = CONFIGS[family];
      const encoder = parseEncoderConfig({ model_type: family, ...config }, "config.json");
      const batch = batchFor(encoder);
      const batchPath = join(root, "batch.safetensors"), out = join(root, "reference.safetensors");
      await writeBatch(batchPath, batch);
      const request = { folder: join(root, "safetensors"), batch: batchPath, out, criteria: CRITERIA, pooling: "mean" };
      const answers = await askPython<{ loss: number }[]>("encoder_families.py", [], [
        ...FORMATS.map((format) => ["make", {
          ...{ folder: join(root, format), model_type: family, config, seed: 3, format },
          oldNames: format === "pytorch", // as bert-base-uncased has them
        }]),
        ["reference", request],
      ]);
      const { loss } = answers.at(-1)!;
      const reference = parseTensors(await Deno.readFile(out));
      const first = encoderTensors(join(root, "safetensors"), family);
      const layers = encoder.num_hidden_layers;
      assert.equal(first.size, family === "distilbert" ? 4 + 16 * layers : 5 + 16 * layers);

      for (const format of FORMATS) {
        await t.step(format, async () => {
          const folder = join(root, format);
          assert.deepEqual(await readEncoderConfig(folder), encoder);
          const tensors = encoderTensors(folder, family);
          assert.deepEqual([...tensors.keys()].sort(), [...first.keys()].sort());
          for (const [name, values] of tensors) {
            assert.deepEqual(new Uint8Array(values.buffer), new Uint8Array(first.get(name)!.buffer), name);
          }
          const engine = await engineFor(encoder, batch, CRITERIA, "mean");
          engine.load("parameter", (name) => tensors.get(name) ?? reference.get(name)!.data);
          const lambdas = { lambdaClass: 1, lambdaSpan: 0.7 };
          const { predictions, criteriaLoss, spanLoss } = await engine.evaluate([batch], lambdas);
          assert.ok(Math.abs(criteriaLoss + spanLoss - loss) <= 1e-5, `loss ${criteriaLoss + spanLoss}, not ${loss}`);
          const { states } = predictions[0]!;
          assert.equal(states.length, layers + 1);
          states.forEach((state, layer) => {
            const difference = largestDifference(state, reference.get(`hidden.${layer}`)!.data);
            assert.ok(difference <= 2e-4, `hidden state ${layer} differs by ${difference}`);
          });
          engine.gradient(batch, { ...lambdas, seed: 0, step: 1, learningRate: 0, draw: 0 });
          await compareGradients(engine, (name) => reference.get(`grad.${name}`)!.data);
          engine.close();
        });
      }
    });
  });
}

Deno.test("a config.json with nothing but the type means what transformers takes it for", async () => {
  const calls = ENCODER_FAMILIES.map((model_type) => ["defaults", { model_type }]);
  const theirs = await askPython<Record<string, unknown>[]>("encoder_families.py", [], calls);
  ENCODER_FAMILIES.forEach((model_type, i) =>
    assert.deepEqual(parseEncoderConfig({ model_type }, "ours"), parseEncoderConfig(theirs[i], "theirs"))
  );
});

for (const family of ["roberta", "distilbert"] as const) {
  Deno.test(`a study of a ${family}: its checkpoint is read by transformers, and evaluated again here`, async () => {
    await withFolder(async (root) => {
      const model = join(root, "model"), experiments = join(root, "experiments");
      const make = { folder: model, model_type: family, config: CONFIGS[family], seed: 5, format: "pytorch" };
      await askPython("encoder_families.py", [], [["make", make]]);
      const place = ["--json", `paths.experiments=${experiments}`];
      const settings = ["data.synthetic.posts=60", "data.max_length=64", "training.epochs=1"];
      const study = ["--mode", "single", `model.id=${model}`, ...settings];
      const result = resultOf(await runCommand("train", [...study, ...place]));
      const checkpoint = result.trials[0]!.checkpoint!;
      const encoder = await readEncoderConfig(checkpoint);
      // The default configuration trains without dropout.
      const still = { hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 };
      assert.deepEqual(encoder, { ...await readEncoderConfig(model), ...still });
      const { winnow } = JSON.parse(await Deno.readTextFile(join(checkpoint, "config.json")));
      assert.deepEqual(winnow.base, { id: model, revision: "local" });
      const trained = encoderTensors(checkpoint, family), before = encoderTensors(model, family);
      assert.deepEqual([...trained.keys()].sort(), [...before.keys()].sort());
      const word = "embeddings.word_embeddings.weight";
      assert.ok(largestDifference(trained.get(word)!, before.get(word)!) > 0, "the embeddings were trained");

      const batch = batchFor(encoder);
      const input = join(root, "batch.safetensors"), output = join(root, "theirs.safetensors");
      await writeBatch(input, batch);
      const python = Deno.env.get("WINNOW_PYTHON")!;
      const script = new URL("../peers/load_checkpoint.py", import.meta.url).pathname;
      const args = [script, checkpoint, input, "--pooling", winnow.criteria_pooling, "--out", output];
      const { success, stdout, stderr } = await new Deno.Command(python, { args }).output();
      assert.ok(success, new TextDecoder().decode(stderr));
      const account = JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
      assert.deepEqual(account.missing_keys, []);
      assert.equal(account.unexpected_keys.length, 4, "the two heads");

      const engine = await engineFor(encoder, batch, winnow.criteria.length, winnow.criteria_pooling);
      loadArrays(checkpoint, engine, { moments: false });
      const filled: Batch = {
        ...batch,
        labels: new Float32Array(batch.size * winnow.criteria.length),
        ...noSpans(batch.size, batch.length, winnow.criteria.length),
      };
      const { predictions } = await engine.evaluate([filled], { lambdaClass: 1, lambdaSpan: 1 });
      engine.close();
      const difference = largestDifference(
        predictions[0]!.states.at(-1)!,
        parseTensors(await Deno.readFile(output)).get("hidden")!.data,
      );
      assert.ok(difference <= 2e-4, `the last hidden state differs by ${difference}`);

      assert.deepEqual(resultOf(await runCommand("evaluate", ["--study-id", result.study_id, ...place])), result);
      const again = ["--mode", "single", `model.id=${checkpoint}`, ...settings, "training.max_steps=1", "--json"];
      const continued = resultOf(await runCommand("train", [...again, `paths.experiments=${join(root, "again")}`]));
      assert.equal(continued.trials[0]!.state, "COMPLETE");

      const tooLong = await runCommand("train", [...study, "data.max_length=65", ...place]);
      assert.equal(tooLong.code, 2);
      assert.match(tooLong.stderr, /data\.max_length is 65 but .* has 64 positions/);
      const tokenizer = await loadTokenizer(checkpoint);
      assert.equal(tokenizer.padId, encoder.pad_token_id);
    });
  });
}
