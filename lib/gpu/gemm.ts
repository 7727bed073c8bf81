/**
 * Which kernel multiplies two matrices: layout, shape, epilogue and preset in, kernel, constants, `Dims` and grid out.
 *
 * All sizes travel in the `Dims` uniform, so that one pipeline serves every layer and batch length of a layout and
 * epilogue: a model compiles five GEMM pipelines instead of a dozen, at 0.2-0.3 s each on lavapipe. Sizes as constants
 * gain 0-5 % there (512x768x768, measured interleaved).
 */
import { type Constants } from "./template.ts";
import {
  BROADCAST_VARIANTS,
  type BroadcastVariantName,
  type GemmVariant,
  TILED_VARIANTS,
  tiledConstants,
  type TiledVariantName,
} from "./gemm_variants.ts";
import { defineKernel, type Kernel } from "./kernel.ts";
import broadcastSource from "../../kernels/gemm_broadcast.wgsl" with { type: "text" };
import tiledSource from "../../kernels/gemm_tiled.wgsl" with { type: "text" };
import generalSource from "../../kernels/gemm_general.wgsl" with { type: "text" };
import epilogueSource from "../../kernels/gemm_epilogue.wgsl" with { type: "text" };
import activationSource from "../../kernels/feed_forward_activation.wgsl" with { type: "text" };
import halfSource from "../../kernels/half.wgsl" with { type: "text" };
import sumPartialsSource from "../../kernels/sum_partials.wgsl" with { type: "text" };

/**
 * Token-major buffers (activations and their gradients) are allocated with rows up to a multiple of this: kernels may
 * load and store those rows, whatever they hold (NaN included) never reaches a real row.
 */
export const ROW_PADDING = 32;

/**
 * How the operands lie in memory, row-major; C is [M, N]:
 *
 * - `nt`: A [M, K] · B [N, K]ᵀ, y = x·Wᵀ; M counts tokens
 * - `nn`: A [M, K] · B [K, N], dx = dy·W; M counts tokens
 * - `tn`: A [K, M]ᵀ · B [K, N], dW = dyᵀ·x; K counts tokens
 */
export type GemmLayout = "nt" | "nn" | "tn";

/** The function between the two products of a feed-forward block; see `feed_forward_activation.wgsl`. */
export type ActivationKind = "gelu_erf" | "gelu_tanh" | "relu";

/** The constants of `feed_forward_activation.wgsl`. */
export function activationConstants(kind: ActivationKind, type: "f32" | "vec4f"): Record<string, number | string> {
  return { ACTIVATION_TYPE: type, RELU: kind === "relu" ? 1 : 0, GELU_TANH: kind === "gelu_tanh" ? 1 : 0 };
}

/**
 * What is fused behind the product. `bias` is [N]; `aux` is [M, N], written by `bias_` with an activation (the
 * pre-activation u) and read by its derivative (c = result · f'(aux)); `accumulate` adds to what C holds.
 */
export type GemmEpilogue =
  | "none"
  | "bias"
  | `bias_${ActivationKind}`
  | "accumulate"
  | `d${ActivationKind}`;

/** `broadcast`: CPU drivers (subgroup operations, no barrier); `tiled`: GPUs (workgroup memory, no subgroups). */
export type GemmPreset = "broadcast" | "tiled";

/** What a product reads and writes in [rows, columns]. */
export type GemmOperand = "a" | "b" | "c" | "aux";

/** A product to be dispatched. */
export interface GemmRequest {
  readonly layout: GemmLayout;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly epilogue: GemmEpilogue;
  readonly preset: GemmPreset;
  /** Lanes of a subgroup on the adapter; the broadcast preset needs a power of two from 4 to 32. */
  readonly subgroupSize: number;
  /** Which operands lie in 16 bits, see `half.wgsl`; the sums are of 32 bits all the same. */
  readonly half?: readonly GemmOperand[];
  /** How the work is cut, where it is known what is the fastest; else it follows from the shape. */
  readonly variant?: GemmVariant | undefined;
  /** Slices of the contraction, otherwise made from the shape; for tests. */
  readonly splits?: number;
}

/** One dispatch: bindings are `a`, `b`, `c` and, by epilogue, `bias` and `aux`. */
export interface GemmStep {
  readonly kernel: Kernel;
  readonly constants: Constants;
  /** Fields of the `Dims` uniform; `rows` is the number of tokens. */
  readonly dims: Readonly<Record<string, number>>;
  readonly grid: readonly [number, number, number];
}

