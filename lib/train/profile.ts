/**
 * Where the time of a training step goes: every dispatch timed on the GPU, beside the same step run in one pass. Runs of
 * the two take turns, so that a machine whose clock changes changes it for both.
 */
import type { Batch } from "../data/batches.ts";
import type { ProgramRunner } from "../gpu/program.ts";
import { createDispatchTimer, type TickSpan } from "../gpu/timer.ts";
import { type CallCost, callCost, callName, isGemm } from "../graph/cost.ts";
import type { KernelCall } from "../graph/graph.ts";
import { median } from "../support/median.ts";
import type { Engine, StepOptions } from "./engine.ts";

/** The parts of a step, in order: forward includes the losses and their derivatives by the logits. */
export const PHASES = ["forward", "backward", "optimizer"] as const;

/** One of `PHASES`. */
export type Phase = typeof PHASES[number];

/** A dispatch of the step. */
export interface ProfiledDispatch {
  readonly call: KernelCall;
  readonly phase: Phase;
  readonly cost: CallCost;
  /** Median over the timed steps. */
  readonly milliseconds: number;
}

/** A slice of a timeline, in milliseconds of `performance.now()`. */
export interface Slice {
  readonly name: string;
  readonly begin: number;
  readonly end: number;
}

/** What profiling a step found. */
export interface StepProfile {
  /** In the order in which they run. */
  readonly dispatches: readonly ProfiledDispatch[];
  /** Times that every dispatch was timed. */
  readonly steps: number;
  /** GPU time of the step in one pass: median. */
  readonly onePassMs: number;
  /** Nanoseconds of a tick of the GPU's clock: 1 on most adapters, else measured against the CPU's. */
  readonly tickNs: number;
  readonly timeline: {
    /** What the CPU did for the timed steps, by step. */
    readonly cpu: readonly (readonly Slice[])[];
    /** By timed step, a slice for each dispatch, in order. */
    readonly gpu: readonly (readonly Slice[])[];
    /** The steps in one pass: a slice for each micro-batch. */
    readonly onePass: readonly (readonly Slice[])[];
  };
}

/** How a step is profiled. */
export interface ProfileOptions {
  /** The micro-batches of the step, made anew each time as training makes them. */
  readonly batches: () => readonly Batch[];
  readonly lambdas: Pick<StepOptions, "lambdaClass" | "lambdaSpan">;
  /** Timed steps, and as many in one pass. */
  readonly steps: number;
  /** Steps before them that do not count: the first compiles the kernels. 2 unless given. */
  readonly warmup?: number;
  readonly signal?: AbortSignal;
  /** Told how many of all steps are done. */
  onStep?(done: number, all: number): void;
}

/** Keys that attention walks over in a batch: up to the last of each text, all where a text has none. */
function keysOf({ mask, size, length }: Batch): number {
  let keys = 0;
  for (let text = 0; text < size; text++) {
    const last = mask.subarray(text * length, (text + 1) * length).lastIndexOf(1);
    keys += last < 0 ? length : last + 1;
  }
  return keys;
}

/** The calls of a step over these micro-batches. */
export function stepCalls({ plan }: Pick<Engine, "plan">, batches: readonly Batch[]) {
  const micro = batches.flatMap((batch) => {
    const { calls, backwardCalls } = plan.training.get(batch.length)!.graph;
    const keys = keysOf(batch);
    return calls.map((call) => ({
      call,
      phase: (backwardCalls.has(call) ? "backward" : "forward") as Phase,
      cost: callCost(call, keys),
    }));
  });
  const update = plan.optimizer.graph.calls.map((call) => ({
    call,
    phase: "optimizer" as Phase,
    cost: callCost(call),
  }));
  return [...micro, ...update];
}

/** How far clocks may disagree before a tick is no nanosecond: a busy machine is late, other ticks are 10 and more. */
const TICK_TOLERANCE = 3;

/**
 * The length of a tick in nanoseconds, which WebGPU promises to be 1 and Deno does not convert to (Vulkan's
 * timestampPeriod is 1 on NVIDIA and lavapipe, 10 on AMD, 52 or 83 on Intel): from the first to the last of moments seen on
 * both clocks.
 */
export function tickLength(moments: readonly { readonly ms: number; readonly tick: number }[]): number {
  const first = moments[0]!, last = moments.at(-1)!;
  const measured = 1e6 * (last.ms - first.ms) / (last.tick - first.tick);
  return measured > 1 / TICK_TOLERANCE && measured < TICK_TOLERANCE || !Number.isFinite(measured) ? 1 : measured;
}

