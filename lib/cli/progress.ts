/**
 * Progress of a study: on a terminal two bars (study and trial), elsewhere a line every few seconds.
 *
 * @example
 * ```ts
 * import { createProgress } from "./progress.ts";
 * import { createOutput } from "./output.ts";
 * const progress = createProgress(createOutput(false), { terminal: false });
 * progress.update({ trial: 1, trials: 6, epoch: 1, epochs: 3, step: 10, steps: 90, loss: 0.7 });
 * progress.stop();
 * ```
 */

import { MultiBar, type SingleBar } from "cli-progress";
import type { Output } from "./output.ts";

/** Where a run stands; what is unknown is left out. */
export interface ProgressState {
  /** The running trial, from 1. */
  trial: number;
  trials: number;
  /** The running epoch, from 1. */
  epoch?: number | undefined;
  epochs?: number | undefined;
  /** Optimizer steps done in this trial, and in all of it. */
  step?: number | undefined;
  steps?: number | undefined;
  /** The latest training loss. */
  loss?: number | undefined;
  /** The name of what is optimised and its best value so far. */
  metric?: string | undefined;
  best?: number | undefined;
}

/** Shows where a run stands. */
export interface Progress {
  /** Takes what changed; a new `trial` forgets epoch, step and loss of the one before. */
  update(change: Partial<ProgressState>): void;
  /** A line for people that stays, above the bars. */
  say(text: string): void;
  /** Removes the bars. */
  stop(): void;
}

/** Options of createProgress, for tests and for callers that know better. */
export interface ProgressOptions {
  /** Whether stderr is a terminal that can show bars. */
  terminal?: boolean;
  /** Milliseconds between lines where there is no terminal. */
  interval?: number;
  /** Milliseconds from a fixed point. */
  now?: () => number;
}

/** `45s`, `3m 05s`, `2h 07m` from seconds. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const pad = (value: number) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${pad(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${pad(Math.floor(whole / 60) % 60)}m`;
}

/** The share of the whole study that is done, from 0 to 1. */
export function completion({ trial, trials, step = 0, steps }: ProgressState): number {
  const ofTrial = steps ? Math.min(1, step / steps) : 0;
  return Math.min(1, (trial - 1 + ofTrial) / Math.max(1, trials));
}

function trialText({ epoch, epochs, step, steps, loss }: ProgressState): string {
  return [
    ...(epoch === undefined ? [] : [`epoch ${epoch}/${epochs ?? "?"}`]),
    ...(step === undefined ? [] : [`step ${step}/${steps ?? "?"}`]),
    ...(loss === undefined ? [] : [`loss ${loss.toFixed(4)}`]),
  ].join("  ");
}

function studyText(state: ProgressState, eta: number | undefined): string {
  return [
    `trial ${state.trial}/${state.trials}`,
    ...(state.best === undefined ? [] : [`best ${state.metric ?? "value"} ${state.best.toFixed(4)}`]),
    ...(eta === undefined ? [] : [`ETA ${formatDuration(eta)}`]),
  ].join("  ");
}

/** The whole state in one line. `eta` in seconds. */
export function formatProgress(state: ProgressState, eta?: number): string {
  const trial = trialText(state);
  const percent = `${Math.floor(100 * completion(state))}%`.padStart(4);
  return [percent, studyText(state, eta), ...(trial === "" ? [] : [trial])].join("  ");
}

/** Progress on stderr's terminal, or else in lines through `output.say`. */
export function createProgress(output: Output, options: ProgressOptions = {}): Progress {
  const { terminal = Deno.stderr.isTerminal(), interval = 5000, now = () => performance.now() } = options;
  let state: ProgressState = { trial: 1, trials: 1 };
  let start: { time: number; done: number } | undefined;
  let shown = -Infinity;
  const bars = terminal ? createBars() : undefined;

  /** Seconds to go at the speed so far; a resumed study starts above 0, which is no speed. */
  const eta = () => {
    const done = completion(state);
    if (start === undefined || done <= start.done) return undefined;
    return (now() - start.time) / 1000 * (1 - done) / (done - start.done);
  };

  return {
    update: (change) => {
      const changed = change.trial !== undefined && change.trial !== state.trial;
      const { trial, trials, metric, best } = state;
      state = { ...(changed ? { trial, trials, metric, best } : state), ...change };
      start ??= { time: now(), done: completion(state) };
      if (bars) {
        bars.show(state, studyText(state, eta()), trialText(state));
      } else if (changed || now() - shown >= interval) {
        shown = now();
        output.say(formatProgress(state, eta()));
      }
    },
    say: (text) => {
      if (!bars) output.say(text);
      else if (output.json) bars.say(text);
      else bars.without(() => output.say(text));
    },
    stop: () => bars?.stop(),
  };
}

/** Two bars of cli-progress on stderr. */
function createBars() {
  // linewrap: the library turns wrapping off otherwise, and a killed process would leave the terminal so.
  const make = () =>
    new MultiBar({
      format: "{label} {bar} {percentage}%  {text}",
      barCompleteChar: "█",
      barIncompleteChar: "░",
      barsize: 24,
      hideCursor: null,
      linewrap: true,
      clearOnComplete: true,
      fps: 5,
      autopadding: true,
    });
  let multi: MultiBar | undefined;
  let study: SingleBar | undefined, trial: SingleBar | undefined;
  const stop = () => {
    multi?.stop();
    multi = study = trial = undefined;
  };
  return {
    show: (state: ProgressState, studyLine: string, trialLine: string) => {
      if (multi === undefined) {
        multi = make();
        study = multi.create(1, 0, { label: "study", text: "" });
        trial = multi.create(1, 0, { label: "trial", text: "" });
      }
      study!.update(completion(state), { text: studyLine });
      trial!.update(state.steps ? Math.min(1, (state.step ?? 0) / state.steps) : 0, { text: trialLine });
    },
    say: (text: string) => multi ? multi.log(text + "\n") : console.error(text),
    /** stdout and stderr are one screen: the bars go away for a line of stdout. */
    without: (write: () => void) => {
      stop();
      write();
    },
    stop,
  };
}
