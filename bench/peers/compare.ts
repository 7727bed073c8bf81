/**
 * Runs the step benchmark's model in Winnow and in peers: first that all compute the same function, then in turns the
 * time of their steps. On CPU adapters a process's peak memory is all its memory, the device's too, and its CPU time is the
 * same on a busy machine, but silent on how well the cores are kept busy.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { forwardFlops, type ModelShape } from "./encoder_model.ts";
import { type Engine, type Mode, startEngine, type Turn } from "./protocol.ts";
import { peerScript, python } from "./python.ts";
import { median } from "../../lib/support/median.ts";

/** The engines that Winnow is compared with. */
export const PEERS = ["jax-js", "tfjs", "torch", "onnx"] as const;
export type Peer = typeof PEERS[number];

/** What to compare, and how long. */
export interface Comparison {
  readonly shape: ModelShape;
  readonly mode: Mode;
  readonly peers: readonly Peer[];
  /** Steps of a turn; nothing is read back before the last. */
  readonly steps: number;
  /** Turns of each engine, of which the median counts. */
  readonly repetitions: number;
  /** Where PyTorch runs. */
  readonly torchDevice: "cpu" | "cuda";
  /** Threads of PyTorch and ONNX Runtime on the processor. */
  readonly threads: number;
}

/** What was measured of one engine. */
export interface Measured {
  readonly device: string;
  /** Median of the turns, per step. */
  readonly step_ms: number;
  readonly step_ms_all: readonly number[];
  /** CPU time of a step, all cores together. */
  readonly cpu_ms: number;
  readonly tokens_per_second: number;
  /** Matrix products alone; a backward pass counts as two forward passes. */
  readonly gflops: number;
  readonly peak_rss_bytes: number;
  /** Most bytes of GPU buffers at once. */
  readonly gpu_bytes: number;
  /** Losses of the first two steps, before anything was timed. */
  readonly losses: readonly number[];
  /** Largest difference of those to Winnow's. */
  readonly difference: number;
  /** Winnow's tokens per second over this engine's. */
  readonly ratio: number;
  /** This engine's CPU time over Winnow's. */
  readonly ratio_cpu: number;
}

/** Losses of two engines may differ by so much. */
const TOLERANCE = 1e-3;

const root = fileURLToPath(new URL("../../", import.meta.url));

const torchPeer = peerScript("step_speed.py");

async function exportOnnx(shape: ModelShape, file: string): Promise<void> {
  const { success, stderr } = await new Deno.Command(python(), {
    args: [torchPeer, JSON.stringify(shape), "export", file],
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`The export to ONNX failed:\n${new TextDecoder().decode(stderr).slice(-4000)}`);
}

/** The command of an engine's process. */
async function commandOf(name: "winnow" | Peer, options: Comparison, folder: string): Promise<string[]> {
  const { shape, mode, threads, torchDevice } = options;
  const of = [JSON.stringify(shape), mode];
  const deno = (file: string, ...more: string[]) => [
    Deno.execPath(),
    "run",
    "--no-prompt",
    "-P=bench",
    `--config=${join(root, "deno.json")}`,
    join(root, "bench/peers", file),
    ...of,
    ...more,
  ];
  switch (name) {
    case "winnow":
      return deno("winnow.ts");
    case "jax-js":
      return deno("jax_js.ts");
    case "tfjs":
      return deno("tfjs.ts");
    case "torch":
      return [python(), torchPeer, ...of, "--device", torchDevice, "--threads", String(threads)];
    case "onnx": {
      const file = join(folder, "model.onnx");
      await exportOnnx(shape, file);
      return deno("onnx.ts", file, String(threads));
    }
  }
}

/**
 * @param say is told what goes on
 * @throws {Error} when an engine fails, another adapter answers, or the first losses differ by more than 1e-3
 */
export async function compare(
  options: Comparison,
  say: (line: string) => void,
): Promise<Record<string, Measured>> {
  const { shape, mode, steps, repetitions } = options;
  const folder = await Deno.makeTempDir({ prefix: "winnow-bench-" });
  const engines: Engine[] = [];
  const first = new Map<Engine, Turn[]>(), turns = new Map<Engine, Turn[]>();
  try {
    for (const name of ["winnow", ...options.peers] as const) {
      const engine = await startEngine(name, await commandOf(name, options, folder));
      engines.push(engine);
      const checked = [await engine.run(1), await engine.run(1)];
      first.set(engine, checked);
      const losses = checked.map(({ loss }) => loss), expected = first.get(engines[0]!)!.map(({ loss }) => loss);
      const difference = Math.max(...losses.map((loss, i) => Math.abs(loss - expected[i]!)));
      say(`${name} on ${engine.device}: losses ${losses.join(", ")}, off Winnow's by ${difference.toExponential(1)}`);
      if (!(difference <= TOLERANCE)) {
        throw new Error(`${name} computes another function: losses ${losses}, not ${expected}`);
      }
      // The second loss vouches for gradients and update, where they moved it.
      if (mode === "train" && !(Math.abs(losses[0]! - losses[1]!) > 3 * TOLERANCE)) {
        throw new Error(`Expected a step to change the loss by more than ${3 * TOLERANCE} but found ${losses}`);
      }
      const onAdapter = name === "winnow" || name === "jax-js" || name === "tfjs";
      if (onAdapter && engine.device !== engines[0]!.device) {
        throw new Error(`Expected one adapter but found "${engines[0]!.device}" and, for ${name}, "${engine.device}"`);
      }
    }
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const engine of engines) {
        const turn = await engine.run(steps);
        turns.set(engine, [...turns.get(engine) ?? [], turn]);
        say(`${engine.name}: ${(turn.milliseconds / steps).toFixed(1)} ms per step`);
      }
    }
  } finally {
    for (const engine of engines) await engine.close();
    await Deno.remove(folder, { recursive: true });
  }
  const flops = forwardFlops(shape) * (mode === "train" ? 3 : 1);
  const perStep = (engine: Engine) => median(turns.get(engine)!.map(({ milliseconds }) => milliseconds)) / steps;
  const cpuPerStep = (engine: Engine) =>
    median(turns.get(engine)!.map(({ cpuMilliseconds }) => cpuMilliseconds)) / steps;
  const own = perStep(engines[0]!), ownCpu = cpuPerStep(engines[0]!);
  return Object.fromEntries(engines.map((engine) => {
    const milliseconds = perStep(engine);
    const losses = first.get(engine)!.map(({ loss }) => loss);
    const last = turns.get(engine)!.at(-1)!;
    return [engine.name, {
      device: engine.device,
      step_ms: Number(milliseconds.toFixed(2)),
      step_ms_all: turns.get(engine)!.map((turn) => Number((turn.milliseconds / steps).toFixed(2))),
      cpu_ms: Number(cpuPerStep(engine).toFixed(2)),
      tokens_per_second: Number((1000 * shape.batch * shape.length / milliseconds).toPrecision(4)),
      gflops: Number((flops / milliseconds / 1e6).toPrecision(4)),
      peak_rss_bytes: last.peakBytes,
      gpu_bytes: last.gpuBytes,
      losses,
      difference: Math.max(...losses.map((loss, i) => Math.abs(loss - first.get(engines[0]!)![i]!.loss))),
      ratio: Number((milliseconds / own).toFixed(2)),
      ratio_cpu: Number((cpuPerStep(engine) / ownCpu).toFixed(2)),
    }];
  }));
}
