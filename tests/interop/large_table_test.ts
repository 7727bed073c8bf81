/**
 * A word table larger than a binding, 119,547 × 768 as in multilingual DistilBERT: one AdamW step with bindings of 128 MiB
 * against PyTorch, from the same checkpoint. Takes about 2 GB.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openGpu } from "../../lib/gpu/device.ts";
import { targetOf } from "../../lib/graph/graph.ts";
import { type Engine, openEngine } from "../../lib/train/engine.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import type { ParameterArray } from "../../lib/train/parameter_arrays.ts";
import { encoderConfigJson, parseEncoderConfig } from "../../lib/weights/encoder_config.ts";
import { writeSafetensors } from "../../lib/weights/safetensors.ts";
import { linearAgents } from "../support/agents.ts";
import { withFolder } from "../support/commands.ts";
import { largestDifference, norm, parseTensors, relativeDifference } from "../support/golden.ts";
import { askPython } from "../support/python.ts";
import { randomBatch } from "../support/small_engine.ts";
import { writeBatch } from "../support/batch_file.ts";

const [VOCABULARY, HIDDEN, CRITERIA] = [119_547, 768, 3];
const WORDS = "embeddings.word_embeddings.weight";
const BINDING = 128 * 2 ** 20;
const OPTIMIZER = { weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 };
const STEP = { seed: 1, step: 1, learningRate: 1e-2, draw: 0, lambdaClass: 1, lambdaSpan: 0.5 };

/** Numbers from a hash of their index, since a hundred million normal ones take too long: uniform, mean 0 or 1. */
function fill(name: string, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
  const isGain = /layer_norm\.weight$|LayerNorm\.weight$/.test(name);
  const [mean, spread] = isGain ? [1, 0.2] : [0, 0.1];
  const start = [...name].reduce((hash, letter) => Math.imul(hash, 31) + letter.charCodeAt(0), 7);
  for (let i = 0; i < values.length; i++) {
    const mixed = Math.imul((i + start) ^ ((i + start) >>> 15), 0x2c1b3c6d);
    values[i] = mean + spread * ((Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39) >>> 0) / 2 ** 31 - 1);
  }
  return values;
}

/** The arrays of an engine; of the word table only the rows, and the largest magnitude in those which are not listed. */
async function read(engine: Engine, array: ParameterArray, rows: readonly number[]) {
  const values = new Map<string, Float32Array>();
  let otherRows = 0;
  for (const { name, data } of engine.tensors(array)) {
    const whole = await data();
    if (name !== WORDS) {
      values.set(name, whole);
      continue;
    }
    const wanted = new Float32Array(rows.length * HIDDEN);
    rows.forEach((row, i) => {
      const start = row * HIDDEN;
      wanted.set(whole.subarray(start, start + HIDDEN), i * HIDDEN);
      whole.fill(0, start, start + HIDDEN);
    });
    values.set(name, wanted);
    for (let i = 0; i < whole.length; i++) if (!(Math.abs(whole[i]!) <= otherRows)) otherRows = Math.abs(whole[i]!);
  }
  return { values, otherRows };
}

