/** Exported models are read by Python: AutoModel and AutoTokenizer, with the hidden states that they have here. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openGpu } from "../../lib/gpu/device.ts";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import { openEngine } from "../../lib/train/engine.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import { elementCount } from "../../lib/graph/tensor.ts";
import { ENCODER_FAMILIES, readEncoderConfig } from "../../lib/weights/encoder_config.ts";
import { resolveEncoderNames } from "../../lib/weights/encoder_names.ts";
import { openWeights } from "../../lib/weights/weights_file.ts";
import { linearAgents } from "../support/agents.ts";
import { writeBatch } from "../support/batch_file.ts";
import { resultOf, runCommand, withFolder } from "../support/commands.ts";
import { largestDifference, parseTensors } from "../support/golden.ts";
import { askPython } from "../support/python.ts";
import { randomBatch } from "../support/small_engine.ts";

const CRITERIA = 3;
const SIZES = { hidden_size: 48, num_hidden_layers: 2, num_attention_heads: 3, intermediate_size: 80, vocab_size: 999 };
const CONFIGS = {
  bert: { ...SIZES, max_position_embeddings: 64 },
  roberta: {
    ...{ ...SIZES, max_position_embeddings: 66, type_vocab_size: 1, layer_norm_eps: 1e-5 },
    ...{ pad_token_id: 1, bos_token_id: 0, eos_token_id: 2 },
  },
  distilbert: { dim: 48, n_layers: 2, n_heads: 3, hidden_dim: 80, vocab_size: 999, max_position_embeddings: 64 },
};
const TEXTS = ["I can't sleep 😴 and nothing is fun.", "Café, naïve, ÜBER;   so heavy.", "", "今天很累 e\u0301 [MASK]"];

for (const family of ENCODER_FAMILIES) {
  Deno.test(`an exported ${family}: the same tokens and hidden states in transformers, whole and merged`, async () => {
    await withFolder(async (root) => {
      const at = (name: string) => join(root, name);
      const make = { folder: at("base"), model_type: family, config: CONFIGS[family], seed: 3, format: "safetensors" };
      await askPython("encoder_families.py", [], [["make", make]]);
      const encoder = { ...await readEncoderConfig(at("base")) };
      const batch = randomBatch("export", { rows: 4, length: 17, filler: 1, criteria: CRITERIA, vocabulary: 999 });
      batch.ids.forEach((_, token) => {
        if (!batch.mask[token]) batch.ids[token] = encoder.pad_token_id;
      });
      await writeBatch(at("batch.safetensors"), batch);
      for (const tuning of ["full", "lora"]) {
        const place = `paths.experiments=${at(tuning)}`;
        const settings = [
          ...["data.synthetic.posts=60", "data.max_length=64", "training.max_steps=4", "training.learning_rate=5e-3"],
          ...[`model.id=${at("base")}`, `tuning.mode=${tuning}`, "tuning.lora_targets=query,output", place],
        ];
        const result = resultOf(await runCommand("train", ["--mode", "single", "--json", ...settings]));
        const folder = at(`${tuning}_model`);
        const made = await runCommand("export", ["--study-id", result.study_id, "--to", folder, "--json", place]);
        assert.equal(resultOf<{ trial_id: string }>(made).trial_id, result.best_trial_id);
        assert.match(
          await Deno.readTextFile(join(folder, "README.md")),
          /licence of the base model `base` is not known/,
        );

        const { classes, ids, missing, unexpected } = await askPython<
          { classes: string[]; ids: number[][]; missing: string[]; unexpected: string[] }
        >("export.py", [], { folder, batch: at("batch.safetensors"), out: at("hidden.safetensors"), texts: TEXTS });
        assert.match(classes[0]!, /^(Bert|Roberta|DistilBert)Model$/);
        assert.deepEqual(missing.filter((name) => !name.startsWith("pooler.")), []);
        assert.deepEqual(
          unexpected,
          ["criteria_head.bias", "criteria_head.weight", "evidence_head.bias", "evidence_head.weight"],
        );
        const tokenizer = await loadTokenizer(folder);
        assert.deepEqual(TEXTS.map((text) => [...tokenizer.encode(text).ids]), ids);

        const gpu = await openGpu();
        const still = { ...await readEncoderConfig(folder), hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 };
        const plan = planEngine(gpu, {
          model: linearAgents({ encoder: still, criteria: CRITERIA, pooling: "cls" }),
          optimizer: { name: "adamw", weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
          batchSize: batch.size,
          lengths: [batch.length],
          keepStates: true,
        });
        const engine = await openEngine(gpu, plan);
        using weights = openWeights(folder);
        engine.load(
          "parameter",
          (name, shape) => name.includes("_head.") ? new Float32Array(elementCount(shape)) : weights.readFloat32(name),
        );
        const { predictions } = await engine.evaluate([batch], { lambdaClass: 1, lambdaSpan: 1 });
        engine.close();
        const theirs = parseTensors(await Deno.readFile(at("hidden.safetensors"))).get("hidden")!.data;
        const real = (values: Float32Array) =>
          values.filter((_, i) => batch.mask[Math.floor(i / still.hidden_size)] === 1);
        const difference = largestDifference(real(predictions[0]!.states.at(-1)!), real(theirs));
        assert.ok(difference <= 2e-4, `${tuning}: the last hidden state differs by ${difference}`);
        using base = openWeights(at("base"));
        const moved = [...resolveEncoderNames(base.tensors.keys(), family)].filter(([name, stored]) =>
          largestDifference(weights.readFloat32(name), base.readFloat32(stored)) > 1e-6
        );
        assert.ok(moved.length > 0, `${tuning}: what was trained is in the export`);
      }
    });
  });
}
