/** Runs one command: help, Ctrl-C, errors as one clear line with a remedy, and the exit code. */

import { errorCode, exitCode, isDiskFull, storageError, WinnowError } from "../support/errors.ts";
import { maskSecrets } from "../support/masking.ts";
import { createOutput, type Output, writeStream } from "./output.ts";

/** What `main` gets beside its options. */
export interface CommandContext {
  /** Aborted by the first Ctrl-C or SIGTERM with a WinnowError of kind `interrupted`: save, then `throwIfAborted()`. */
  signal: AbortSignal;
  output: Output;
}

/** A command of the toolkit. */
export interface Command<Options extends { json: boolean }> {
  help: string;
  parse(args: readonly string[]): Options;
  /** What the first Ctrl-C shows, and the remedy with which the command then ends; by default those of a study. */
  interruption?: { note: string; remedy: string };
  /** The work. What it returns is printed with --json as the last line of stdout. */
  main(options: Options, context: CommandContext): Promise<object | void>;
}

const STDERR = 2;
/** `deno task` passes on the signal that the terminal also sends: two within this time are one Ctrl-C. */
const SAME_PRESS_MS = 500;

const SAVED = { note: "interrupted: saving", remedy: "Continue with: deno task resume" };

/**
 * What the first Ctrl-C or SIGTERM aborts. It is listened to until the process ends: a signal that comes while a command is
 * ending, such as the second of one Ctrl-C, would otherwise take its exit code.
 */
function onInterrupt({ note, remedy }: { note: string; remedy: string }): AbortSignal {
  const controller = new AbortController();
  let first: number | undefined;
  const handle = () => {
    const now = performance.now();
    if (first === undefined) {
      first = now;
      writeStream(STDERR, `${note}; press Ctrl-C again to stop at once\n`);
      controller.abort(new WinnowError("interrupted", "interrupted", remedy));
    } else if (now - first > SAME_PRESS_MS) {
      Deno.exit(130);
    }
  };
  for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, handle);
  return controller.signal;
}

/** How often a command looks whether the task that started it still lives. */
const PARENT_CHECK_MS = 500;

/**
 * Ends the process when the `deno task` above it is killed: a kill -9 reaches the task alone, and what it started would
 * train on unseen and hold the experiments folder. Everything on disk is safe at any instant.
 */
function endWithTask(): void {
  if (Deno.env.get("WINNOW_TASK") !== "1") return;
  const parent = Deno.ppid;
  const timer = setInterval(() => {
    if (Deno.ppid !== parent) Deno.exit(130);
  }, PARENT_CHECK_MS);
  Deno.unrefTimer(timer);
}

/** Errors of the file system that escaped the room they happened in, as what they mean to a person. */
function explain(error: unknown, signal?: AbortSignal): unknown {
  if (error instanceof WinnowError || !(error instanceof Error)) return error;
  if (signal?.aborted && error.name === "AbortError") return signal.reason;
  const code = errorCode(error);
  if (isDiskFull(error)) {
    return storageError(`the disk is full: ${error.message}`, "Free space or set paths.experiments to another disk.", {
      cause: error,
    });
  }
  if (error instanceof Deno.errors.NotCapable) {
    return new WinnowError(
      "failure",
      `Deno's permissions do not allow it: ${error.message.split(", run again")[0]}`,
      "Add it to the task's permission set in deno.json.",
    );
  }
  if (code === "EACCES" || code === "EROFS" || code === "EPERM") {
    return storageError(error.message, "Make the folder writable or set paths.experiments to another.", {
      cause: error,
    });
  }
  return error;
}

/** What stderr shows for an error: its lines and its remedy, with the stack only where nobody foresaw it. */
export function describeError(error: unknown): string {
  if (error instanceof WinnowError) {
    const lines = error.message.split("\n").map((line) => `error: ${line}`);
    return maskSecrets([...lines, ...(error.remedy === "" ? [] : [`  remedy: ${error.remedy}`])].join("\n"));
  }
  return maskSecrets(`error: ${error instanceof Error ? error.stack ?? error.message : String(error)}`);
}

/** Runs a command and returns its exit code; never throws. */
async function executeCommand<Options extends { json: boolean }>(
  command: Command<Options>,
  args: readonly string[],
): Promise<number> {
  const end = args.indexOf("--");
  if ((end < 0 ? args : args.slice(0, end)).some((argument) => argument === "--help" || argument === "-h")) {
    createOutput(false).say(command.help);
    return 0;
  }
  let signal: AbortSignal | undefined;
  try {
    const options = command.parse(args);
    const output = createOutput(options.json);
    signal = onInterrupt(command.interruption ?? SAVED);
    const result = await command.main(options, { signal, output });
    if (result !== undefined) output.finish(result);
    return 0;
  } catch (error) {
    const explained = explain(error, signal);
    writeStream(STDERR, describeError(explained) + "\n");
    return exitCode(explained);
  }
}

/** Runs a command with the arguments of the process and ends the process with its exit code. */
export async function runCommand<Options extends { json: boolean }>(command: Command<Options>): Promise<never> {
  endWithTask();
  // An explicit exit: a GPU device or a worker left open must not keep a finished command alive.
  Deno.exit(await executeCommand(command, Deno.args));
}
