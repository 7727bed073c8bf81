/**
 * Engines as processes that take turns: each holds nothing but its own model, so that its peak memory is its own, and
 * runs steps when asked. A line on stdin is a number of steps, a line of JSON on stdout the answer; the first line of
 * stdout says that the engine is ready.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import type { ModelShape } from "./encoder_model.ts";

/** Whole training steps (forward, backward, AdamW), or forward passes with both losses. */
export type Mode = "train" | "forward";

/** An engine as its process sees it. */
export interface Contender {
  /** What runs it, as the adapter calls itself; for an engine on the processor its threads. */
  readonly device: string;
  /** Runs steps on the one batch and resolves with the loss of the last when it is done. */
  run(steps: number): Promise<number>;
}

/** What an engine says when it is ready. */
interface Ready {
  readonly device: string;
}

/** What an engine answers to a number of steps. */
export interface Turn {
  readonly loss: number;
  readonly milliseconds: number;
  /** Milliseconds of all cores together. */
  readonly cpuMilliseconds: number;
  /** Largest resident set of the process so far. */
  readonly peakBytes: number;
  /** Most bytes of GPU buffers alive at once so far; 0 for an engine without. */
  readonly gpuBytes: number;
}

/** Counts the bytes of GPU buffers of every library of this process, from now on. */
function countGpuBytes(): () => number {
  const device = GPUDevice.prototype, buffer = GPUBuffer.prototype;
  const { createBuffer } = device, { destroy } = buffer;
  const alive = new WeakSet<GPUBuffer>();
  let bytes = 0, peak = 0;
  device.createBuffer = function (descriptor) {
    const made = createBuffer.call(this, descriptor);
    alive.add(made);
    peak = Math.max(peak, bytes += made.size);
    return made;
  };
  buffer.destroy = function () {
    if (alive.delete(this)) bytes -= this.size;
    destroy.call(this);
  };
  return () => peak;
}

/**
 * The main loop of an engine's process, whose arguments are a shape as JSON and a mode; exits at the end of stdin.
 *
 * @param open builds the model of the shape with its weights on the device
 */
export async function serve(open: (shape: ModelShape, mode: Mode) => Promise<Contender>): Promise<void> {
  const gpuBytes = countGpuBytes();
  const [shape, mode] = Deno.args as [string, Mode];
  // Libraries greet on stdout.
  const answer = (value: Ready | Turn) => process.stdout.write(`${JSON.stringify(value)}\n`);
  console.log = console.info = console.warn = console.error;
  const contender = await open(JSON.parse(shape), mode);
  answer({ device: contender.device });
  for await (const line of createInterface({ input: process.stdin })) {
    const before = process.cpuUsage(), start = performance.now();
    const loss = await contender.run(Number(line));
    const milliseconds = performance.now() - start, { user, system } = process.cpuUsage(before);
    const cpuMilliseconds = (user + system) / 1000;
    answer({
      loss,
      milliseconds,
      cpuMilliseconds,
      peakBytes: 1024 * process.resourceUsage().maxRSS,
      gpuBytes: gpuBytes(),
    });
  }
  Deno.exit(0);
}

/** An engine's process as the benchmark sees it. */
export interface Engine<Answer = Turn> {
  readonly name: string;
  readonly device: string;
  /** Runs steps on the one batch. */
  run(steps: number): Promise<Answer>;
  close(): Promise<void>;
}

/**
 * Starts an engine's process and waits until it is ready.
 *
 * @throws {Error} when the process ends before its time, with what it wrote to stderr
 */
export async function startEngine<Answer = Turn>(name: string, command: readonly string[]): Promise<Engine<Answer>> {
  const child = spawn(command[0]!, command.slice(1), { stdio: ["pipe", "pipe", "pipe"] });
  const errors: string[] = [];
  child.stderr!.on("data", (chunk) => errors.push(String(chunk)));
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (!done) return JSON.parse(value);
    throw new Error(`${name} ended with ${await ended}:\n${errors.join("").slice(-4000)}`);
  };
  const { device } = await next() as Ready;
  return {
    name,
    device,
    run(steps) {
      child.stdin!.write(`${steps}\n`);
      return next();
    },
    async close() {
      child.stdin!.end();
      await ended;
    },
  };
}
