/**
 * Which variant of a product is the fastest on an adapter, found by trying. A variant is taken only where it agrees with
 * the plain kernel, since drivers have been seen to give wrong numbers without a word, and bit for bit with the others: so
 * what is chosen, which depends on timings, never changes a result. Times are the GPU's own (timestamp queries), of turns
 * in which every variant runs once, so that what else the machine does meets all of them.
 *
 * The candidates, and the cache by checksum, are habits of cubecl's and tinygrad's tuners.
 */
import { createHash } from "node:crypto";
import { WinnowError } from "../support/errors.ts";
import { median } from "../support/median.ts";
import type { Gpu } from "./device.ts";
import { type GemmDispatch, gemmDispatch, type GemmRequest, generalDispatch } from "./gemm.ts";
import {
  BROADCAST_VARIANT_NAMES,
  BROADCAST_VARIANTS,
  type GemmVariant,
  TILED_VARIANT_NAMES,
  tiledDemand,
} from "./gemm_variants.ts";
import { createStepRing, type Program, recordProgram, runInOnePass } from "./program.ts";
import { createReadback } from "./readback.ts";
import { createDispatchTimer } from "./timer.ts";
import { createOperands, operandBytes, type Operands } from "./tune_operands.ts";

/** Turns before the times count, and turns that count. */
const WARM_TURNS = 3;
const TIMED_TURNS = 5;

/** No product of more floating-point operations is tried: 0.4 ms at 20 TFLOP/s, and a full grid on any GPU. */
const MOST_OPERATIONS = 2 ** 33;
const MOST_TOKENS = 8192;

/** What trying the variants of a product has shown. */
export interface GemmTuning {
  /** The fastest of those that are right; undefined where none is. */
  readonly variant: GemmVariant | undefined;
  /** Times of the turns that count, in microseconds. */
  readonly microseconds: Readonly<Partial<Record<GemmVariant, readonly number[]>>>;
  /** Variants that were left out, and why. */
  readonly dropped: Readonly<Partial<Record<GemmVariant, string>>>;
}

/** What of an adapter decides which variants it can run. */
export type TunedGpu = Pick<Gpu, "limits" | "preset" | "subgroupSize" | "features">;

/**
 * The shape at which a product is tried: its tokens rounded up to a power of two and bounded, less three, so that the last
 * tile is cut. Products that are alike in that share a choice.
 */
export function tunedRequest(request: GemmRequest): GemmRequest {
  const { layout, m, n, k } = request;
  const [tokens, weights] = layout === "tn" ? [k, m * n] : [m, n * k];
  let rounded = Math.min(MOST_TOKENS, 2 ** Math.ceil(Math.log2(tokens)));
  while (rounded > 64 && 2 * rounded * weights > MOST_OPERATIONS) rounded /= 2;
  const tried = rounded < 64 ? rounded : rounded - 3;
  return layout === "tn" ? { ...request, k: tried } : { ...request, m: tried };
}

/** What products must have in common to share a choice, for people to read. */
export function tuningKey(request: GemmRequest): string {
  const { layout, m, n, k, epilogue, half = [] } = tunedRequest(request);
  return `${layout} ${m}x${n}x${k} ${epilogue}${half.length > 0 ? ` 16 bits ${[...half].sort().join()}` : ""}`;
}

/**
 * The variants that an adapter can run of a product: none where only the general kernel takes its sizes, or where it cannot
 * be tried, for lack of timestamps or of room in a binding.
 */
