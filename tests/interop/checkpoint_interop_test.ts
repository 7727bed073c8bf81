/** What a study leaves is read by others: its checkpoint by `transformers`, its database by Optuna. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Batch } from "../../lib/data/batches.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import { openEngine } from "../../lib/train/engine.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import { loadArrays } from "../../lib/train/state.ts";
import { readEncoderConfig } from "../../lib/weights/encoder_config.ts";
import { writeSafetensors } from "../../lib/weights/safetensors.ts";
import { linearAgents, noSpans } from "../support/agents.ts";
import { askPython } from "../support/python.ts";
import { resultOf, runCommand, TINY, withFolder } from "../support/commands.ts";
import { largestDifference, parseTensors } from "../support/golden.ts";

const TEXTS = [
  "I can't sleep 😴 and nothing is fun any more.",
  "Café, naïve, ÜBER — everything feels heavy;   so heavy.",
  "",
  "今天很累 👩‍👩‍👧 e\u0301 [MASK] [SEP] <b>&amp;</b>",
  "short",
  "I have been tired all day for weeks now, I eat nothing and I do not want to see anyone, not even my best friends.",
];

const STUDY = `
defaults: [base, { model: random_small }, _self_]
study: { n_trials: 2 }
model: { criteria_pooling: mean, encoder: { num_hidden_layers: 2 } }
training: { epochs: 2, learning_rate: 3.0e-3 }
search_space:
  training.learning_rate: { type: float, low: 1.0e-3, high: 1.0e-2, log: true }
  training.warmup_ratio: { type: float, low: 0.0, high: 0.2, step: 0.1 }
  training.batch_size: { type: categorical, choices: [8, 16] }
`;

/** Runs a Python script of tests/peers and returns the JSON that it prints. */
// deno-lint-ignore no-explicit-any -- each script prints its own
async function peer(script: string, ...args: string[]): Promise<any> {
  const python = Deno.env.get("WINNOW_PYTHON");
  assert.ok(python, "Set WINNOW_PYTHON to a Python with tests/peers/requirements.txt");
  const path = new URL(`../peers/${script}`, import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command(python, { args: [path, ...args] }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
}

/** The texts as one batch, the last row filler: all padding. */
function batchOf(
  encodings: { ids: ArrayLike<number> }[],
  special: { clsId: number; sepId: number; padId: number },
): Batch {
  const size = encodings.length + 1;
  const length = Math.max(...encodings.map(({ ids }) => ids.length)) + 2;
  const ids = new Uint32Array(size * length).fill(special.padId);
  const mask = new Uint32Array(size * length);
  encodings.forEach((encoding, row) => {
    ids.set([special.clsId, ...Array.from(encoding.ids), special.sepId], row * length);
    mask.fill(1, row * length, row * length + encoding.ids.length + 2);
  });
  const criteria = 9;
  return {
    size,
    length,
    ids,
    mask,
    types: new Uint32Array(size * length),
    labels: new Float32Array(size * criteria),
    sampleWeight: Float32Array.from({ length: size }, (_, row) => row < encodings.length ? 1 : 0),
    ...noSpans(size, length, criteria),
    inputs: Array.from({ length: size }, (_, row) => row < encodings.length ? row : -1),
  };
}

Deno.test("a study is read by transformers and by Optuna", async (t) => {
  await withFolder(async (folder) => {
    const experiments = join(folder, "experiments"), config = join(folder, "study.yaml");
    await Deno.writeTextFile(config, STUDY);
    const place = ["--json", `paths.experiments=${experiments}`];
    const settings = TINY.filter((one) => !/num_hidden_layers/.test(one));
    const result = resultOf(await runCommand("train", ["--config", config, ...place, ...settings]));
    const best = result.trials.find(({ trial_id }) => trial_id === result.best_trial_id)!;
    const checkpoint = best.checkpoint!;
    const tokenizer = await loadTokenizer(checkpoint);

    await t.step("AutoTokenizer gives the same ids", async () => {
      const theirs = await askPython<[number[], [number, number][]][]>("text_tokenizers.py", ["load"], {
        folder: checkpoint,
        texts: TEXTS,
      });
      assert.deepEqual(TEXTS.map((text) => [...tokenizer.encode(text).ids]), theirs.map(([ids]) => ids));
    });

    await t.step("BertModel computes the same hidden states, and its heads the same outputs", async () => {
      const encoder = await readEncoderConfig(checkpoint);
      const { winnow } = JSON.parse(await Deno.readTextFile(join(checkpoint, "config.json")));
      const criteria = winnow.criteria.length;
      const batch = batchOf(TEXTS.map((text) => tokenizer.encode(text)), tokenizer);
      const gpu = await openGpu();
      const engine = await openEngine(
        gpu,
        planEngine(gpu, {
          model: linearAgents({ encoder, criteria, pooling: winnow.criteria_pooling }),
          optimizer: { name: "adamw", weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
          batchSize: batch.size,
          lengths: [batch.length],
          keepStates: true,
        }),
      );
      loadArrays(checkpoint, engine, { moments: false });
      const { predictions } = await engine.evaluate([batch], { lambdaClass: 1, lambdaSpan: 1 });
      engine.close();
      const [ours] = predictions;

      const input = join(folder, "batch.safetensors"), output = join(folder, "theirs.safetensors");
      const shape = [batch.size, batch.length];
      await writeSafetensors(
        input,
        (["ids", "mask", "types"] as const).map((name) => ({
          name,
          shape,
          data: () => Promise.resolve(Float32Array.from(batch[name])),
        })),
      );
      const account = await peer(
        "load_checkpoint.py",
        checkpoint,
        input,
        "--pooling",
        winnow.criteria_pooling,
        "--out",
        output,
      );
      assert.deepEqual(account.missing_keys, []);
      assert.deepEqual(
        account.unexpected_keys,
        ["criteria_head.bias", "criteria_head.weight", "evidence_head.bias", "evidence_head.weight"],
      );
      const theirs = parseTensors(await Deno.readFile(output));
      /** Rows of a [B, T, width] array at real tokens. */
      const real = (values: Float32Array, width: number) =>
        Float32Array.from(
          [...batch.mask.keys()].filter((token) => batch.mask[token]).flatMap((token) => [
            ...values.subarray(token * width, (token + 1) * width),
          ]),
        );
      const compare = (what: string, a: Float32Array, b: Float32Array) => {
        const difference = largestDifference(a, b);
        assert.ok(difference <= 1e-4, `${what} differ by ${difference}`);
        assert.ok(Math.max(...b) - Math.min(...b) > 0.01, `${what} are all alike`);
      };
      const width = encoder.hidden_size;
      compare("hidden states", real(ours!.states.at(-1)!, width), real(theirs.get("hidden")!.data, width));
      compare(
        "evidence logits",
        real(ours!.evidenceLogits!, 2 * criteria),
        real(theirs.get("evidenceLogits")!.data, 2 * criteria),
      );
      const rows = TEXTS.length * criteria;
      const probability = (logit: number) => 1 / (1 + Math.exp(-logit));
      compare(
        "probabilities",
        ours!.probabilities.subarray(0, rows),
        theirs.get("criteriaLogits")!.data.subarray(0, rows).map(probability),
      );
    });

    await t.step(
      "Optuna finds the study, its trials and its best one; adding a trial there harms nothing",
      async () => {
        const seen = await peer("optuna_read.py", join(experiments, "study.db"), result.study_id);
        assert.equal(seen.direction, "MAXIMIZE");
        assert.equal(seen.best, best.number);
        const summary = JSON.parse(await Deno.readTextFile(result.summary_report));
        for (const [i, trial] of result.trials.entries()) {
          const report = JSON.parse(
            await Deno.readTextFile(join(experiments, `trial_${trial.trial_id}`, "evaluation_report.json")),
          );
          const { number, state, value, params, intermediate, attributes } = seen.trials[i];
          assert.deepEqual([number, state, value], [trial.number, trial.state, trial.value]);
          assert.deepEqual(params, summary.trials[i].params);
          assert.equal(attributes["winnow:trial_id"], trial.trial_id);
          assert.deepEqual(
            intermediate,
            Object.fromEntries(
              report.epochs.map((one: { epoch: number; validation: Record<string, number> }) => [
                one.epoch,
                one.validation[result.metric],
              ]),
            ),
          );
        }
        assert.equal(
          seen.trials[0].params["training.learning_rate"],
          3e-3,
          "the first trial is the configuration's own",
        );
        const evaluate = ["--study-id", result.study_id, ...place];
        assert.deepEqual(resultOf(await runCommand("evaluate", evaluate)), result);
        assert.deepEqual(resultOf(await runCommand("resume", place)), result);
      },
    );
  });
});
