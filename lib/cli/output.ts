/** Who reads which stream: with --json programs read stdout and people stderr, without it people read stdout. */

import { appendText } from "../support/json_lines.ts";

const STDOUT = 1;
const STDERR = 2;

/** Where a command writes. */
export interface Output {
  readonly json: boolean;
  /** One line or more for people. */
  say(text: string): void;
  /** The result: with --json one line of JSON, the last of stdout; nothing otherwise. */
  finish(result: object): void;
}

/** The output of a command with or without --json. */
export function createOutput(json: boolean): Output {
  return {
    json,
    say: (text) => appendText(json ? STDERR : STDOUT, text + "\n"),
    finish: (result) => {
      if (json) appendText(STDOUT, JSON.stringify(result) + "\n");
    },
  };
}