/** The scalars of a step that leaves the parameters as they are. */
function scalars(step: number, batches: readonly Batch[], lambdas: ProfileOptions["lambdas"]): StepOptions {
  return { ...lambdas, seed: 1, step: step + 1, learningRate: 0, draw: step * batches.length };
}

/**
 * Times the dispatches of a training step. The learning rate is 0: the parameters stay as they are, their moments do not.
 *
 * @throws {WinnowError} of kind `input` where the adapter has no timestamps
 * @throws the signal's reason
 */
export async function profileStep(engine: Engine, options: ProfileOptions): Promise<StepProfile> {
  const { lambdas, steps, warmup = 2, signal, onStep = () => {} } = options;
  const calls = stepCalls(engine, options.batches());
  let watched: Slice[] | undefined, submitted: number | undefined;
  const measure = <T>(name: string, work: () => T): T => {
    const begin = performance.now();
    if (name === "submit") submitted ??= begin;
    const result = work();
    watched?.push({ name, begin, end: performance.now() });
    return result;
  };
  const timer = createDispatchTimer(engine.gpu, calls.length, measure);
  /** When a step was submitted on the CPU's clock, and when its first dispatch began on the GPU's. */
  const moments: { ms: number; tick: number }[] = [];
  const cpu: Slice[][] = [], each: TickSpan[][] = [], whole: TickSpan[][] = [];
  let step = 0;
  const timed = async (run: ProgramRunner): Promise<TickSpan[]> => {
    signal?.throwIfAborted();
    const batches = measure("batch", options.batches);
    submitted = undefined;
    engine.step(batches, scalars(step++, batches, lambdas), { measure, run });
    const waiting = performance.now();
    const spans = await timer.read();
    watched?.push({ name: "wait", begin: waiting, end: performance.now() });
    await engine.drain();
    moments.push({ ms: submitted!, tick: spans[0]!.begin });
    onStep(step, warmup + 2 * steps);
    return spans;
  };
  try {
    // A step of each kind in turn, first unseen: kernels are compiled by the first.
    for (let i = 0; i < warmup; i++) await timed(i % 2 === 0 ? timer.runWhole : timer.runEach);
    for (let i = 0; i < steps; i++) {
      cpu.push(watched = []);
      each.push(await timed(timer.runEach));
      watched = undefined;
      whole.push(await timed(timer.runWhole));
    }
  } finally {
    timer.destroy();
  }
  const tickNs = tickLength(moments);
  const perMs = 1e6 / tickNs;
  // The clocks' offset: the least at which no step begins before it is submitted.
  const offset = Math.max(...moments.map(({ ms, tick }) => ms - tick / perMs));
  const slice = (name: string, { begin, end }: TickSpan) => ({
    name,
    begin: offset + begin / perMs,
    end: offset + end / perMs,
  });
  const lasting = ({ begin, end }: TickSpan) => (end - begin) / perMs;
  return {
    dispatches: calls.map((one, i) => ({ ...one, milliseconds: median(each.map((spans) => lasting(spans[i]!))) })),
    steps,
    onePassMs: median(whole.map((spans) => spans.reduce((sum, span) => sum + lasting(span), 0))),
    tickNs,
    timeline: {
      cpu,
      gpu: each.map((spans) => spans.map((span, i) => slice(callName(calls[i]!.call), span))),
      onePass: whole.map((spans) => spans.map((span) => slice("in one pass", span))),
    },
  };
}

/**
 * Milliseconds of a step where steps are queued one behind the other, as in training: a mean over `steps`, batches, uploads
 * and one wait for the last of them included.
 *
 * @throws the signal's reason
 */
export async function queuedStepMs(
  engine: Engine,
  options: Omit<ProfileOptions, "warmup" | "onStep">,
): Promise<number> {
  const began = performance.now();
  for (let step = 0; step < options.steps; step++) {
    options.signal?.throwIfAborted();
    const batches = options.batches();
    if (engine.mustDrain(batches.length)) await engine.drain();
    engine.step(batches, scalars(step, batches, options.lambdas));
  }
  await engine.drain();
  return (performance.now() - began) / options.steps;
}

/** What matrix products take of a step. */
export interface ProductShare {
  /** Milliseconds of the GEMM kernels. */
  readonly gemmMs: number;
  /** The step in one pass over its GEMMs alone: 1 would be a step of nothing else. */
  readonly stepOverGemm: number;
}

/** What matrix products take of a profiled step. */
export function productShare({ dispatches, onePassMs }: Pick<StepProfile, "dispatches" | "onePassMs">): ProductShare {
  const gemmMs = dispatches.reduce((sum, { call, milliseconds }) => sum + (isGemm(call) ? milliseconds : 0), 0);
  return { gemmMs, stepOverGemm: onePassMs / gemmMs };
}
