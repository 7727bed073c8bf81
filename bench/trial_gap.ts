/**
 * The gap between two trials of one encoder, by phase, and the time from the start of `deno task train` to its first step
 * with the driver's cache of compiled kernels empty and filled:
 * `deno task bench:trial_gap [--config configs/quickstart.yaml] [--trials 4] [--rounds 3] [--json] [key=value ...]`. Only the
 * learning rate differs between the trials. The cache is a folder of its own (`MESA_SHADER_CACHE_DIR`): other drivers than
 * Mesa's have theirs elsewhere, and both figures are then of a filled one.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { resultOf, runCommand, startCommand, trialFolders, withFolder } from "../tests/support/commands.ts";
import { median } from "../lib/support/median.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    config: { type: "string", default: "configs/quickstart.yaml" },
    trials: { type: "string", default: "4" },
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds), trials = Number(values.trials);
const COMMON = ["--json", "--config", values.config, ...positionals];

const hasStepped = (experiments: string) =>
  trialFolders(experiments).some((folder) => {
    try {
      return Deno.readTextFileSync(join(folder, "logs", "training.jsonl")).includes(`"message":"first step"`);
    } catch {
      return false; // not there yet
    }
  });

/** Milliseconds from the start of `train` until its first step is queued, where it is killed. */
async function toFirstStep(experiments: string, shaders: string): Promise<number> {
  const started = performance.now();
  const { child, done, until } = startCommand(
    "train",
    [...COMMON, "--mode", "single", `paths.experiments=${experiments}`],
    { MESA_SHADER_CACHE_DIR: shaders },
  );
  await until("its first step", () => hasStepped(experiments));
  const milliseconds = performance.now() - started;
  child.kill("SIGKILL");
  await done;
  return milliseconds;
}

await withFolder(async (folder) => {
  const cold: number[] = [], warm: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const shaders = join(folder, `shaders${round}`);
    await Deno.mkdir(shaders);
    cold.push(await toFirstStep(join(folder, `cold${round}`), shaders));
    warm.push(await toFirstStep(join(folder, `warm${round}`), shaders));
  }
  const rates = Array.from(
    { length: trials },
    (_, i) => `{training.learning_rate: ${(1e-3 * (1 + i / 10)).toFixed(5)}}`,
  );
  const study = [
    ...["training.epochs=1", `study.n_trials=${trials}`, `study.enqueue=[${rates.join(", ")}]`, "study.pruner=none"],
    "search_space={training.learning_rate: {type: float, low: 1e-5, high: 1e-1, log: true}}",
    `paths.experiments=${join(folder, "gaps")}`,
  ];
  const { summary_report } = resultOf(await runCommand("train", [...COMMON, ...study]));
  const { trial_gaps } = JSON.parse(await Deno.readTextFile(summary_report));
  const result = {
    bench: "trial_gap",
    config: values.config,
    rounds,
    trials,
    start_to_first_step_cold_ms: Math.round(median(cold)),
    start_to_first_step_warm_ms: Math.round(median(warm)),
    gap: trial_gaps,
  };
  console.log(values.json ? JSON.stringify(result) : result);
});
