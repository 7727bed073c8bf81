import assert from "node:assert/strict";
import { frozenTrial } from "../../bench/search_loop.ts";
import { splitTrials } from "../../lib/hpo/samplers/split.ts";
import { createTrialTable } from "../../lib/hpo/samplers/trial_table.ts";
import type { Direction, FrozenTrial, StudyHistory } from "../../lib/hpo/trial.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { askPython } from "../support/python.ts";
import { encodeTrial, randomReports, randomStates } from "../support/random_histories.ts";

interface Scene {
  readonly history: StudyHistory;
  readonly constantLiar: boolean;
}

function randomScene(index: number): Scene {
  const stream = randomStream(7, "split scene", index);
  const objectives = stream.pick([1, 1, 1, 2, 3, 4]);
  const directions = Array.from({ length: objectives }, () => stream.pick<Direction>(["minimize", "maximize"]));
  const constrained = stream.integer(4) === 0;
  const rough = stream.integer(2) === 0; // rough values have ties
  const value = () => {
    if (objectives === 1 && stream.integer(20) === 0) return stream.pick([Infinity, -Infinity]);
    return rough ? stream.integer(6) - 2 : stream.normal();
  };
  const size = stream.integer(objectives === 1 ? 320 : 60);
  const trials = randomStates(stream, size).map((state, number): FrozenTrial =>
    frozenTrial(number, {
      state,
      values: state === "COMPLETE" ? directions.map(value) : null,
      // Optuna orders pruned trials by the direction of a single objective alone.
      intermediate: objectives === 1 || state !== "PRUNED" ? randomReports(stream) : [],
      systemAttributes: constrained && stream.integer(3) > 0
        ? { "constraints:size": stream.integer(5) - 2, "constraints:time": stream.normal() }
        : {},
    })
  );
  return { history: { studyName: "split", directions, trials }, constantLiar: stream.integer(2) === 0 };
}

Deno.test("TPE splits 400 random histories as Optuna does", async () => {
  const scenes = Array.from({ length: 400 }, (_, i) => randomScene(i));
  const expected = await askPython<number[][][]>(
    "tpe_split.py",
    [],
    scenes.map(({ history, constantLiar }) => ({
      directions: history.directions,
      constant_liar: constantLiar,
      trials: history.trials.map(encodeTrial),
    })),
  );
  const warm = createTrialTable();
  let below = 0;
  scenes.forEach(({ history, constantLiar }, i) => {
    for (const table of [createTrialTable(), warm]) {
      table.update(history.trials);
      const split = splitTrials(history, history.trials.length, constantLiar, table);
      const numbers = [split.below, split.above].map((side) => side.map(({ number }) => number));
      assert.deepEqual(numbers, expected[i], `scene ${i}: ${history.directions}, ${history.trials.length} trials`);
      below += split.below.length;
    }
  });
  assert.ok(below > 2000);
});
