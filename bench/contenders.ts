/**
 * Contenders for one operation in one process: checked against each other, then timed in turns. On a CPU adapter, which
 * computes in threads of this process, its CPU time counts as well: it is the same on a busy machine, but silent on how
 * well the cores are kept busy.
 */
import process from "node:process";
import { median } from "../lib/support/median.ts";

/** One way to compute an operation. */
export interface Contender {
  readonly name: string;
  /** Runs the operation so many times and resolves when the last is done. */
  run(count: number): Promise<void>;
  /** What the operation gives. */
  result(): Promise<Float32Array[]>;
}

/** How long to measure. */
export interface Timing {
  /** Turns of each contender, of which the median counts. */
  readonly repetitions: number;
  /** Milliseconds that a turn is to last: the operation is run as often as that takes, up to 4,096 times. */
  readonly milliseconds: number;
}

const MOST_RUNS = 4096;

/** Largest absolute difference, which for NaN and for other lengths is NaN. */
export function largestDifference(x: readonly Float32Array[], y: readonly Float32Array[]): number {
  if (x.length !== y.length || x.some((array, i) => array.length !== y[i]!.length)) return NaN;
  let largest = 0;
  x.forEach((array, i) => array.forEach((value, j) => largest = Math.max(largest, Math.abs(value - y[i]![j]!))));
  return largest;
}

/**
 * How far each contender's result is from the first's.
 *
 * @throws {Error} when one is off by more than `tolerance`
 */
export async function differences(contenders: readonly Contender[], tolerance: number): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  const expected = await contenders[0]!.result();
  for (const { name, result } of contenders.slice(1)) {
    const difference = largestDifference(expected, await result());
    if (!(difference <= tolerance)) throw new Error(`${name}'s result is off by ${difference}`);
    found.set(name, difference);
  }
  return found;
}

/** What runs took. */
export interface Spent {
  /** Milliseconds by the clock. */
  readonly wall: number;
  /** Milliseconds of all cores together. */
  readonly cpu: number;
}

/** What so many runs take. */
export async function timed(contender: Contender, count: number): Promise<Spent> {
  const before = process.cpuUsage(), start = performance.now();
  await contender.run(count);
  const wall = performance.now() - start, { user, system } = process.cpuUsage(before);
  return { wall, cpu: (user + system) / 1000 };
}

/** As many runs as take about so long: one alone is mostly Deno's wait of 11 ms where the operation is fast. */
export async function runsThatTake(contender: Contender, milliseconds: number): Promise<number> {
  await contender.run(1);
  for (let count = 1;;) {
    const share = milliseconds / (await timed(contender, count)).wall;
    const next = Math.min(MOST_RUNS, Math.max(1, Math.round(count * share)));
    if (share < 2 || next === count) return next;
    count = Math.min(next, 16 * count);
  }
}

/** What one run of each contender's operation takes: medians of turns that they take one after another. */
export async function measure(
  contenders: readonly Contender[],
  { repetitions, milliseconds }: Timing,
): Promise<Map<string, Spent>> {
  const counts: number[] = [];
  for (const contender of contenders) counts.push(await runsThatTake(contender, milliseconds));
  const turns = contenders.map((): Spent[] => []);
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const [i, contender] of contenders.entries()) turns[i]!.push(await timed(contender, counts[i]!));
  }
  return new Map(contenders.map(({ name }, i) => {
    const middle = (figure: keyof Spent) => median(turns[i]!.map((spent) => spent[figure])) / counts[i]!;
    return [name, { wall: middle("wall"), cpu: middle("cpu") }];
  }));
}
