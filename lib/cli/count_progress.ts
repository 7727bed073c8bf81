/** Progress of work that is so many things long: a bar on a terminal, elsewhere a line every few seconds. */
import { SingleBar } from "cli-progress";
import type { Output } from "./output.ts";

/** Milliseconds between lines where there is no terminal. */
const INTERVAL_MS = 5000;

/** Shows how many things are done. */
export interface CountProgress {
  say(text: string): void;
  onProgress(done: number, all: number): void;
  /** Removes the bar. */
  stop(): void;
}

/** Progress on stderr's terminal, or else in lines through `output.say`. `things` names them: "sentences". */
export function countProgress(output: Output, things: string): CountProgress {
  const terminal = Deno.stderr.isTerminal();
  let bar: SingleBar | undefined;
  let shown = performance.now();
  const stop = () => {
    bar?.stop();
    bar = undefined;
  };
  return {
    say(text) {
      stop();
      output.say(text);
    },
    onProgress(done, all) {
      if (terminal) {
        if (!bar) {
          const format = `{bar} {percentage}%  {value}/{total} ${things}  ETA {eta_formatted}`;
          bar = new SingleBar({ format, barsize: 24, hideCursor: null, linewrap: true, clearOnComplete: true, fps: 5 });
          bar.start(all, done);
        }
        bar.update(done);
      } else if (performance.now() - shown >= INTERVAL_MS) {
        shown = performance.now();
        output.say(`${done} of ${all} ${things}`);
      }
    },
    stop,
  };
}
