/** Random histories for comparisons with Optuna, and how they travel to a Python peer. */
import type { FrozenTrial, TrialState } from "../../lib/hpo/trial.ts";
import type { RandomStream } from "../../lib/support/rng.ts";

/** States of trials: some histories have many pruned, some hardly any completed. */
export function randomStates(stream: RandomStream, count: number): TrialState[] {
  const complete = stream.uniform();
  return Array.from(
    { length: count },
    () =>
      stream.uniform() < complete
        ? "COMPLETE"
        : stream.pick<TrialState>(["PRUNED", "PRUNED", "PRUNED", "RUNNING", "FAIL", "WAITING"]),
  );
}

/** Reports, ascending by step, with gaps, ties, NaN and infinities; often none. */
export function randomReports(stream: RandomStream, longest = 12): FrozenTrial["intermediate"] {
  const reports: { step: number; value: number }[] = [];
  const last = stream.integer(longest + 1);
  const rough = stream.integer(2) === 0;
  for (let step = stream.integer(3); step < last; step += stream.pick([1, 1, 1, 2, 3])) {
    const odd = stream.integer(14) === 0;
    const value = odd ? stream.pick([NaN, NaN, Infinity, -Infinity]) : rough ? stream.integer(5) : stream.normal();
    reports.push({ step, value });
  }
  return reports;
}

/** A number in JSON that has texts for NaN and the infinities, as the peers read it. */
export const encodeNumber = (value: number): number | string =>
  Number.isFinite(value) ? value : Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";

/** A trial as the peers read it. */
export const encodeTrial = (trial: FrozenTrial) => ({
  state: trial.state,
  values: trial.values?.map(encodeNumber) ?? null,
  intermediate: trial.intermediate.map(({ step, value }) => [step, encodeNumber(value)]),
  system_attrs: Object.fromEntries(
    Object.entries(trial.systemAttributes).map(([key, value]) => [
      key,
      typeof value === "number" ? encodeNumber(value) : value,
    ]),
  ),
});
