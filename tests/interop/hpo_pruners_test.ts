import assert from "node:assert/strict";
import { frozenTrial } from "../../bench/search_loop.ts";
import { hyperbandPruner } from "../../lib/hpo/pruners/hyperband.ts";
import { patientPruner } from "../../lib/hpo/pruners/patient.ts";
import { medianPruner, percentilePruner } from "../../lib/hpo/pruners/percentile.ts";
import type { Pruner } from "../../lib/hpo/pruners/pruner.ts";
import { successiveHalvingPruner } from "../../lib/hpo/pruners/successive_halving.ts";
import { thresholdPruner } from "../../lib/hpo/pruners/threshold.ts";
import type { Direction, FrozenTrial, StudyHistory } from "../../lib/hpo/trial.ts";
import { type RandomStream, randomStream } from "../../lib/support/rng.ts";
import { askPython } from "../support/python.ts";
import { encodeNumber, encodeTrial, randomReports, randomStates } from "../support/random_histories.ts";

/** A pruner here and in Optuna. */
interface Pair {
  readonly pruner: Pruner;
  readonly name: string;
  readonly options: Record<string, unknown>;
}

/** Options of pruners that look at intervals, here and there. */
function intervals(stream: RandomStream) {
  const [nWarmupSteps, intervalSteps] = [stream.integer(4), 1 + stream.integer(3)];
  return {
    ours: { nWarmupSteps, intervalSteps },
    theirs: { n_warmup_steps: nWarmupSteps, interval_steps: intervalSteps },
  };
}

function percentilePair(stream: RandomStream, median: boolean): Pair {
  const { ours, theirs } = intervals(stream);
  const [nStartupTrials, nMinTrials] = [stream.pick([0, 0, 1, 5]), 1 + stream.integer(2)];
  const percentile = stream.pick([0, 10, 25, 33.3, 50, 75, 100]);
  const options = { ...ours, nStartupTrials, nMinTrials };
  return {
    pruner: median ? medianPruner(options) : percentilePruner({ ...options, percentile }),
    name: median ? "MedianPruner" : "PercentilePruner",
    options: {
      ...theirs,
      ...{ n_startup_trials: nStartupTrials, n_min_trials: nMinTrials },
      ...(median ? {} : { percentile }),
    },
  };
}

function halvingPair(stream: RandomStream): Pair {
  const minResource = stream.pick<number | "auto">(["auto", 1, 1, 2, 3]);
  const [reductionFactor, minEarlyStoppingRate] = [2 + stream.integer(3), stream.integer(2)];
  const bootstrapCount = minResource === "auto" ? 0 : stream.pick([0, 0, 2]);
  return {
    pruner: successiveHalvingPruner({ minResource, reductionFactor, minEarlyStoppingRate, bootstrapCount }),
    name: "SuccessiveHalvingPruner",
    options: {
      ...{ min_resource: minResource, reduction_factor: reductionFactor },
      ...{ min_early_stopping_rate: minEarlyStoppingRate, bootstrap_count: bootstrapCount },
    },
  };
}

function hyperbandPair(stream: RandomStream): Pair {
  const minResource = 1 + stream.integer(2);
  const maxResource = stream.pick<number | "auto">(["auto", 3, 9, 12, 27, 100]);
  const reductionFactor = 2 + stream.integer(3);
  const bootstrapCount = maxResource === "auto" ? 0 : stream.pick([0, 0, 2]);
  return {
    pruner: hyperbandPruner({ minResource, maxResource, reductionFactor, bootstrapCount }),
    name: "HyperbandPruner",
    options: {
      ...{ min_resource: minResource, max_resource: maxResource },
      ...{ reduction_factor: reductionFactor, bootstrap_count: bootstrapCount },
    },
  };
}