Deno.test("a word table of 119,547 x 768 trains over bindings of 128 MiB: gradient and AdamW step equal PyTorch's", () =>
  withFolder(async (folder) => {
    const gpu = await openGpu();
    const encoder = parseEncoderConfig({
      ...{ model_type: "distilbert", vocab_size: VOCABULARY, dim: HIDDEN, n_layers: 1, n_heads: 12, hidden_dim: 1024 },
      ...{ max_position_embeddings: 64, dropout: 0, attention_dropout: 0 },
    }, "config.json");
    const batch = randomBatch("large table", { rows: 4, length: 16, criteria: CRITERIA, vocabulary: VOCABULARY });
    // The same word twice in one text and in two; the first and the last of the table; a row on each side of both seams.
    const seam = Math.floor(BINDING / (4 * HIDDEN));
    batch.ids.set([1, 7, 7, VOCABULARY - 1, seam - 1, seam, seam + 1, 2 * seam - 1, 2 * seam, 2 * seam + 1], 0);
    batch.ids.set([101, 7], 16);
    const target = { ...targetOf(gpu), maxBindingBytes: Math.min(BINDING, gpu.limits.maxStorageBufferBindingSize) };
    const plan = planEngine(gpu, {
      model: linearAgents({ encoder, criteria: CRITERIA, pooling: "mean" }),
      optimizer: { name: "adamw", ...OPTIMIZER },
      batchSize: batch.size,
      lengths: [batch.length],
    }, target);
    const windows = plan.training.get(batch.length)!.graph.calls.filter(({ kernel }) =>
      kernel.name === "embedding_forward"
    );
    assert.equal(windows.length, 3, "the table is bound in three windows");

    const engine = await openEngine(gpu, plan);
    try {
      engine.load("parameter", fill);
      await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(encoderConfigJson(encoder)));
      await writeSafetensors(join(folder, "model.safetensors"), engine.tensors("parameter"));
      await writeBatch(join(folder, "batch.safetensors"), batch);
      const touched = [...new Set(batch.ids)].sort((a, b) => a - b);
      // Two rows that no text has: their gradient is 0, but weight decay moves them.
      const rows = [...touched, 2, VOCABULARY - 2];
      assert.equal(new Set(rows).size, rows.length);
      const out = join(folder, "expected.safetensors");
      const answer = await askPython<{ loss: number; gradientNorm: number; otherRows: number }>("large_table.py", [], {
        folder,
        batch: join(folder, "batch.safetensors"),
        out,
        criteria: CRITERIA,
        pooling: "mean",
        rows,
        optimizer: { ...OPTIMIZER, learningRate: STEP.learningRate },
      });
      assert.equal(answer.otherRows, 0);
      const expected = parseTensors(await Deno.readFile(out));

      engine.gradient(batch, STEP);
      const gradient = await read(engine, "gradient", rows);
      assert.equal(gradient.otherRows, 0, "a row without a token has a gradient");
      for (const [name, values] of gradient.values) {
        const other = expected.get(`grad.${name}`)!.data;
        if (/k_lin\.bias$|^evidence_head\.bias$/.test(name)) {
          assert.ok(norm(values) <= 1e-5 * answer.gradientNorm, `${name}: ${norm(values)}`);
        } else {
          assert.ok(
            relativeDifference(values, other) <= 1e-4,
            `gradient of ${name}: ${relativeDifference(values, other)}`,
          );
        }
      }
      // Row by row, so that none hides behind a larger one.
      const table = gradient.values.get(WORDS)!, tableExpected = expected.get(`grad.${WORDS}`)!.data;
      rows.forEach((row, i) => {
        const [found, other] = [table, tableExpected].map((all) => all.subarray(i * HIDDEN, (i + 1) * HIDDEN));
        assert.ok(norm(other!) === 0 ? norm(found!) === 0 : relativeDifference(found!, other!) <= 1e-4, `row ${row}`);
      });

      engine.load("gradient", (_, shape) => new Float32Array(shape.reduce((product, size) => product * size, 1)));
      engine.step([batch], STEP);
      const metrics = (await engine.drain()).at(-1)!;
      assert.ok(Math.abs(metrics.loss - answer.loss) <= 1e-5, `loss ${metrics.loss}, not ${answer.loss}`);
      const relative = Math.abs(metrics.gradientNorm / answer.gradientNorm - 1);
      assert.ok(relative <= 1e-5, `norm ${metrics.gradientNorm}, not ${answer.gradientNorm}`);
      const after = await read(engine, "parameter", rows);
      for (const [name, values] of after.values) {
        if (/k_lin\.bias$|^evidence_head\.bias$/.test(name)) continue;
        const difference = relativeDifference(values, expected.get(`after.${name}`)!.data);
        assert.ok(difference <= 1e-4, `${name} after the step: ${difference}`);
      }
      const clip = Math.min(1, OPTIMIZER.maxGradNorm / (answer.gradientNorm + 1e-6));
      const moment = (await read(engine, "first_moment", rows)).values.get(WORDS)!;
      const scaled = tableExpected.map((value) => 0.1 * clip * value);
      assert.ok(relativeDifference(moment, scaled) <= 1e-4, `moment: ${largestDifference(moment, scaled)}`);
      assert.equal((await read(engine, "gradient", rows)).otherRows, 0);
    } finally {
      engine.close();
    }
  }));
