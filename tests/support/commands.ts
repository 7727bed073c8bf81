/**
 * Runs the project's commands as a user does: each in a process of its own, started by the line that deno.json has for
 * the task, so with the task's permissions. `deno task` itself is left out where a test kills the command: it would
 * stand between the two.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { readJsonLines } from "../../lib/support/json_lines.ts";

/** The project's folder. */
export const ROOT = new URL("../..", import.meta.url).pathname;

/** A task of deno.json that the tests run. */
export type Task =
  | "train"
  | "resume"
  | "evaluate"
  | "predict"
  | "export"
  | "report"
  | "data"
  | "translate"
  | "catalog"
  | "profile"
  | "cleanup";

/** How a command ended. */
export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** A command under way. */
export interface Running {
  readonly child: Deno.ChildProcess;
  readonly done: Promise<Finished>;
  /** Waits for a condition, looking every few milliseconds; fails if the command ends before it holds. */
  until(what: string, condition: () => boolean): Promise<void>;
}

/** Environment of the commands: no colours, and no hub but where a test gives one. */
const ENVIRONMENT = { NO_COLOR: "1", HF_HUB_OFFLINE: "1" };

/** The line of a task in deno.json, in parts: its variables, and the arguments of deno. */
function taskLine(task: Task): { env: Record<string, string>; args: string[] } {
  const { tasks } = JSON.parse(Deno.readTextFileSync(join(ROOT, "deno.json")));
  const words = (tasks[task].command as string).split(" ");
  const at = words.indexOf("deno");
  return {
    env: Object.fromEntries(words.slice(0, at).map((word) => word.split("=") as [string, string])),
    args: words.slice(at + 1),
  };
}