function patientPair(stream: RandomStream): Pair {
  const [patience, minDelta] = [stream.integer(5), stream.pick([0, 0, 0.5, 1])];
  const wrapped = stream.integer(2) === 0 ? percentilePair(stream, true) : undefined;
  return {
    pruner: patientPruner({ patience, minDelta, ...(wrapped ? { wrapped: wrapped.pruner } : {}) }),
    name: "PatientPruner",
    options: { patience, min_delta: minDelta, ...(wrapped ? { wrapped: [wrapped.name, wrapped.options] } : {}) },
  };
}

function thresholdPair(stream: RandomStream): Pair {
  const { ours, theirs } = intervals(stream);
  const [lower, upper] = stream.pick<[number | null, number | null]>([[0, null], [null, 2], [-1, 3], [1, 1]]);
  return {
    pruner: thresholdPruner({ ...ours, lower, upper }),
    name: "ThresholdPruner",
    options: { ...theirs, lower, upper },
  };
}

const PAIRS: Record<string, (stream: RandomStream) => Pair> = {
  median: (stream) => percentilePair(stream, true),
  percentile: (stream) => percentilePair(stream, false),
  "successive halving": halvingPair,
  hyperband: hyperbandPair,
  patient: patientPair,
  threshold: thresholdPair,
};

/** A history whose last running trial is to be judged; trials have the rungs that they would have stored. */
function randomHistory(stream: RandomStream, index: number): { history: StudyHistory; trial: FrozenTrial } {
  const states = randomStates(stream, 1 + stream.integer(40));
  const number = stream.integer(states.length);
  states[number] = "RUNNING";
  const trials = states.map((state, i) => {
    const intermediate = randomReports(stream, 30);
    const rungs: Record<string, number> = {};
    for (let rung = 0; rung < stream.integer(4) && intermediate.length > 0; rung++) {
      const { value } = stream.pick(intermediate);
      if (!Number.isNaN(value)) rungs[`completed_rung_${rung}`] = value;
      else break;
    }
    const systemAttributes = stream.integer(3) === 0 ? {} : rungs;
    return frozenTrial(i, { state, values: state === "COMPLETE" ? [i] : null, intermediate, systemAttributes });
  });
  const direction = stream.pick<Direction>(["minimize", "maximize"]);
  if (stream.integer(2) === 0) { // a trial that does badly, so that many are pruned
    const shift = direction === "minimize" ? 1.5 : -1.5;
    const { intermediate } = trials[number]!;
    trials[number] = {
      ...trials[number]!,
      intermediate: intermediate.map(({ step, value }) => ({ step, value: value + shift })),
    };
  }
  const directions = [direction];
  return { history: { studyName: `study ${index} é`, directions, trials }, trial: trials[number]! };
}

for (const [name, makePair] of Object.entries(PAIRS)) {
  Deno.test(`the ${name} pruner decides 300 random histories as Optuna's does`, async () => {
    const scenes = Array.from({ length: 300 }, (_, i) => {
      const stream = randomStream(11, "pruner scene", name, i);
      return { ...makePair(stream), ...randomHistory(stream, i) };
    });
    const expected = await askPython<{ prune: boolean; attributes: object; visible: number[] }[]>(
      "pruners.py",
      [],
      scenes.map(({ name, options, history, trial }) => ({
        ...{ pruner: name, options, study_name: history.studyName, direction: history.directions[0] },
        ...{ number: trial.number, trials: history.trials.map(encodeTrial) },
      })),
    );
    let pruned = 0;
    scenes.forEach(({ pruner, history, trial }, i) => {
      const { prune, systemAttributes = {} } = pruner.decide(history, trial);
      const attributes = Object.fromEntries(
        Object.entries(systemAttributes).map(([key, value]) => [key, encodeNumber(value as number)]),
      );
      const visible = (pruner.visibleTo?.(history, trial.number) ?? history).trials.map(({ number }) => number);
      assert.deepEqual(
        { prune, attributes, visible },
        expected[i],
        `scene ${i}: ${JSON.stringify(scenes[i]!.options)}`,
      );
      if (prune) pruned++;
    });
    assert.ok(pruned > 20 && pruned < 280, `${pruned} of 300 were pruned`);
  });
}
