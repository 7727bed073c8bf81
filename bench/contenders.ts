/** Contenders for one operation in one process: checked against each other, then timed in turns. */

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

/** The middle of some numbers. */
export const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

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

/** Milliseconds of so many runs. */
export async function timed(contender: Contender, count: number): Promise<number> {
  const start = performance.now();
  await contender.run(count);
  return performance.now() - start;
}

/** As many runs as take about so long: one alone is mostly Deno's wait of 11 ms where the operation is fast. */
export async function runsThatTake(contender: Contender, milliseconds: number): Promise<number> {
  await contender.run(1);
  for (let count = 1;;) {
    const share = milliseconds / await timed(contender, count);
    const next = Math.min(MOST_RUNS, Math.max(1, Math.round(count * share)));
    if (share < 2 || next === count) return next;
    count = Math.min(next, 16 * count);
  }
}

/** Milliseconds of one run of each contender's operation: the median of turns that they take one after another. */
export async function measure(
  contenders: readonly Contender[],
  { repetitions, milliseconds }: Timing,
): Promise<Map<string, number>> {
  const counts: number[] = [];
  for (const contender of contenders) counts.push(await runsThatTake(contender, milliseconds));
  const times = contenders.map((): number[] => []);
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const [i, contender] of contenders.entries()) times[i]!.push(await timed(contender, counts[i]!) / counts[i]!);
  }
  return new Map(contenders.map(({ name }, i) => [name, median(times[i]!)]));
}
