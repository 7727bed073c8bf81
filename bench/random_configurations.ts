/**
 * Random configurations of the full search space, each trained for a few steps on a tiny encoder: `deno task
 * bench:configurations [--count 200] [--seed 1] [--from 0]`. Shows what failed as it goes, then a table of how often each
 * choice was drawn, how often it failed, and how far the loss on one batch fell; the last line is one JSON object. Exits
 * with 1 where something failed.
 */
import { parseArgs } from "node:util";
import { alignColumns } from "../lib/report/study_table.ts";
import {
  type ConfigurationResult,
  drawParams,
  openSample,
  OVERFIT_STEPS,
  sampledSpace,
  STEPS,
  tryConfiguration,
} from "./configuration_sample.ts";
import { median } from "../lib/support/median.ts";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "200" },
    seed: { type: "string", default: "1" },
    from: { type: "string", default: "0" },
  },
});

function number(name: "count" | "seed" | "from"): number {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < 0) {
    console.error(`error: Expected --${name} to be an integer of at least 0 but found ${JSON.stringify(values[name])}`);
    Deno.exit(2);
  }
  return value;
}

const fall = ({ overfit }: ConfigurationResult) => overfit === null ? NaN : overfit.last.loss / overfit.first.loss;

const oneRose = ({ first, last }: NonNullable<ConfigurationResult["overfit"]>) =>
  last.criteriaLoss >= first.criteriaLoss || last.spanLoss >= first.spanLoss;

/** How each choice of the categorical axes fared. */
function table(results: readonly ConfigurationResult[], space: ReturnType<typeof sampledSpace>): string {
  const rows = space.parameters.flatMap(({ name: key, distribution }) =>
    distribution.type !== "categorical" ? [] : distribution.choices.map((choice) => {
      const drawn = results.filter(({ params }) => params[key] === choice);
      const failed = drawn.filter(({ failure }) => failure !== null);
      return [
        key,
        String(choice),
        ...[drawn.length, failed.length].map(String),
        median(drawn.map(fall))?.toFixed(3) ?? "-",
      ];
    })
  );
  return alignColumns(["key", "choice", "drawn", "failed", "loss after / before"], rows);
}

const [count, seed, from] = [number("count"), number("seed"), number("from")];
const folder = await Deno.makeTempDir({ prefix: "winnow_configurations_" });
const results: ConfigurationResult[] = [];
try {
  const study = await openSample(folder);
  const space = sampledSpace();
  for (let index = from; index < from + count; index++) {
    const result = await tryConfiguration(study, drawParams(space, seed, index), index);
    results.push(result);
    if (result.failure !== null) {
      console.error(`${index}: ${result.failure}\n  ${JSON.stringify(result.params)}`);
    } else if (results.length % 20 === 0) {
      console.error(`${results.length} of ${count}`);
    }
  }
  console.log(table(results, space));
  const failures = results.filter(({ failure }) => failure !== null);
  console.log(JSON.stringify({
    adapter: study.gpu.name,
    configurations: results.length,
    seed,
    from,
    steps: STEPS,
    overfit_steps: OVERFIT_STEPS,
    failed: failures.length,
    loss_after_over_before: { median: median(results.map(fall)), largest: Math.max(...results.map(fall)) },
    // A gradient that is clipped as a whole may give the smaller of the two losses away for the other.
    one_agent_rose: results.flatMap(({ index, overfit }) => overfit !== null && oneRose(overfit) ? [index] : []),
    seconds: results.reduce((sum, { seconds }) => sum + seconds, 0),
    failures: failures.map(({ index, params, losses, overfit, failure }) => ({
      index,
      failure,
      losses,
      overfit,
      params,
    })),
  }));
  if (failures.length > 0) Deno.exitCode = 1;
} finally {
  await Deno.remove(folder, { recursive: true });
}