/** The dispatches of one product. */
export interface GemmDispatch extends GemmStep {
  /** Slices of the contraction. When above 1, `c` of the first dispatch is a scratch buffer of `scratch` floats. */
  readonly splits: number;
  /** Shape of the scratch buffer, [splits, M, N], when there is one. */
  readonly scratch?: readonly [number, number, number];
  /** Adds the slices: bindings `partials` (the scratch buffer) and `c`. */
  readonly second?: GemmStep;
  /** Further dispatches with the bindings of the first, one after another: each adds later tokens to what C holds. */
  readonly later?: readonly GemmStep[];
}

const INCLUDES = {
  "gemm_epilogue.wgsl": epilogueSource,
  "feed_forward_activation.wgsl": activationSource,
  "half.wgsl": halfSource,
};
const BROADCAST = defineKernel("gemm_broadcast", broadcastSource, INCLUDES);
const TILED = defineKernel("gemm_tiled", tiledSource, INCLUDES);
const GENERAL = defineKernel("gemm_general", generalSource, INCLUDES);
const SUM_PARTIALS = defineKernel("sum_partials", sumPartialsSource);

/**
 * Subgroups of a workgroup side by side along N in tn, of the broadcast preset: 64 rows x 128 columns. There both operands
 * are read down columns 128 bytes wide, so that what counts is how much of them the subgroups share: 1.3 to 2 times the rate
 * of 256 x 32 on the shapes of MiniLM and BERT-base on lavapipe. In nt and nn, where A is read along its rows, all
 * arrangements are the same within noise.
 */
const BROADCAST_ACROSS = 4;
/**
 * Tokens of a dispatch in tn, of the broadcast preset: the columns of more do not stay in a core's cache. 4,096 tokens at
 * once have less than half the rate of slices of 256 to 1,024 (384x384, 768x768, 1536x384); 512 at once are as fast as two
 * slices.
 */
const BROADCAST_TOKENS = 512;

/** Rows per invocation of the general kernel. */
const GENERAL_ROWS = 4;
/** Workgroups that fill a big GPU: two on each of the 132 multiprocessors of an H100. Not measured. */
const FULL_GRID = 264;
/** Tokens a slice of split-K must have at least, so that its stores stay small beside its products. */
const MIN_SLICE = 256;
/** Workgroups per dimension that every WebGPU device accepts. */
const MAX_GRID = 65535;

const ceilDivide = (a: number, b: number): number => Math.ceil(a / b);

/** The `Dims` of a layout: sizes in the order its kernels declare them. */
function dimsOf({ layout, m, n, k }: GemmRequest): Record<string, number> {
  return layout === "tn" ? { rows: k, m, n } : { rows: m, n, k };
}

/** How operands are stored, of kernels that see four columns at a time. */
function storageConstants({ half = [] }: GemmRequest): Record<string, number | string> {
  const entries = (["a", "b", "c", "aux"] as const).flatMap((operand) => {
    const name = operand.toUpperCase(), isHalf = half.includes(operand);
    return [
      [`${name}_TYPE`, isHalf ? "vec2u" : "vec4f"],
      [`${name}_READ`, isHalf ? "from_half" : ""],
      [`${name}_WRITE`, isHalf ? "to_half" : ""],
    ];
  });
  return { ...Object.fromEntries(entries), HALF: half.length > 0 ? 1 : 0 };
}

/** The same of the general kernel, which stores single numbers: two invocations would write one word of 16-bit ones. */
function generalStorage({ half = [] }: GemmRequest): Record<string, number | string> {
  const written = half.find((operand) => operand === "c" || operand === "aux");
  if (written) {
    throw new RangeError(`Expected sizes that a kernel of four columns takes, since ${written} is of 16 bits`);
  }
  const [a, b] = [half.includes("a"), half.includes("b")];
  const scalar = { TYPE: "f32", READ: "", WRITE: "" };
  const of = (name: string) =>
    Object.fromEntries(Object.entries(scalar).map(([key, value]) => [`${name}_${key}`, value]));
  return {
    ...{ ...of("C"), ...of("AUX") },
    ...{ A_HALF: a ? 1 : 0, A_TYPE: a ? "u32" : "f32", B_HALF: b ? 1 : 0, B_TYPE: b ? "u32" : "f32" },
  };
}

