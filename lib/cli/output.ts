/** Who reads which stream: with --json programs read stdout and people stderr, without it people read stdout. */

import { writeSync } from "node:fs";
import { maskSecrets } from "../support/masking.ts";

const STDOUT = 1;
const STDERR = 2;

/** Streams whose reader has gone. */
const closed = new Set<number>();
/** Pause before a full pipe is tried again, and how often. */
const RETRY_MS = 5, RETRIES = 2000;

/**
 * Writes a whole text to stdout (1) or stderr (2). A reader that has gone (`… | head`, a closed terminal, a dead parent)
 * must not end a run whose results go to files, so the stream is given up without a word; a pipe that is full for the
 * moment is waited for.
 */
export function writeStream(stream: number, text: string): void {
  if (closed.has(stream)) return;
  const bytes = new TextEncoder().encode(text);
  let tries = 0;
  for (let written = 0; written < bytes.length;) {
    try {
      written += writeSync(stream, bytes, written);
    } catch (error) {
      const { code } = error as Error & { code?: string };
      if (code === "EAGAIN" && tries++ < RETRIES) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
        continue;
      }
      closed.add(stream);
      return;
    }
  }
}

/**
 * Writes a part of a result to stdout and waits until it is taken, however slow the reader is: unlike progress, none of it
 * may be lost.
 *
 * @returns whether there is still a reader: `… | head` has gone when it has enough
 * @throws errors of the file system, such as a full disk behind a redirection
 */
export async function writeResult(text: string): Promise<boolean> {
  if (closed.has(STDOUT)) return false;
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) {
    try {
      written += await Deno.stdout.write(bytes.subarray(written));
    } catch (error) {
      if (error instanceof Deno.errors.WouldBlock) {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      } else if (error instanceof Deno.errors.BrokenPipe) {
        closed.add(STDOUT);
        return false;
      } else throw error;
    }
  }
  return true;
}

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
    say: (text) => writeStream(json ? STDERR : STDOUT, maskSecrets(text) + "\n"),
    finish: (result) => {
      if (json) writeStream(STDOUT, JSON.stringify(result) + "\n");
    },
  };
}
