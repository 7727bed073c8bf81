/**
 * Optimizers, averages and attacks in the engine: what they take of memory, that training goes on with the same bits
 * after an interruption, that evaluation and checkpoints are of the average, and that the configuration reaches them.
 */
import assert from "node:assert/strict";
import { loadConfig } from "../../lib/config/compose.ts";
import { configSchema } from "../../lib/config/schema.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { OPTIMIZERS } from "../../lib/graph/optimizer.ts";
import { embedding, wordPerturbation } from "../../lib/graph/ops/embedding.ts";
import { isTrained } from "../../lib/graph/parameters.ts";
import { adversarialPasses } from "../../lib/model/adversarial.ts";
import type { Tuning } from "../../lib/model/tuning.ts";
import { differentiate } from "../../lib/graph/autodiff.ts";
import { openDataset, trainingTexts } from "../../lib/study/data_source.ts";
import { openModel } from "../../lib/study/model_source.ts";
import { engineOptions, signatureOf, type StudyContext } from "../../lib/study/trial_context.ts";
import { createTrialCache } from "../../lib/study/trial_cache.ts";
import type { Engine } from "../../lib/train/engine.ts";
import { checkpointTensors, type ParameterArray, resumeArrays } from "../../lib/train/parameter_arrays.ts";
import { checkSignature, initialState, loadArrays } from "../../lib/train/state.ts";
import { openSafetensors } from "../../lib/weights/safetensors.ts";
import { largestDifference, norm } from "../support/golden.ts";
import { compileGraph, constant, parameter, VARIANTS } from "../support/graph_runner.ts";
import { embeddingInputs } from "../support/op_inputs.ts";
import {
  openSmall,
  planSmall,
  randomBatch,
  readArray,
  type SmallOptions,
  stepOptions,
} from "../support/small_engine.ts";
import { writeState } from "../support/write_state.ts";

const gpu = await openGpu();

const FULL: SmallOptions = {
  optimizer: { name: "lion", averageDecay: 0.9 },
  learningRates: { differentialRatio: 0.5, layerDecay: 0.8 },
  adversarialEpsilon: 0.1,
  dropout: 0.1,
};

const LORA: Tuning = {
  mode: "lora",
  freeze_layers: 0,
  lora_rank: 4,
  lora_alpha: 8,
  lora_dropout: 0.1,
  lora_targets: ["query", "value", "output"],
};

function train(engine: Engine, from: number, to: number) {
  for (let step = from; step <= to; step++) {
    engine.step([randomBatch(`${step}a`), randomBatch(`${step}b`, { length: 13 })], {
      ...stepOptions(step, 1e-2),
      draw: 2 * step,
    });
  }
}

/** Every array that a run goes on from, and the weights that it evaluates. */
async function arraysOf(engine: Engine) {
  const arrays = new Map<string, Float32Array>();
  for (const array of new Set<ParameterArray>([...resumeArrays(engine.plan.options), "parameter", "average"])) {
    for (const [name, values] of await readArray(engine, array)) arrays.set(`${array} ${name}`, values);
  }
  return arrays;
}

function assertSameBits(actual: Map<string, Float32Array>, expected: Map<string, Float32Array>) {
  assert.deepEqual([...actual.keys()], [...expected.keys()]);
  for (const [name, values] of expected) assert.equal(largestDifference(actual.get(name)!, values), 0, name);
}

Deno.test("each optimizer takes the moments that it keeps, an average as much as the parameters, and nothing else", () => {
  for (const name of Object.keys(OPTIMIZERS) as (keyof typeof OPTIMIZERS)[]) {
    const { memory } = planSmall(gpu, { optimizer: { name } });
    const { moments } = OPTIMIZERS[name];
    assert.deepEqual([memory.moments, memory.averages], [moments * memory.parameters, 0], name);
  }
  const plain = planSmall(gpu).memory, averaged = planSmall(gpu, { optimizer: { averageDecay: 0.99 } }).memory;
  assert.equal(averaged.averages, averaged.parameters);
  assert.deepEqual({ ...averaged, averages: 0, total: averaged.total - averaged.averages }, plain);
});