/** Which operand lies transposed in memory. */
function layoutConstants(layout: GemmLayout): Record<string, number> {
  return { A_TRANSPOSED: layout === "tn" ? 1 : 0, B_TRANSPOSED: layout === "nt" ? 1 : 0 };
}

/** The activation that an epilogue computes or differentiates; any, where it does neither. */
function activationOf(epilogue: GemmEpilogue): ActivationKind {
  return epilogue.endsWith("relu") ? "relu" : epilogue.endsWith("tanh") ? "gelu_tanh" : "gelu_erf";
}

/** Constants of gemm_epilogue.wgsl. */
function epilogueConstants(epilogue: GemmEpilogue, element: "f32" | "vec4f"): Record<string, number | string> {
  return {
    ELEMENT: element,
    BIAS: epilogue.startsWith("bias") ? 1 : 0,
    ACTIVATE: epilogue.startsWith("bias_") ? 1 : 0,
    DERIVATIVE: epilogue.startsWith("d") ? 1 : 0,
    ACCUMULATE: epilogue === "accumulate" ? 1 : 0,
    ...activationConstants(activationOf(epilogue), element),
  };
}

/** A one-dimensional grid of any length, folded to fit the limit of a dimension. */
function linearGrid(workgroups: number): readonly [number, number, number] {
  const y = ceilDivide(workgroups, MAX_GRID);
  return [ceilDivide(workgroups, y), y, 1];
}

/** The request's variant where it is one of a preset's. */
function variantOf<Name extends string>({ variant }: GemmRequest, variants: Readonly<Record<Name, unknown>>) {
  return variant !== undefined && Object.hasOwn(variants, variant) ? variant as string as Name : undefined;
}

function broadcastDispatch(request: GemmRequest): GemmDispatch | undefined {
  const { layout, k, epilogue, half } = request;
  // A result of 16 bits would be rounded after every slice.
  const tokens = layout === "tn" && !half?.includes("c") ? BROADCAST_TOKENS : k;
  const [step, ...later] = Array.from({ length: ceilDivide(k, tokens) }, (_, i) => {
    const first = i * tokens;
    const slice = {
      ...request,
      k: Math.min(tokens, k - first),
      epilogue: first > 0 ? "accumulate" : epilogue,
    } as const;
    return broadcastStep(slice, first);
  }).filter((one) => one !== undefined);
  return step && { ...step, splits: 1, later };
}

/** One dispatch of the broadcast preset; in tn of the tokens from `first` on. */
function broadcastStep(request: GemmRequest, first: number): GemmStep | undefined {
  const { layout, m, n, k, epilogue, subgroupSize } = request;
  if (![4, 8, 16, 32].includes(subgroupSize)) return undefined;
  const untried: BroadcastVariantName = "32 rows, 8 subgroups";
  const chosen = BROADCAST_VARIANTS[variantOf(request, BROADCAST_VARIANTS) ?? untried];
  const { rows: most, subgroups } = chosen.rows % subgroupSize === 0 ? chosen : BROADCAST_VARIANTS[untried];
  // Where A is transposed a lane loads four rows of the tile.
  const rows = layout === "tn" ? Math.min(most, 4 * subgroupSize) : most;
  const columns = 4 * subgroupSize;
  const aligned = Math.min(BROADCAST_VARIANTS[untried].rows, 4 * subgroupSize);
  if (n % columns !== 0 || (layout === "tn" ? m % aligned : k % 4) !== 0) return undefined;
  const across = layout === "tn" ? Math.min(BROADCAST_ACROSS, subgroups) : 1;
  return {
    kernel: BROADCAST,
    constants: {
      ...epilogueConstants(epilogue, "vec4f"),
      ...layoutConstants(layout),
      ...storageConstants(request),
      SUBGROUP: subgroupSize,
      SUBGROUPS: subgroups,
      ACROSS: across,
      ROWS: rows,
    },
    dims: layout === "tn" ? { first, ...dimsOf(request) } : dimsOf(request),
    grid: [ceilDivide(m, rows * subgroups / across), ceilDivide(n, columns * across), 1],
  };
}

