/**
 * The operands on which variants of a product are tried: random numbers on the GPU, in buffers shared as a training program
 * shares them, since a buffer that is also written is declared and cached otherwise.
 */
import { type Arena, type ArenaSlot, type BufferSlice, createArena, layoutSequential } from "./arena.ts";
import type { Gpu } from "./device.ts";
import { type GemmDispatch, type GemmOperand, type GemmRequest, ROW_PADDING } from "./gemm.ts";
import type { Dispatch } from "./program.ts";
import { randomStream } from "../support/rng.ts";

/** Numbers drawn; a prime, so that no row of a matrix is another's copy. Repeated from there on. */
const PERIOD = 65521;

/** Repetitions of the drawn numbers in one upload: 4 MiB of f32, and an even number of them. */
const REPEATED = 16;

/** What of C and aux is compared, in elements: all of it would take longer to read than to make. */
const PIECES = 8;
const PIECE = 1 << 14;

/** A piece of what a product writes. */
export interface WrittenPiece {
  readonly slice: BufferSlice;
  /** Whether its numbers are of 16 bits. */
  readonly half: boolean;
}

/** The buffers of one product, by the names of the kernels' bindings. */
export interface Operands {
  /** Bindings of the dispatches of a plan of the request's shape. */
  dispatches(plan: GemmDispatch): Dispatch[];
  /** Gives C, and aux where it is written, what they hold before a product: NaN, unless the epilogue adds to it. */
  reset(): void;
  /** Pieces of what a product writes, C's and then, where one is written, aux's: the same elements for every `half`. */
  pieces(): WrittenPiece[];
  destroy(): void;
}

/** Where an operand is uploaded from: as its numbers are stored. */
type Pattern = Uint8Array<ArrayBuffer>;

const drawn = new Map<string, Float32Array>();

/** Numbers in [-1, 1) that depend on the label alone. */
function numbers(label: string): Float32Array {
  const random = randomStream(0, "tune", label);
  const known = drawn.get(label) ?? Float32Array.from({ length: PERIOD }, () => 2 * random.uniform() - 1);
  drawn.set(label, known);
  return known;
}

/** The numbers of an operand, rounded to 16 bits where `rounded`, stored in 16 where `half`. */
function pattern(label: string, rounded: boolean, half: boolean): Pattern {
  const values = rounded ? new Float16Array(numbers(label)) : numbers(label);
  const repeated = new (half ? Float16Array : Float32Array)(REPEATED * PERIOD);
  for (let i = 0; i < REPEATED; i++) repeated.set(values, i * PERIOD);
  return new Uint8Array(repeated.buffer);
}

/** NaN in 16 bits and in 32. */
const NOTHING: Pattern = new Uint8Array(1 << 22).fill(0xff);

function upload({ device }: Gpu, { buffer, offset, size }: BufferSlice, from: Pattern): void {
  for (let start = 0; start < size; start += from.length) {
    device.queue.writeBuffer(buffer, offset + start, from.subarray(0, Math.min(from.length, size - start)));
    device.queue.submit([]);
  }
}

/** Bytes of each operand, token-major ones with their padding, and of the scratch memory of split-K. */
export function operandBytes(
  { layout, m, n, k, half = [] }: GemmRequest,
  splits: number,
): Record<GemmOperand | "bias" | "partials", number> {
  const padded = (rows: number) => Math.ceil(rows / ROW_PADDING) * ROW_PADDING;
  const [rows, depth] = layout === "tn" ? [m, padded(k)] : [padded(m), k];
  const bytes = (operand: GemmOperand, elements: number) => elements * (half.includes(operand) ? 2 : 4);
  return {
    a: bytes("a", rows * depth),
    b: bytes("b", n * depth),
    bias: 4 * n,
    c: bytes("c", rows * n),
    aux: bytes("aux", rows * n),
    partials: splits > 1 ? 4 * splits * m * n : 4,
  };
}

/**
 * Allocates and fills the operands of a product, the same numbers for every `half`.
 *
 * @param rounded operands whose numbers are those of 16 bits, however they are stored
 */
export function createOperands(gpu: Gpu, request: GemmRequest, splits: number, rounded: readonly GemmOperand[]) {
  const { layout, m, n, epilogue, half = [] } = request;
  const sizes = operandBytes(request, splits);
  // As in training: activations are in one buffer, parameters in another, weights' gradients in a third.
  const homes = layout === "tn"
    ? { activations: ["a", "b", "partials"], parameters: [], gradients: ["c", "bias", "aux"] } as const
    : { activations: ["a", "c", "aux", "partials"], parameters: ["b", "bias"], gradients: [] } as const;
  const arenas: Arena[] = [];
  const slices = {} as Record<keyof typeof sizes, BufferSlice>;
  for (const [label, names] of Object.entries<readonly (keyof typeof sizes)[]>(homes)) {
    const { slots, layout } = layoutSequential(`tuned ${label}`, names.map((name) => sizes[name]), Infinity);
    const arena = createArena(gpu, layout);
    arenas.push(arena);
    names.forEach((name, i) => slices[name] = arena.slice(slots[i] as ArenaSlot));
  }
  const patternOf = (name: GemmOperand | "bias") =>
    pattern(name, rounded.some((one) => one === name), half.some((one) => one === name));
  for (const name of ["a", "b", "bias"] as const) upload(gpu, slices[name], patternOf(name));
  const before = {
    c: epilogue === "accumulate" ? patternOf("c") : NOTHING,
    aux: epilogue.startsWith("d") ? patternOf("aux") : NOTHING,
  };
  const written = epilogue.startsWith("bias_") ? ["c", "aux"] as const : ["c"] as const;
  const operands: Operands = {
    dispatches({ second, later = [], ...first }) {
      if (!second) return [first, ...later].map((step) => ({ ...step, bindings: slices }));
      return [{ ...first, bindings: { ...slices, c: slices.partials } }, { ...second, bindings: slices }];
    },
    reset() {
      upload(gpu, slices.c, before.c);
      upload(gpu, slices.aux, before.aux);
    },
    pieces: () =>
      written.flatMap((name) => {
        const { buffer, offset } = slices[name];
        const isHalf = half.includes(name), bytes = isHalf ? 2 : 4;
        const size = Math.min(m * n, PIECE), count = m * n > size ? PIECES : 1;
        return Array.from({ length: count }, (_, i) => {
          const start = count === 1 ? 0 : Math.floor((m * n - size) * i / (count - 1) / 8) * 8;
          return { slice: { buffer, offset: offset + bytes * start, size: bytes * size }, half: isHalf };
        });
      }),
    destroy: () => arenas.forEach((arena) => arena.destroy()),
  };
  return operands;
}