Deno.test("an attack takes a row per distinct token beside the activations, and its memory is predicted", async () => {
  const sizes = { lengths: [40], batchSize: 8 };
  const plain = planSmall(gpu, sizes).memory, attacked = planSmall(gpu, { ...sizes, adversarialEpsilon: 0.1 }).memory;
  assert.ok(attacked.activations < 1.05 * plain.activations, `${attacked.activations} of ${plain.activations}`);
  const before = gpu.allocatedBytes;
  const engine = await openSmall(gpu, FULL);
  train(engine, 1, 1);
  await engine.drain();
  await engine.evaluate([8, 13].map((length) => randomBatch("evaluate", { length })), stepOptions(1));
  assert.equal(gpu.allocatedBytes - before, engine.plan.memory.total);
  engine.close();
});

for (
  const [what, options] of [
    ...Object.keys(OPTIMIZERS).map((name): [string, SmallOptions] => [name, { optimizer: { name } } as SmallOptions]),
    ["an average of what adamw makes", { optimizer: { averageDecay: 0.8 } }],
    ["lion with rates by depth, an average and attacks", FULL],
  ] as [string, SmallOptions][]
) {
  Deno.test(`${what}: training goes on from a checkpoint with the same bits`, async () => {
    const folder = await Deno.makeTempDir();
    const whole = await openSmall(gpu, { dropout: 0.1, ...options });
    train(whole, 1, 2);
    const state = initialState(9, {});
    await writeState(folder, whole, state);
    train(whole, 3, 4);

    const again = await openSmall(gpu, { dropout: 0.1, ...options }, 77);
    train(again, 7, 7);
    await again.drain();
    loadArrays(folder, again, { moments: true });
    train(again, 3, 4);
    const [expected, found] = [await arraysOf(whole), await arraysOf(again)];
    assertSameBits(found, expected);
    assert.ok([...expected.values()].every((values) => values.every(Number.isFinite)));

    using moments = openSafetensors(`${folder}/optimizer.safetensors`);
    const prefixes = new Set([...moments.tensors.keys()].map((name) => name.split(".")[0]));
    assert.deepEqual([...prefixes].sort(), resumeArrays(whole.plan.options).toSorted());
    whole.close();
    again.close();
    await Deno.remove(folder, { recursive: true });
  });
}

const TUNED: Record<string, SmallOptions & { model: { tuning: Tuning } }> = {
  "attacks on frozen words below LoRA": { model: { tuning: LORA }, adversarialEpsilon: 0.1 },
  "attacks on frozen words below frozen layers": {
    model: { tuning: { mode: "freeze", freeze_layers: 1 } },
    adversarialEpsilon: 0.1,
  },
  "an average of LoRA's adapters": { model: { tuning: LORA }, optimizer: { averageDecay: 0.8 } },
  "LoRA with everything": { ...FULL, model: { tuning: LORA } },
};

for (const [what, options] of Object.entries(TUNED)) {
  Deno.test(`${what}: what is frozen keeps its bits, what is trained goes on from a checkpoint with the same`, async () => {
    const folder = await Deno.makeTempDir();
    const whole = await openSmall(gpu, { dropout: 0.1, ...options });
    const first = await readArray(whole, "parameter");
    train(whole, 1, 2);
    await writeState(folder, whole, initialState(9, {}));
    train(whole, 3, 4);
    const expected = await arraysOf(whole);
    for (const { loss, skippedSteps } of await whole.drain()) {
      assert.ok(Number.isFinite(loss));
      assert.equal(skippedSteps, 0);
    }
    assert.ok([...expected.values()].every((values) => values.every(Number.isFinite)));

    using weights = openSafetensors(`${folder}/model.safetensors`);
    const trained = whole.plan.parameters.specs.filter(isTrained).flatMap(checkpointTensors).map(({ name }) => name);
    assert.deepEqual([...weights.tensors.keys()].sort(), trained.toSorted());
    assert.ok(trained.length < first.size);
    for (const [name, values] of first) {
      for (const array of ["parameter", "average"]) {
        const moved = largestDifference(expected.get(`${array} ${name}`)!, values);
        assert.equal(moved > 0, trained.includes(name), `${array} ${name} moved by ${moved}`);
      }
    }

    const again = await openSmall(gpu, { dropout: 0.1, ...options });
    train(again, 7, 7);
    await again.drain();
    loadArrays(folder, again, { moments: true });
    train(again, 3, 4);
    assertSameBits(await arraysOf(again), expected);

    // Neither attack nor average is passed over because something is frozen.
    const plain = await openSmall(gpu, { dropout: 0.1, ...options, adversarialEpsilon: 0, optimizer: {} });
    train(plain, 1, 4);
    const head = "average criteria_head.weight";
    assert.ok(largestDifference((await arraysOf(plain)).get(head)!, expected.get(head)!) > 0);
    for (const engine of [whole, again, plain]) engine.close();
    await Deno.remove(folder, { recursive: true });
  });
}

