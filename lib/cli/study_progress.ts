/** Shows a study's events as progress bars or lines. */
import type { StudyHooks } from "../study/study.ts";
import type { Output } from "./output.ts";
import { createProgress } from "./progress.ts";

/** Hooks that show a study on an output; `stop` removes the bars. */
export function studyProgress(output: Output): StudyHooks & { stop(): void } {
  let progress: ReturnType<typeof createProgress> | undefined;
  const stop = () => {
    progress?.stop();
    progress = undefined;
  };
  return {
    stop,
    say(text) {
      if (progress) progress.say(text);
      else output.say(text);
    },
    onEvent(event, metric) {
      progress ??= createProgress(output);
      const { trial, progress: { nTrials, bestValue, ended, trialIndex } } = event;
      const name = `trial ${trial.number}`;
      if (event.type === "trial_started") {
        progress.update({ trial: trialIndex, trials: nTrials, metric });
      } else if (event.type === "trial_completed") {
        progress.say(`${name}: ${metric} ${event.value.toFixed(4)} (best ${bestValue?.toFixed(4) ?? "-"})`);
      } else if (event.type === "trial_failed") {
        progress.say(`${name} failed: ${event.reason}`);
      } else if (event.type === "trial_pruned") {
        progress.say(`${name} pruned after epoch ${event.epoch}: ${metric} ${event.value?.toFixed(4) ?? "-"}`);
      } else if (event.type === "trial_paused") {
        progress.say(`${name} paused: ${event.reason}`);
      }
      if (bestValue !== null) progress.update({ best: bestValue });
      if (ended >= nTrials && event.type !== "trial_started" && event.type !== "trial_phase") stop();
    },
    onProgress({ epoch, epochs, step, steps, metrics }) {
      progress?.update({ epoch, epochs, step, steps, loss: metrics.loss });
    },
  };
}
