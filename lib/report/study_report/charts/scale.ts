/** Scales: from values to positions on an axis, with the ticks that a person expects there. */
import type { Category } from "../../../hpo/space.ts";

/** A labelled position. */
export interface Tick {
  readonly at: number;
  readonly label: string;
}

/** A mapping of values to positions. */
export interface Scale<T> {
  /** The position of a value; NaN where it has none. */
  position(value: T): number;
  readonly ticks: readonly Tick[];
}

/** The two ends of an axis in pixels; `from` is where the low values are. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** A number as an axis shows it: 0.25, 1200, 2e-5. */
export function formatTick(value: number): string {
  const rounded = Number(value.toPrecision(6));
  const size = Math.abs(rounded);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? rounded.toExponential() : String(rounded);
}

/** Multiples of 1, 2 or 5 times a power of ten within [low, high], about `count` of them. */
export function niceTicks(low: number, high: number, count: number): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  // The nearest of the steps on a logarithmic scale.
  const ratio = rough / power;
  const step = power * (ratio >= Math.sqrt(50) ? 10 : ratio >= Math.sqrt(10) ? 5 : ratio >= Math.SQRT2 ? 2 : 1);
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** The ends of some values, a little apart where they are all the same. */
export function extent(values: Iterable<number>): [number, number] {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  if (low < high) return [low, high];
  const room = low === 0 ? 0.5 : Math.abs(low) * 0.1;
  return [low - room, high + room];
}

/** A linear scale from `low` to `high`. */
export function linearScale([low, high]: readonly [number, number], { from, to }: Span, ticks = 5): Scale<number> {
  const position = (value: number) => from + (value - low) / (high - low) * (to - from);
  return {
    position,
    ticks: niceTicks(low, high, ticks).map((tick) => ({ at: position(tick), label: formatTick(tick) })),
  };
}

/** A logarithmic scale; both ends must be above 0. */
export function logScale([low, high]: readonly [number, number], { from, to }: Span, ticks = 5): Scale<number> {
  const start = Math.log(low), length = Math.log(high) - start;
  const position = (value: number) => from + (Math.log(value) - start) / length * (to - from);
  return {
    position,
    ticks: logTicks(low, high, ticks).map((tick) => ({ at: position(tick), label: formatTick(tick) })),
  };
}

/** Powers of ten where there are enough, else 1, 2 and 5 times them, else as on a linear axis. */
function logTicks(low: number, high: number, count: number): number[] {
  const within = (multiples: readonly number[]) => {
    const found: number[] = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const multiple of multiples) {
        const tick = Number((multiple * 10 ** power).toPrecision(3));
        if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) found.push(tick);
      }
    }
    return found;
  };
  const decades = within([1]);
  if (decades.length >= 3) {
    const every = Math.ceil(decades.length / (count + 1));
    return decades.filter((_, i) => i % every === 0);
  }
  const fine = within([1, 2, 5]);
  return fine.length >= 2 ? fine : niceTicks(low, high, Math.min(3, count));
}

/** Categories at equal distances. */
export function categoryScale(categories: readonly Category[], { from, to }: Span): Scale<Category> {
  const step = (to - from) / Math.max(1, categories.length);
  const position = (value: Category) => {
    const index = categories.indexOf(value);
    return index < 0 ? NaN : from + (index + 0.5) * step;
  };
  return { position, ticks: categories.map((one) => ({ at: position(one), label: String(one) })) };
}