/** A task's command as it is started. */
function commandOf(task: Task, args: readonly string[], env: Record<string, string>, stdin: "null" | "piped") {
  const line = taskLine(task);
  return new Deno.Command(Deno.execPath(), {
    args: [...line.args, ...args],
    cwd: ROOT,
    env: { ...ENVIRONMENT, ...line.env, ...env },
    stdin,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Starts a task's command. `env` is added to the environment of the tests. */
export function startCommand(task: Task, args: readonly string[], env: Record<string, string> = {}): Running {
  return follow(commandOf(task, args, env, "null"));
}

/** Starts a task's command whose stdin the test writes. */
export function pipeCommand(task: Task, args: readonly string[]): Deno.ChildProcess {
  return commandOf(task, args, {}, "piped");
}

/** Runs a task's command with a text on its stdin. */
export async function feedCommand(task: Task, args: readonly string[], input: string | Uint8Array): Promise<Finished> {
  const child = pipeCommand(task, args);
  const { done } = follow(child);
  const writer = child.stdin.getWriter();
  // A command that refuses its input does not read it to the end.
  await writer.write(typeof input === "string" ? new TextEncoder().encode(input) : input)
    .then(() => writer.close()).catch(() => {});
  return await done;
}

/** The line that a shell takes for a task's command, in pipes with other programs. */
export function shellLine(task: Task, args: readonly string[]): string {
  const { env, args: deno } = taskLine(task);
  const words = [...Object.entries({ ...ENVIRONMENT, ...env }).map(([name, value]) => `${name}=${value}`)];
  return [...words, Deno.execPath(), ...deno, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ")
    .replace(/^/, "env ");
}

/** Commands under way: what a failed test leaves is ended with its folder. */
const alive = new Set<Running>();

/** Follows a process that was started with stdout and stderr piped. */
export function follow(child: Deno.ChildProcess): Running {
  const done = child.output().then(({ code, stdout, stderr }) => ({
    code,
    stdout: new TextDecoder().decode(stdout),
    stderr: new TextDecoder().decode(stderr),
  }));
  const running: Running = {
    child,
    done,
    async until(what, condition) {
      let ended: Finished | undefined;
      done.then((finished) => ended = finished);
      while (!condition()) {
        if (ended) assert.fail(`the command ended (${ended.code}) before ${what}:\n${ended.stderr}`);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
  };
  alive.add(running);
  done.finally(() => alive.delete(running));
  return running;
}

/** Runs a task's command to its end. */
export function runCommand(task: Task, args: readonly string[], env: Record<string, string> = {}): Promise<Finished> {
  return startCommand(task, args, env).done;
}

/**
 * Starts several things, a few at a time, each of which is awaited where it is looked at: most of a short command's time
 * is waiting, and the tests would take twice as long one after the other.
 */
export function startAll<T extends Record<string, () => Promise<unknown>>>(
  tasks: T,
  atOnce: number,
): { [K in keyof T]: ReturnType<T[K]> } {
  const lanes = Array.from({ length: atOnce }, () => Promise.resolve());
  const started = Object.entries(tasks).map(([name, task], i) => {
    const result = lanes[i % atOnce]!.then(task);
    lanes[i % atOnce] = result.then(() => {}, () => {});
    return [name, result];
  });
  return Object.fromEntries(started);
}

/** The object that `--json` prints of a study. */
export interface StudyOutput {
  study_id: string;
  metric: string;
  best_trial_id: string;
  best_value: number;
  summary_report: string;
  trials: { trial_id: string; number: number; state: string; value: number | null; checkpoint: string | null }[];
}

/** The result of a command that must have succeeded: the one line of its stdout. */
export function resultOf<T = StudyOutput>({ code, stdout, stderr }: Finished): T {
  assert.equal(code, 0, `exit code ${code}\n${stderr}`);
  assert.match(stdout, /^\{.*\}\n$/, "stdout is one line of JSON");
  return JSON.parse(stdout);
}

/** Test metrics of a study's best trial, and the baseline's, as its summary report has them now. */
export function testMetrics(result: StudyOutput): Record<"test" | "baseline", Record<string, number | null>> {
  const { test, baseline } = JSON.parse(Deno.readTextFileSync(result.summary_report));
  return { test, baseline };
}

/** Runs `body` with a new folder that is removed afterwards, once no command is left that writes there. */
export async function withFolder<T>(body: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "winnow-test-" });
  try {
    return await body(folder);
  } finally {
    for (const { child, done } of alive) {
      child.kill("SIGKILL");
      await done;
    }
    await Deno.remove(folder, { recursive: true });
  }
}

/** Settings of a model and a sample so small that an epoch takes a tenth of a second, with dropout on. */
export const TINY: readonly string[] = [
  "model.encoder.hidden_size=32",
  "model.encoder.num_hidden_layers=1",
  "model.encoder.intermediate_size=64",
  "model.hidden_dropout=0.1",
  "model.attention_dropout=0.1",
  "data.synthetic.posts=60",
  "data.max_length=48",
  "training.epochs=2",
];

/** An event of training.jsonl. */
export interface LoggedEvent {
  time: string;
  level: string;
  trial: string;
  step?: number;
  message: string;
  // deno-lint-ignore no-explicit-any -- each message has its own
  context: Record<string, any>;
}

/** All events of all trials in an experiments folder by time; none while there is no folder yet. */
export function loggedEvents(experiments: string): LoggedEvent[] {
  const events = trialFolders(experiments).flatMap((folder) => {
    try {
      return readJsonLines(join(folder, "logs", "training.jsonl")) as LoggedEvent[];
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || (error as { code?: string }).code === "ENOENT") return [];
      throw error;
    }
  });
  return events.sort((a, b) => a.time < b.time ? -1 : a.time > b.time ? 1 : 0);
}

/** The folders trial_* of an experiments folder. */
export function trialFolders(experiments: string): string[] {
  try {
    return [...Deno.readDirSync(experiments)].map(({ name }) => name).filter((name) => name.startsWith("trial_"))
      .sort().map((name) => join(experiments, name));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [];
    throw error;
  }
}

/** A trial as study.db has it, read without the project's own code. */
export interface StoredTrial {
  number: number;
  state: string;
  value: number | null;
  /** Number of stored objectives and of rows of intermediate values. */
  values: number;
  reports: { step: number; value: number }[];
}

/** All trials in a study.db by number; none where there is no database. */
export function storedTrials(experiments: string): StoredTrial[] {
  const path = join(experiments, "study.db");
  try {
    Deno.statSync(path);
  } catch {
    return [];
  }
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    return db.prepare("SELECT trial_id, number, state FROM trials ORDER BY trial_id").all().map((row) => {
      const values = db.prepare("SELECT value FROM trial_values WHERE trial_id = ?").all(row["trial_id"]!);
      const reports = db.prepare(
        "SELECT step, intermediate_value AS value FROM trial_intermediate_values WHERE trial_id = ? ORDER BY step",
      ).all(row["trial_id"]!);
      return {
        number: Number(row["number"]),
        state: String(row["state"]),
        value: values.length === 0 ? null : Number(values[0]!["value"]),
        values: values.length,
        reports: reports.map((one) => ({ step: Number(one["step"]), value: Number(one["value"]) })),
      };
    });
  } finally {
    db.close();
  }
}
