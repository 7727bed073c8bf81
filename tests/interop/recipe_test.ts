/** A whole training recipe against PyTorch on the same batches: the small sibling of `deno task bench:recipe`. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { compareRecipe } from "../../bench/recipe_peer.ts";
import { loadConfig } from "../../lib/config/compose.ts";
import { openGpu } from "../../lib/gpu/device.ts";

Deno.test("a recipe without dropout follows PyTorch step by step and ends in the same test metrics", async () => {
  const folder = await Deno.makeTempDir();
  const config = loadConfig({
    file: "configs/quickstart.yaml",
    overrides: [
      `paths.experiments=${join(folder, "experiments")}`,
      "model.encoder.hidden_size=32",
      "model.encoder.num_hidden_layers=1",
      "data.synthetic.posts=200",
      "training.epochs=3",
      "training.schedule=cosine",
      ...["criteria_dropout", "evidence_dropout", "hidden_dropout", "attention_dropout"].map((key) => `model.${key}=0`),
    ],
  });
  const { winnow, pytorch, steps } = await compareRecipe(config, await openGpu(), join(folder, "recipe"));
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
});
