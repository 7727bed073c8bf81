/**
 * Time of a whole study of a trivial objective, database writes included, in Winnow and in Optuna on files of one disk:
 * `deno task bench:study --trials 1000 --rounds 3 --json`. The two take turns; the ratio is that of the medians.
 * WINNOW_PYTHON names the Python that has Optuna. The last line with --json is one object.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { randomSampler } from "../lib/hpo/samplers/random.ts";
import type { Sampler } from "../lib/hpo/samplers/sampler.ts";
import { tpeSampler } from "../lib/hpo/samplers/tpe.ts";
import { createStudy, type Study, type Trial } from "../lib/hpo/study.ts";
import { median } from "../lib/support/median.ts";

const { values } = parseArgs({
  options: {
    trials: { type: "string", default: "1000" },
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});

function count(name: "trials" | "rounds"): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`error: Expected --${name} to be an integer above 0 but found ${JSON.stringify(values[name])}`);
  Deno.exit(2);
}

const trials = count("trials"), rounds = count("rounds");

/** By Optuna's name of the strategy. */
const samplers: Record<string, () => Sampler> = {
  random: () => randomSampler({ seed: 1 }),
  tpe: () => tpeSampler({ seed: 1 }),
};

/** The objective of tests/peers/study_speed.py. */
function objective(trial: Trial): number {
  const x = trial.suggestFloat("x", -5, 10);
  const rate = trial.suggestFloat("rate", 1e-5, 1e-1, { log: true });
  const layers = trial.suggestInt("layers", 1, 8);
  const pooling = trial.suggestCategorical("pooling", ["cls", "mean", "max"]);
  return (x - 2) ** 2 + rate + layers + pooling.length;
}

/** The two ways to run a study: two transactions for a trial, or one. */
const loops: Record<string, (study: Study) => void | Promise<void>> = {
  "ask and tell": (study) => {
    for (let i = 0; i < trials; i++) {
      const trial = study.ask();
      study.tell(trial, objective(trial));
    }
  },
  optimize: (study) => study.optimize(objective, { nTrials: trials }),
};

async function winnow(path: string, sampler: string, loop: string): Promise<number> {
  const started = performance.now();
  using study = createStudy({ storage: path, direction: "minimize", sampler: samplers[sampler]!() });
  await loops[loop]!(study);
  const seconds = (performance.now() - started) / 1000;
  if (study.trials.length !== trials) throw new Error(`Expected ${trials} trials but found ${study.trials.length}`);
  return seconds;
}

function optuna(path: string, sampler: string): { seconds: number; version: string } {
  const python = Deno.env.get("WINNOW_PYTHON");
  if (!python) throw new Error("Set WINNOW_PYTHON to a Python with tests/peers/requirements.txt");
  const script = fileURLToPath(new URL("../tests/peers/study_speed.py", import.meta.url));
  const command = new Deno.Command(python, { args: [script, path, sampler, String(trials)] });
  const { success, stdout, stderr } = command.outputSync();
  if (!success) throw new Error(`study_speed.py failed:\n${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

const results = [];
for (const sampler of Object.keys(samplers)) {
  const ours: Record<string, number[]> = {}, theirs: number[] = [];
  let version = "";
  for (let round = 0; round < rounds; round++) {
    const folder = await Deno.makeTempDir({ prefix: "winnow-bench-" });
    try {
      for (const [i, loop] of Object.keys(loops).entries()) {
        (ours[loop] ??= []).push(await winnow(join(folder, `winnow_${i}.db`), sampler, loop));
      }
      const run = optuna(join(folder, "optuna.db"), sampler);
      theirs.push(run.seconds);
      version = run.version;
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
  for (const loop of Object.keys(loops)) {
    const [winnow_seconds, optuna_seconds] = [median(ours[loop]!), median(theirs)];
    const ratio = optuna_seconds / winnow_seconds;
    results.push({ sampler, loop, trials, rounds, optuna_version: version, winnow_seconds, optuna_seconds, ratio });
    console.error(
      `${sampler}, ${loop}: ${trials} trials in ${winnow_seconds.toFixed(2)} s, Optuna ${version} in ` +
        `${optuna_seconds.toFixed(2)} s: ${ratio.toFixed(1)}×`,
    );
  }
}
if (values.json) console.log(JSON.stringify({ benchmark: "study_speed", results }));
