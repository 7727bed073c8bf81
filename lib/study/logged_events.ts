/** What the logs of a study and its trials tell, read line by line: a log may be as long as a study and larger than memory. */
import { join } from "node:path";
import { studyFolder, trialFolder } from "../storage/layout.ts";
import { rotatedFiles } from "../support/log_file.ts";
import type { LogEvent } from "../support/logging.ts";

/** A longer line is no event of ours. */
const MAX_LINE = 1 << 20;

/**
 * The events with one of these messages in the logs of a study and of its trials, the rotated files included, by time.
 * Lines that are torn, or no events, are passed over, and so are logs that are gone.
 */
export async function loggedEvents(
  experiments: string,
  studyId: string,
  trialIds: readonly string[],
  messages: ReadonlySet<string>,
): Promise<LogEvent[]> {
  const events: LogEvent[] = [];
  const marks = [...messages].map((message) => `"message":${JSON.stringify(message)}`);
  for (const folder of [studyFolder(experiments, studyId), ...trialIds.map((id) => trialFolder(experiments, id))]) {
    const current = join(folder, "logs", "training.jsonl");
    for (const path of [...filesBefore(current), current]) {
      for await (const line of linesOf(path)) {
        if (!marks.some((mark) => line.includes(mark))) continue;
        const event = parsed(line);
        if (event !== null && messages.has(event.message)) events.push(event);
      }
    }
  }
  return events.sort((a, b) => a.time < b.time ? -1 : a.time > b.time ? 1 : 0);
}

function filesBefore(current: string): string[] {
  try {
    return rotatedFiles(current);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

const isGone = (error: unknown) =>
  error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory ||
  (error as { code?: string }).code === "ENOENT";

function parsed(line: string): LogEvent | null {
  try {
    const { time, level, component, message, context, trial, step } = JSON.parse(line);
    const isEvent = typeof time === "string" && Number.isFinite(Date.parse(time)) && typeof message === "string" &&
      typeof context === "object" && context !== null && (trial === undefined || typeof trial === "string");
    return isEvent ? { time, level, component, message, context, trial, step } : null;
  } catch {
    return null;
  }
}

/** The whole lines of a file; none where there is no file. */
async function* linesOf(path: string): AsyncGenerator<string> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    if (isGone(error)) return;
    throw error;
  }
  let rest = "";
  for await (const chunk of file.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    if (rest.length > MAX_LINE) rest = rest.slice(0, 1); // what follows to the line's end parses as nothing
    yield* lines;
  }
}