Deno.test("evaluation and saved weights are of the average, which starts at the first parameters", async () => {
  const batch = randomBatch("average");
  const averaged = await openSmall(gpu, { optimizer: { averageDecay: 0.8 } });
  const start = await readArray(averaged, "parameter");
  assertSameBits(await readArray(averaged, "average"), start);
  train(averaged, 1, 3);
  await averaged.drain();
  const [raw, average] = [await readArray(averaged, "parameter"), await readArray(averaged, "average")];
  for (const [name, values] of average) {
    // 0.8³ of the start is still in it.
    const moved = norm(values.map((value, i) => value - start.get(name)![i]!));
    const further = norm(raw.get(name)!.map((value, i) => value - start.get(name)![i]!));
    assert.ok(moved > 0 && moved < 0.7 * further, `${name}: ${moved} of ${further}`);
  }
  const evaluated = await averaged.evaluate([batch], stepOptions(1));

  const folder = await Deno.makeTempDir();
  await writeState(folder, averaged, initialState(9, {}));
  const plain = await openSmall(gpu, {}, 5);
  loadArrays(folder, plain, { moments: false });
  assertSameBits(await readArray(plain, "parameter"), average);
  const alone = await plain.evaluate([batch], stepOptions(1));
  assert.deepEqual(alone, evaluated);
  // The average of an engine that only evaluates is what it has loaded.
  const other = await openSmall(gpu, { optimizer: { averageDecay: 0.8 } }, 6);
  loadArrays(folder, other, { moments: false });
  assert.deepEqual(await other.evaluate([batch], stepOptions(1)), evaluated);
  for (const engine of [averaged, plain, other]) engine.close();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a step that is skipped leaves the average as it was", async () => {
  const engine = await openSmall(gpu, { optimizer: { averageDecay: 0.8 }, adversarialEpsilon: 0.1 });
  train(engine, 1, 1);
  const before = await arraysOf(engine);
  const batch = randomBatch("skip");
  engine.step([{ ...batch, labels: batch.labels.map(() => Infinity) }], stepOptions(2));
  assertSameBits(await arraysOf(engine), before);
  assert.equal((await engine.drain()).at(-1)!.skippedSteps, 1);
  engine.close();
});

for (const [variant, target] of Object.entries(VARIANTS)) {
  Deno.test(`an attack moves each word along its gradient, frozen or not, and padding nowhere (${variant})`, async () => {
    const [vocabulary, width, size, length, epsilon, pad] = [12, 8, 2, 5, 0.25, 0];
    const ids = Uint32Array.from([3, 7, 3, 11, 0, 5, 3, 7, 7, 0]);
    const mask = Uint32Array.from(ids, (id) => Number(id !== pad));
    const { leaves, attributes } = embeddingInputs({ size, length, ids, mask }, pad);
    const table = Float32Array.from({ length: vocabulary * width }, (_, i) => Math.sin(i));
    const dy = Float32Array.from({ length: size * length * width }, (_, i) => Math.cos(3 * i));
    for (const kind of ["parameter", "constant"] as const) {
      const graph = compileGraph(gpu, {
        inputs: {
          word: (kind === "parameter" ? parameter : constant)([vocabulary, width], table),
          position: constant([length, width], new Float32Array(length * width)),
          dy: constant([size, length, width], dy),
          ...leaves,
        },
        build: (g, t) => {
          const outputs = { clean: t["dy"]!, attacked: t["dy"]! };
          const words = { word: t["word"]!, wordSegments: attributes(t).wordSegments, epsilon };
          const gradient = g.fixed("d word", [vocabulary, width], "gradient", { chunk: 0, offset: 0, size: 384 });
          adversarialPasses(g, words, (perturbation, attacked) => {
            const inputs = { word: t["word"]!, position: t["position"]! };
            const y = embedding(g, inputs, { ...attributes(t), ...perturbation });
            outputs[attacked ? "attacked" : "clean"] = y;
            return differentiate(g, new Map([[y, t["dy"]!]]), () => gradient);
          });
          return { outputs };
        },
      }, target);
      const check = async (dy: Float32Array, factor: number) => {
        const { outputs, gradients } = await graph.run({ dy });
        const rows = new Float64Array(vocabulary * width);
        ids.forEach((id, token) => {
          if (id === pad) return;
          for (let c = 0; c < width; c++) rows[id * width + c]! += dy[token * width + c]!;
        });
        const expected = Float32Array.from(
          { length: size * length * width },
          (_, i) => factor === 0 ? 0 : factor * rows[ids[Math.floor(i / width)]! * width + i % width]! / norm(rows),
        );
        const moved = outputs.attacked.map((value, i) => value - outputs.clean[i]!);
        assert.ok(largestDifference(moved, expected) < 1e-6, `${kind} moved`);
        assert.equal(moved.every((value) => value === 0), factor === 0);
        if (kind === "parameter" && Number.isFinite(norm(rows))) {
          // Of both passes, which are alike here.
          assert.ok(largestDifference(gradients["word"]!, rows.map((value) => 2 * value)) < 1e-5, "gradient");
        }
      };
      await check(dy, epsilon);
      await check(new Float32Array(dy.length), 0);
      await check(dy.map((value, i) => i === 3 ? Infinity : value), 0);
      graph.close();
    }
  });
}

