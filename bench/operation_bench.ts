/** What the benchmarks of single operations share: options, shapes, and the table of their results. */
import { type Contender, differences, measure } from "./contenders.ts";

/** Their options. */
export const operationOptions = {
  json: { type: "boolean", default: false },
  repetitions: { type: "string", default: "5" },
  milliseconds: { type: "string", default: "250" },
} as const;

function fail(message: string): never {
  console.error(`error: ${message}`);
  Deno.exit(2);
}

function positive(text: string, what: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) fail(`Expected ${what} to be an integer above 0 but found "${text}"`);
  return value;
}

/** The sizes of a shape written as 4x128; ends the process where there are not so many. */
export function sizes(text: string, count: number): number[] {
  const parts = text.split("x");
  if (parts.length !== count) fail(`Expected a shape of ${count} sizes joined by x but found "${text}"`);
  return parts.map((part) => positive(part, "each size"));
}

/** The contenders for an operation of one shape, ours first, and what a run of it does at least. */
export interface Operation {
  readonly contenders: readonly Contender[];
  readonly flops?: number;
  readonly bytes?: number;
  /** Results may differ by so much. */
  readonly tolerance: number;
}

/**
 * Compares an operation in all shapes, forward and with its backward pass, prints the results and ends the process.
 *
 * @throws {Error} when results differ
 */
export async function compareOperation(
  bench: string,
  adapter: string,
  options: {
    readonly json: boolean;
    readonly shapes: string;
    readonly repetitions: string;
    readonly milliseconds: string;
  },
  open: (shape: string, backward: boolean) => Operation,
): Promise<never> {
  const timing = {
    repetitions: positive(options.repetitions, "--repetitions"),
    milliseconds: positive(options.milliseconds, "--milliseconds"),
  };
  const results: Record<string, unknown>[] = [];
  for (const shape of options.shapes.split(",")) {
    for (const pass of ["forward", "forward and backward"]) {
      const { contenders, flops, bytes, tolerance } = open(shape, pass !== "forward");
      const off = await differences(contenders, tolerance);
      const times = await measure(contenders, timing);
      const own = times.get(contenders[0]!.name)!;
      const two = (value: number) => Number(value.toFixed(2));
      const engines = Object.fromEntries(
        [...times].map(([name, { wall, cpu }]) => [name, {
          ms: Number(wall.toPrecision(4)),
          cpu_ms: Number(cpu.toPrecision(4)),
          ...(flops ? { gflops: Number((flops / wall / 1e6).toPrecision(4)) } : {}),
          ...(bytes ? { gigabytes_per_second: Number((bytes / wall / 1e6).toPrecision(4)) } : {}),
          ...(off.has(name) ? { difference: off.get(name) } : {}),
          ratio: two(wall / own.wall),
          ratio_cpu: two(cpu / own.cpu),
        }]),
      );
      results.push({ shape, pass, engines });
      const cells = Object.entries(engines).map(([name, { ms, ratio }]) => `${name} ${ms} ms (x${ratio})`);
      if (!options.json) console.log(`${shape}  ${pass}  ${cells.join("  ")}`);
    }
  }
  console.log(JSON.stringify({ bench, adapter, ...timing, results }));
  // The libraries keep their devices open.
  Deno.exit(0);
}