export function gemmCandidates(gpu: TunedGpu, request: GemmRequest): GemmVariant[] {
  const plan = gemmDispatch(request);
  if (plan.kernel === generalDispatch({ ...request, half: [] }).kernel || !gpu.features.has("timestamp-query")) {
    return [];
  }
  const { maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = gpu.limits;
  const tried = tunedRequest(request);
  const bytes = Object.values(operandBytes({ ...tried, half: [] }, gemmDispatch(tried).splits));
  if (Math.max(...bytes) > maxStorageBufferBindingSize) return [];
  if (request.preset === "broadcast") {
    return BROADCAST_VARIANT_NAMES.filter((name) => BROADCAST_VARIANTS[name].rows % request.subgroupSize === 0);
  }
  return TILED_VARIANT_NAMES.filter((name) => {
    const { invocations, bytes } = tiledDemand(name);
    return invocations <= maxComputeInvocationsPerWorkgroup && bytes <= maxComputeWorkgroupStorageSize;
  });
}

/** SHA-256 of all that the kernels of the candidates are made from, and of the plain kernel. */
export function candidatesChecksum(request: GemmRequest, candidates: readonly GemmVariant[]): string {
  const plans = [...candidates.map((variant) => gemmDispatch({ ...request, variant })), referenceDispatch(request)];
  const hash = createHash("sha256");
  for (const { kernel, constants, second, later = [] } of plans) {
    for (const step of [{ kernel, constants }, ...(second ? [second] : []), ...later]) {
      hash.update(JSON.stringify([step.kernel.source, step.kernel.includes, step.constants]));
    }
  }
  return hash.digest("hex");
}

/** The product by the plain kernel, which reads 16 bits but writes none. */
function referenceRequest(request: GemmRequest): GemmRequest {
  return { ...request, half: request.half?.filter((operand) => operand === "a" || operand === "b") ?? [] };
}
const referenceDispatch = (request: GemmRequest): GemmDispatch => generalDispatch(referenceRequest(request));

/** The numbers of the pieces of what was written. */
async function readPieces(gpu: Gpu, operands: Operands): Promise<(Float32Array | Float16Array)[]> {
  const pieces = operands.pieces();
  const readback = createReadback(gpu, pieces.reduce((sum, { slice }) => sum + Math.ceil(slice.size / 4) * 4, 0));
  try {
    for (const { slice } of pieces) readback.enqueue(slice);
    const read = await readback.flush();
    return read.map((bytes, i) => pieces[i]!.half ? new Float16Array(bytes) : new Float32Array(bytes));
  } finally {
    readback.destroy();
  }
}

/** What is wrong with numbers that should be `expected` up to rounding; undefined where nothing is. */
function difference(
  { k, half = [] }: GemmRequest,
  found: readonly ArrayLike<number>[],
  expected: readonly ArrayLike<number>[],
): string | undefined {
  const isHalf = half.includes("c");
  for (const [piece, numbers] of expected.entries()) {
    for (let i = 0; i < numbers.length; i++) {
      const [is, should] = [found[piece]![i]!, numbers[i]!];
      // Products of numbers in [-1, 1) are a quarter on average: four times the error of a sum in order.
      const tolerance = 1e-6 * (1 + k) + (isHalf ? Math.abs(should) / 512 + 1e-4 : 0);
      if (!(Math.abs(is - should) <= tolerance)) return `${is} where the plain kernel gives ${should}`;
    }
  }
}

/** Times of every program in every turn, in microseconds: [program][turn]. */
async function timeInTurns(gpu: Gpu, programs: readonly Program[], turns: number): Promise<number[][]> {
  const timer = createDispatchTimer(gpu, turns * programs.length);
  try {
    for (let turn = 0; turn < turns; turn++) {
      for (const program of programs) timer.runWhole([program], 0);
    }
    const spans = await timer.read();
    return programs.map((_, i) =>
      Array.from({ length: turns }, (_, turn) => {
        const { begin, end } = spans[turn * programs.length + i]!;
        return (end - begin) / 1000;
      })
    );
  } finally {
    timer.destroy();
  }
}

/**
 * Tries the candidates of a product at its tuned shape and chooses the fastest of those that are right.
 *
 * @param candidates of `gemmCandidates`, at least one
 * @param dispatchOf how a variant is run; for tests, which need wrong ones
 * @throws {WinnowError} of kind `failure` when the GPU refuses even the plain kernel
 */
export async function tuneGemm(
  gpu: Gpu,
  request: GemmRequest,
  candidates: readonly GemmVariant[],
  dispatchOf: (request: GemmRequest) => GemmDispatch = gemmDispatch,
): Promise<GemmTuning> {
  const tried = tunedRequest(request);
  const plans = candidates.map((variant) => ({ variant, plan: dispatchOf({ ...tried, variant }) }));
  const splits = Math.max(...plans.map(({ plan }) => plan.splits));
  const ring = createStepRing(gpu);
  const reference = createOperands(gpu, referenceRequest(tried), 1, tried.half ?? []);
  const expected = await (async () => {
    try {
      reference.reset();
      const program = recordProgram(gpu, "plain product", ring, reference.dispatches(referenceDispatch(tried)));
      runInOnePass(gpu, [program], 0);
      program.destroy();
      return await readPieces(gpu, reference);
    } finally {
      reference.destroy();
    }
  })();
  const operands = createOperands(gpu, tried, splits, tried.half ?? []);
  const right: { variant: GemmVariant; program: Program }[] = [];
  const dropped: Partial<Record<GemmVariant, string>> = {};
  try {
    let bits: string | undefined;
    for (const { variant, plan } of plans) {
      let program: Program | undefined;
      try {
        program = recordProgram(gpu, `tuned ${variant}`, ring, operands.dispatches(plan));
        operands.reset();
        runInOnePass(gpu, [program], 0);
        const found = await readPieces(gpu, operands);
        const digest = createHash("sha256");
        for (const { buffer } of found) digest.update(new Uint8Array(buffer as ArrayBuffer));
        const hash = digest.digest("hex");
        const wrong = difference(tried, found, expected) ??
          (hash === (bits ?? hash) ? undefined : `other bits than "${right[0]!.variant}"`);
        if (wrong === undefined) {
          bits = hash;
          right.push({ variant, program });
          program = undefined;
        } else dropped[variant] = wrong;
      } catch (error) {
        // A variant that a driver does not take is no reason to do without the others.
        if (!(error instanceof WinnowError)) throw error;
        dropped[variant] = error.message;
      } finally {
        program?.destroy();
      }
    }
    if (right.length === 0) return { variant: undefined, microseconds: {}, dropped };
    operands.reset();
    const times = await timeInTurns(gpu, right.map(({ program }) => program), WARM_TURNS + TIMED_TURNS);
    const timed = right.map(({ variant }, i) => ({ variant, times: times[i]!.slice(WARM_TURNS) }));
    const fastest = timed.reduce((best, one) => median(one.times) < median(best.times) ? one : best);
    return {
      variant: fastest.variant,
      microseconds: Object.fromEntries(timed.map(({ variant, times }) => [variant, times])),
      dropped,
    };
  } finally {
    for (const { program } of right) program.destroy();
    operands.destroy();
    ring.destroy();
  }
}