Deno.test("a perturbation has at most a row per token or per row of the table, and one behind them", () => {
  const { leaves, attributes } = embeddingInputs({ size: 1, length: 3, ids: Uint32Array.from([1, 2, 1]) }, 0);
  const rowsFor = (vocabulary: number) => {
    let rows = 0;
    compileGraph(gpu, {
      inputs: { word: constant([vocabulary, 4], new Float32Array(4 * vocabulary)), ...leaves },
      build: (g, t) => {
        rows = wordPerturbation(g, t["word"]!, attributes(t).wordSegments).shape[0]!;
        return { outputs: {} };
      },
    }).close();
    return rows;
  };
  assert.deepEqual([rowsFor(2), rowsFor(90)], [3, 4]);
});

Deno.test("the configuration names every optimizer, and what it asks for reaches the engine and the signature", async () => {
  assert.deepEqual(configSchema.shape.training.shape.optimizer.options, Object.keys(OPTIMIZERS));
  const settings = { file: "configs/quickstart.yaml" };
  const contextOf = async (overrides: string[]): Promise<StudyContext> => {
    const config = loadConfig({ ...settings, overrides: ["data.synthetic.posts=30", ...overrides] });
    const data = await openDataset(config);
    return {
      config,
      studyId: "study",
      gpu,
      data,
      model: await openModel(config, trainingTexts(config, data)),
      signal: new AbortController().signal,
      cache: createTrialCache(),
    };
  };
  const plain = await contextOf([]),
    lion = await contextOf([
      "training.optimizer=lion",
      "training.adam_beta2=0.99",
      "training.ema_decay=0.995",
      "training.layer_wise_lr_decay=0.9",
      "training.differential_lr_ratio=0.3",
      "training.adversarial_epsilon=0.005",
    ]);
  const common = { weightDecay: 0.01, beta1: 0.9, epsilon: 1e-8, maxGradNorm: 1 };
  const { optimizer, learningRates, adversarialEpsilon } = engineOptions(lion);
  assert.deepEqual(optimizer, { ...common, name: "lion", beta2: 0.99, averageDecay: 0.995 });
  assert.deepEqual(learningRates, { differentialRatio: 0.3, layerDecay: 0.9 });
  assert.equal(adversarialEpsilon, 0.005);
  assert.deepEqual(engineOptions(plain).optimizer, { ...common, name: "adamw", beta2: 0.999, averageDecay: undefined });
  assert.equal(
    engineOptions(await contextOf(["training.optimizer=sgd", "training.momentum=0.8"])).optimizer.beta1,
    0.8,
  );
  assert.throws(() => checkSignature(signatureOf(lion), signatureOf(plain), "It"), {
    kind: "input",
    message: /optimizer is "lion", not "adamw"; ema_decay is 0.995, not null/,
  });
});
