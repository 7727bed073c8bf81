/**
 * Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC'11).
 *
 * A counter-based stream has no state to save: position n of stream (seed, labels) is a pure function, which is what
 * lets an interrupted run continue in the same bits. `kernels/philox.wgsl` is the same function on the GPU.
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;

/** High 32 bits of the 64-bit product of two u32. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff, aHigh = a >>> 16, bLow = b & 0xffff, bHigh = b >>> 16;
  // No sum here exceeds 32 bits.
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const middle2 = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + (middle >>> 16) + (middle2 >>> 16)) >>> 0;
}

/** One block of Philox4x32-10: four u32 from a 128-bit counter and a 64-bit key. */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter.map((word) => word >>> 0) as [number, number, number, number];
  let k0 = key[0] >>> 0, k1 = key[1] >>> 0;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0), low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2), low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** FNV-1a over the UTF-16 units of the labels, so that a stream can be named by words. */
function hashLabels(labels: readonly (string | number)[]): number {
  let hash = 0x811c9dc5;
  for (const character of labels.join("\u0000")) {
    hash = Math.imul(hash ^ character.codePointAt(0)!, 0x01000193) >>> 0;
  }
  return hash;
}

/** A sequence of random numbers that depends on its seed and labels only. */
export interface RandomStream {
  /** The next u32. */
  uint32(): number;
  /** The next float in [0, 1) with 53 random bits. */
  uniform(): number;
  /** The next integer in [0, bound), without modulo bias. */
  integer(bound: number): number;
  /** The next standard normal number (Box-Muller). */
  normal(): number;
  /** One element of a non-empty array. */
  pick<T>(items: readonly T[]): T;
  /** A shuffled copy (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[];
}

/**
 * The stream named by a seed and labels: `randomStream(seed, "order", epoch)`.
 *
 * @example
 * ```ts
 * import { randomStream } from "./rng.ts";
 * import assert from "node:assert/strict";
 * assert.equal(randomStream(1, "split").uint32(), randomStream(1, "split").uint32());
 * ```
 */
export function randomStream(seed: number, ...labels: (string | number)[]): RandomStream {
  const key: [number, number] = [seed >>> 0, hashLabels(labels)];
  let block: number[] = [];
  let index = 0;
  const uint32 = () => {
    if (block.length === 0) {
      block = philox4x32([index >>> 0, Math.floor(index / 2 ** 32), Math.floor(seed / 2 ** 32) >>> 0, 0], key)
        .reverse();
      index++;
    }
    return block.pop()!;
  };
  const uniform = () => ((uint32() >>> 5) * 67108864 + (uint32() >>> 6)) / 9007199254740992;
  const integer = (bound: number) => {
    if (!(Number.isInteger(bound) && bound > 0 && bound <= 2 ** 32)) {
      throw new RangeError(`Expected bound to be an integer from 1 to 2^32 but found ${bound}`);
    }
    const limit = 2 ** 32 - (2 ** 32 % bound);
    for (;;) {
      const value = uint32();
      if (value < limit) return value % bound;
    }
  };
  return {
    uint32,
    uniform,
    integer,
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    pick: (items) => {
      if (items.length === 0) throw new RangeError("Expected a non-empty array to pick from");
      return items[integer(items.length)]!;
    },
    shuffle: (items) => {
      const shuffled = [...items];
      for (let i = shuffled.length - 1; i > 0; i--) {
        const j = integer(i + 1);
        [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
      }
      return shuffled;
    },
  };
}
