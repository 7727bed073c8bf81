/**
 * All benchmark suites one after another, each as its own task in its own process; their JSON, one line each, goes to the
 * file of --out, and a table of it to that of --table.
 *
 *   deno task bench --out results.jsonl [--table results.md] [--small] [--only gemm,step] [--peers jax-js,tfjs,torch,onnx]
 *     [--torch-device cpu|cuda]
 *
 * --small runs tiny sizes, which say nothing of speed but show that everything runs; --large, for GPUs, takes more steps in a
 * turn and adds a large batch, against PyTorch alone. Peers are those of the training step
 * and the forward pass; torch is needed for torch and onnx. A suite that fails is told of and the others go on; the exit
 * code is then 1.
 */
import { parseArgs } from "node:util";
import { isThere } from "../lib/support/file_system.ts";
import { dataFolder } from "../tests/fixtures/tweets_to_dataset.ts";
import { PEERS } from "./peers/compare.ts";
import { table } from "./suite_table.ts";

/** A suite: its task in deno.json, and options by size. */
interface Suite {
  readonly task: string;
  readonly full: readonly string[];
  readonly small: readonly string[];
  /** Whether it is for GPUs: what the libraries for the web hold of such a step would not fit. */
  readonly large?: boolean;
}

const shape = (
  layers: number,
  hidden: number,
  heads: number,
  ffn: number,
  batch: number,
  length: number,
  vocab = 30522,
) =>
  Object.entries({ layers, hidden, heads, ffn, batch, length, vocab }).flatMap((
    [name, size],
  ) => [`--${name}`, `${size}`]);
const TINY = shape(1, 32, 2, 64, 2, 16, 200);
const BRIEF = ["--repetitions", "1", "--milliseconds", "20"];
const turns = (steps: number, repetitions: number) => ["--steps", `${steps}`, "--repetitions", `${repetitions}`];

/** By name: the order in which they run. */
const SUITES: Readonly<Record<string, Suite>> = {
  gemm: { task: "gemm", full: [], small: [...BRIEF, "--shape", "64,128,128"] },
  attention: { task: "attention", full: [], small: [...BRIEF, "--shapes", "2x16x2x16"] },
  layer_norm: { task: "layer_norm", full: [], small: [...BRIEF, "--shapes", "16x64"] },
  step_small: { task: "step", full: [...shape(2, 128, 2, 512, 16, 64), ...turns(4, 5)], small: [] },
  step: { task: "step", full: [...shape(6, 384, 12, 1536, 8, 64), ...turns(1, 3)], small: [...TINY, ...turns(1, 1)] },
  step_base: { task: "step", full: [...shape(12, 768, 12, 3072, 4, 128), ...turns(1, 3)], small: [] },
  step_large: {
    task: "step",
    full: [...shape(12, 768, 12, 3072, 32, 128), ...turns(1, 5)],
    small: [],
    large: true,
  },
  forward: {
    task: "step",
    full: ["--forward", ...shape(6, 384, 12, 1536, 8, 64), ...turns(2, 5)],
    small: ["--forward", ...TINY, ...turns(1, 1)],
  },
  forward_base: { task: "step", full: ["--forward", ...shape(12, 768, 12, 3072, 4, 128), ...turns(1, 3)], small: [] },
  input: { task: "input", full: [], small: ["--rows", "50", "--repetitions", "1"] },
  checkpoint: {
    task: "checkpoint",
    full: [],
    small: ["--layers", "1", "--hidden", "32", "--heads", "2", "--ffn", "64", "--vocab", "200", "--rounds", "1"],
  },
  search: { task: "study", full: [], small: ["--trials", "10", "--rounds", "1"] },
};

const { values: options } = parseArgs({
  options: {
    out: { type: "string" },
    table: { type: "string" },
    small: { type: "boolean", default: false },
    large: { type: "boolean", default: false },
    only: { type: "string" },
    peers: { type: "string", default: PEERS.join(",") },
    "torch-device": { type: "string", default: "cpu" },
  },
});

function fail(message: string): never {
  console.error(`error: ${message}`);
  Deno.exit(2);
}

/** The names of a list, all of them known. */
function chosen<Name extends string>(option: string, list: string, known: readonly Name[]): Name[] {
  const names = list.split(",").filter((name) => name !== "");
  const unknown = names.find((name) => !known.includes(name as Name));
  if (unknown !== undefined) fail(`Expected --${option} to be some of ${known.join(", ")} but found ${unknown}`);
  return names as Name[];
}

if (options.out === undefined) fail("Expected --out FILE: where the JSON lines go");
const only = options.only === undefined ? Object.keys(SUITES) : chosen("only", options.only, Object.keys(SUITES));
const peers = chosen("peers", options.peers, PEERS);
if (options.small && options.large) fail("Expected --small or --large, not both");
/** Steps of a turn on a GPU: a wait for it takes longer than one. */
const GPU_STEPS = 20;

/** What a suite is called with; undefined where it has no such size. */
function argumentsOf(name: string): string[] | undefined {
  const { task, full, small, large = false } = SUITES[name]!;
  const sizes = options.small ? small : full;
  if (options.small && small.length === 0 || large && !options.large) return undefined;
  if (task === "input") return [...sizes, ...(peers.includes("torch") ? [] : ["--no-peers"])];
  if (task !== "step") return [...sizes];
  // ONNX Runtime does not train.
  const able = peers.filter((peer) => large ? peer === "torch" : peer !== "onnx" || sizes.includes("--forward"));
  const more = options.large ? turns(GPU_STEPS, 5) : [];
  return [...sizes, ...more, "--peers", able.join(","), "--torch-device", options["torch-device"]];
}

const lines: Record<string, unknown>[] = [];
let failed = false;
await Deno.writeTextFile(options.out, "");
for (const name of only) {
  const args = argumentsOf(name);
  if (!args) continue;
  if (SUITES[name]!.task === "input" && !await isThere(dataFolder())) {
    const skipped = `${dataFolder()} is not there; WINNOW_DATA names another folder`;
    console.error(`${name}: left out, ${skipped}`);
    lines.push({ suite: name, skipped });
    await Deno.writeTextFile(options.out, `${JSON.stringify(lines.at(-1))}\n`, { append: true });
    continue;
  }
  const command = ["task", "--quiet", `bench:${SUITES[name]!.task}`, "--json", ...args];
  console.error(`${name}: deno ${command.join(" ")}`);
  const start = performance.now();
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: command,
    cwd: new URL("..", import.meta.url),
    stdout: "piped",
    stderr: "inherit",
  }).output();
  const text = new TextDecoder().decode(stdout).trim();
  const line = {
    suite: name,
    command: `deno ${command.join(" ")}`,
    seconds: Math.round((performance.now() - start) / 1000),
    ...(success ? { result: JSON.parse(text.slice(text.lastIndexOf("\n{") + 1)) } : { error: `${name} failed` }),
  };
  if (!success) {
    failed = true;
    console.error(`error: ${name} failed; the others go on`);
  }
  lines.push(line);
  await Deno.writeTextFile(options.out, `${JSON.stringify(line)}\n`, { append: true });
}
if (options.table !== undefined) await Deno.writeTextFile(options.table, table(lines));
Deno.exit(failed ? 1 : 0);
