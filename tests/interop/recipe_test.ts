/** A whole training recipe against PyTorch on the same batches: the small sibling of `deno task bench:recipe`. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { compareRecipe } from "../../bench/recipe_peer.ts";
import { loadConfig } from "../../lib/config/compose.ts";
import { openGpu } from "../../lib/gpu/device.ts";

const gpu = await openGpu();

/** Trains a small recipe in both engines and holds them together. */
async function follow(settings: readonly string[]) {
  const folder = await Deno.makeTempDir();
  const config = loadConfig({
    file: "configs/quickstart.yaml",
    overrides: [
      `paths.experiments=${join(folder, "experiments")}`,
      "model.encoder.hidden_size=32",
      "model.encoder.num_hidden_layers=1",
      "training.schedule=cosine",
      ...["criteria_dropout", "evidence_dropout", "hidden_dropout", "attention_dropout"].map((key) => `model.${key}=0`),
      ...settings,
    ],
  });
  const { winnow, pytorch, steps } = await compareRecipe(config, gpu, join(folder, "recipe"));
  assert.ok(steps >= 50, `${steps} steps`);
  assert.equal(winnow.loss.length, steps);
  winnow.loss.forEach((loss, step) => {
    const expected = pytorch.loss[step]!;
    assert.ok(Math.abs(loss - expected) <= 0.01 * expected, `loss ${loss} instead of ${expected} at step ${step}`);
  });
  assert.ok(winnow.loss.at(-1)! < 0.7 * winnow.loss[0]!, "the loss falls");
  for (const [name, value] of Object.entries(winnow.test)) {
    assert.ok(Math.abs(value - pytorch.test[name]!) <= 0.02, `${name} is ${value}, PyTorch's ${pytorch.test[name]}`);
  }
  await Deno.remove(folder, { recursive: true });
}

Deno.test("a recipe without dropout follows PyTorch step by step and ends in the same test metrics", () =>
  follow(["data.synthetic.posts=200", "training.epochs=3"]));

Deno.test("so does one of pairs in windows, with token types and a single output", () =>
  follow([
    "data.input_format=binary_pairs",
    "data.max_length=64",
    "data.doc_stride=10",
    "data.criteria=[SLEEP_ISSUES, APPETITE_CHANGE, FATIGUE]",
    "data.synthetic.posts=100",
    "training.epochs=2",
  ]));