function tiledDispatch(request: GemmRequest): GemmDispatch | undefined {
  const { layout, m, n, k, epilogue } = request;
  if (n % 4 !== 0 || (layout === "tn" ? m : k) % 4 !== 0) return undefined;
  const tilesOf = (tile: number) => ceilDivide(m, tile) * ceilDivide(n, tile);
  // The large tile loads half as much per product; slices make up for few tiles, but only where tokens are many.
  const slices = layout === "tn" ? Math.max(1, Math.floor(k / MIN_SLICE)) : 1;
  const large = tilesOf(128) * slices >= FULL_GRID / 2;
  const untried: TiledVariantName = large ? "128x128 by 8x8, depth 16" : "64x64 by 4x4, depth 32";
  const variant = variantOf(request, TILED_VARIANTS) ?? untried;
  const sliceable = layout === "tn" && !request.half?.includes("c") &&
    (epilogue === "none" || epilogue === "accumulate");
  // From the shape alone, whatever the variant: another number of slices would be another sum.
  const fromShape = Math.max(1, Math.min(slices, Math.floor(FULL_GRID / tilesOf(large ? 128 : 64))));
  const splits = sliceable ? request.splits ?? fromShape : 1;
  const [tileRows, tileColumns] = TILED_VARIANTS[variant].tile;
  const step: GemmStep = {
    kernel: TILED,
    constants: {
      ...epilogueConstants(splits > 1 ? "none" : epilogue, "vec4f"),
      ...layoutConstants(layout),
      ...storageConstants(request),
      ...tiledConstants(variant),
    },
    dims: dimsOf(request),
    grid: [ceilDivide(n, tileColumns), ceilDivide(m, tileRows), splits],
  };
  if (splits === 1) return { ...step, splits };
  const count = m * n / 4;
  return {
    ...step,
    splits,
    scratch: [splits, m, n],
    second: sumPartials(splits, count * 4, epilogue === "accumulate"),
  };
}

/**
 * c [first … first + length) = Σ partials [slices, length] over the slices in order, added to c when `accumulate`.
 * Bindings `partials` and `c`.
 *
 * @throws {RangeError} when `first` is no multiple of `length`
 */
export function sumPartials(slices: number, length: number, accumulate: boolean, first = 0): GemmStep {
  if (first % length !== 0) throw new RangeError(`Expected first to be a multiple of ${length} but found ${first}`);
  const width = length % 4 === 0 ? 4 : 1;
  return {
    kernel: SUM_PARTIALS,
    constants: { T: width === 4 ? "vec4f" : "f32", ACCUMULATE: accumulate ? 1 : 0 },
    dims: { slices, count: length / width, first: first / width },
    grid: linearGrid(ceilDivide(length / width, 64)),
  };
}

/** The kernel for sizes that no preset takes: any m, n and k, without padding. */
export function generalDispatch(request: GemmRequest): GemmDispatch {
  const { layout, m, n, epilogue } = request;
  return {
    kernel: GENERAL,
    constants: {
      ...epilogueConstants(epilogue, "f32"),
      ...layoutConstants(layout),
      ...generalStorage(request),
      ROWS: GENERAL_ROWS,
    },
    dims: dimsOf(request),
    grid: linearGrid(ceilDivide(ceilDivide(m, GENERAL_ROWS) * n, 64)),
    splits: 1,
  };
}

/** Whether a product of this shape can be stored in 16 bits: not by the general kernel. */
export function storesHalf(request: Omit<GemmRequest, "half">): boolean {
  return gemmDispatch(request).kernel !== GENERAL;
}

/**
 * The dispatches that compute C [M, N] for a layout, shape and epilogue. The preset's kernel where the model-side sizes
 * are aligned (broadcast, 8 lanes: N a multiple of 32, K of 4 or, in tn, M of 32; tiled: multiples of 4), else the general
 * one.
 *
 * @throws {RangeError} when a size is not a positive integer
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const plan = gemmDispatch({
 *   layout: "nt", m: 13, n: 384, k: 384, epilogue: "bias", preset: "broadcast", subgroupSize: 8,
 * });
 * assert.equal(plan.kernel.name, "gemm_broadcast");
 * assert.deepEqual(plan.dims, { rows: 13, n: 384, k: 384 });
 * ```
 */
export function gemmDispatch(request: GemmRequest): GemmDispatch {
  for (const [name, size] of [["m", request.m], ["n", request.n], ["k", request.k]] as const) {
    if (!Number.isInteger(size) || size <= 0) {
      throw new RangeError(`Expected ${name} to be a positive integer but found ${size}`);
    }
  }
  if (request.preset === "tiled") return tiledDispatch(request) ?? generalDispatch(request);
  return broadcastDispatch(request) ?? generalDispatch(request);
}
