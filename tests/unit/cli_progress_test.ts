import assert from "node:assert/strict";
import { completion, createProgress, formatDuration, formatProgress } from "../../lib/cli/progress.ts";

Deno.test("durations, completion and the progress line", () => {
  assert.deepEqual([0, 59.4, 60, 3599, 3600, 93784].map(formatDuration), [
    "0s",
    "59s",
    "1m 00s",
    "59m 59s",
    "1h 00m",
    "26h 03m",
  ]);
  assert.equal(completion({ trial: 2, trials: 4, step: 5, steps: 10 }), 0.375);
  assert.equal(completion({ trial: 4, trials: 4, step: 99, steps: 10 }), 1);
  assert.equal(
    formatProgress(
      {
        trial: 2,
        trials: 6,
        epoch: 1,
        epochs: 3,
        step: 10,
        steps: 90,
        loss: 0.69314,
        metric: "criteria_macro_f1",
        best: 0.5,
      },
      125,
    ),
    " 18%  trial 2/6  best criteria_macro_f1 0.5000  ETA 2m 05s  epoch 1/3  step 10/90  loss 0.6931",
  );
  assert.equal(formatProgress({ trial: 1, trials: 1 }), "  0%  trial 1/1");
});

Deno.test("without a terminal: a line at the start of each trial and one each interval, ETA from the speed", () => {
  const lines: string[] = [];
  let time = 0;
  const output = { json: false, say: (text: string) => void lines.push(text), finish: () => {} };
  const progress = createProgress(output, { terminal: false, interval: 5000, now: () => time });
  progress.update({ trial: 2, trials: 4, step: 0, steps: 10 }); // a resumed study: the first quarter took no time here
  for (let step = 1; step <= 10; step++) {
    time += 2000;
    progress.update({ step, loss: 1 / step });
  }
  progress.update({ trial: 3, best: 0.25 });
  progress.say("a line");
  progress.stop();
  assert.deepEqual(lines, [
    " 25%  trial 2/4  step 0/10",
    " 32%  trial 2/4  ETA 54s  step 3/10  loss 0.3333",
    " 40%  trial 2/4  ETA 48s  step 6/10  loss 0.1667",
    " 47%  trial 2/4  ETA 42s  step 9/10  loss 0.1111",
    " 50%  trial 3/4  best value 0.2500  ETA 40s",
    "a line",
  ]);
});
