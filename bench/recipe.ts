/**
 * Winnow against PyTorch on one recipe: `deno task bench:recipe [--config FILE] [--seeds N] [--max-steps N]
 * [--folder FOLDER] [key=value ...]`. Prints the largest relative difference of the first 50 losses and the test metrics
 * of both, each seed and their mean; the last line is one JSON object.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadConfig } from "../lib/config/compose.ts";
import { openGpu } from "../lib/gpu/device.ts";
import { compareRecipe, type RecipeComparison } from "./recipe_peer.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    config: { type: "string", default: "configs/tweet_minilm.yaml" },
    seeds: { type: "string", default: "3" },
    "max-steps": { type: "string" },
    folder: { type: "string", default: ".cache/recipe" },
  },
});
const gpu = await openGpu();
const runs: RecipeComparison[] = [];
for (let seed = 1; seed <= Number(values.seeds); seed++) {
  const config = loadConfig({ file: values.config, overrides: [...positionals, `seed=${seed}`] });
  const limit = values["max-steps"];
  const run = await compareRecipe(
    config,
    gpu,
    join(values.folder, `seed_${seed}`),
    limit === undefined ? {} : { maxSteps: Number(limit) },
  );
  runs.push(run);
  console.error(JSON.stringify({ seed, winnow: run.winnow.test, pytorch: run.pytorch.test }));
}
const curve = (run: RecipeComparison) =>
  Math.max(...run.winnow.loss.slice(0, 50).map((loss, i) => Math.abs(loss / run.pytorch.loss[i]! - 1)));
const mean = (engine: "winnow" | "pytorch", name: string) =>
  runs.reduce((sum, run) => sum + (run[engine].test[name] ?? NaN), 0) / runs.length;
const names = Object.keys(runs[0]!.winnow.test);
console.log(JSON.stringify({
  bench: "recipe",
  adapter: gpu.name,
  steps: runs[0]!.steps,
  largest_loss_difference_first_50: runs.map(curve),
  mean_test: Object.fromEntries(
    names.map((name) => [name, { winnow: mean("winnow", name), pytorch: mean("pytorch", name) }]),
  ),
  seconds: { winnow: runs.map(({ winnow }) => winnow.seconds), pytorch: runs.map(({ pytorch }) => pytorch.seconds) },
}));
Deno.exit(0);
