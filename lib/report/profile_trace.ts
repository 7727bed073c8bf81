/**
 * A profile as a trace of complete events, which ui.perfetto.dev and chrome://tracing open: Google's "Trace Event Format",
 * in its JSON object form. Slices of a track either follow one another or lie within one another, as the format asks.
 */
import { callShape } from "../graph/cost.ts";
import type { ProfiledDispatch, Slice, StepProfile } from "../train/profile.ts";

/** A slice (`X`, times in microseconds) or the name of a process or thread (`M`). */
export interface TraceEvent {
  readonly name: string;
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur?: number;
  readonly cat?: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** A trace file's content. */
export interface Trace {
  readonly traceEvents: readonly TraceEvent[];
  readonly displayTimeUnit: "ms" | "ns";
  readonly otherData: Readonly<Record<string, string>>;
}

const GPU = { pid: 1, tid: 1 }, CPU = { pid: 2, tid: 1 };

/** Milliseconds as microseconds in whole nanoseconds, so that neighbours meet and do not overlap. */
const microseconds = (ms: number): number => Math.round(ms * 1e6) / 1e3;

function dispatchArguments({ call, phase, cost, milliseconds }: ProfiledDispatch, lasted: number) {
  const shape = callShape(call);
  return {
    kernel: call.kernel.name,
    phase,
    ...(shape === "" ? {} : { shape }),
    ...(cost.flops === 0 ? {} : { gflops: cost.flops / lasted / 1e6 }),
    gb_per_second: cost.bytes / lasted / 1e6,
    median_ms: milliseconds,
    grid: call.grid.join(" × "),
    dims: call.dims,
    constants: call.constants,
  };
}

/** What encloses slices: one from the beginning of the first to the end of the last. */
const around = (name: string, slices: readonly Slice[]): Slice => ({
  name,
  begin: slices[0]!.begin,
  end: slices.at(-1)!.end,
});

/**
 * The trace of a profile: on the track of the GPU the timed steps with a slice for each dispatch, and the same steps in one
 * pass; on that of the CPU what it did meanwhile.
 *
 * @param about What the viewer shows as the trace's metadata
 */
export function profileTrace(
  { dispatches, timeline }: Pick<StepProfile, "dispatches" | "timeline">,
  adapter: string,
  about: Readonly<Record<string, string>> = {},
): Trace {
  const slices = [timeline.cpu, timeline.gpu, timeline.onePass].flat(2);
  const origin = Math.min(...slices.map(({ begin }) => begin));
  const event = (
    track: typeof GPU,
    { name, begin, end }: Slice,
    cat: string,
    args: Readonly<Record<string, unknown>> = {},
  ): TraceEvent => {
    const ts = microseconds(begin - origin);
    const dur = Math.round((microseconds(end - origin) - ts) * 1e3) / 1e3;
    return { name, ph: "X", ...track, ts, dur, cat, args };
  };
  const label = (track: typeof GPU, kind: "process_name" | "thread_name", name: string): TraceEvent => ({
    name: kind,
    ph: "M",
    ...track,
    ts: 0,
    args: { name },
  });
  return {
    traceEvents: [
      label(GPU, "process_name", `GPU: ${adapter}`),
      label(GPU, "thread_name", "dispatches"),
      label(CPU, "process_name", "CPU"),
      label(CPU, "thread_name", "training step"),
      ...timeline.gpu.flatMap((step, i) => [
        event(GPU, around(`step ${i + 1}, each dispatch in a pass`, step), "step"),
        ...step.map((slice, j) =>
          event(GPU, slice, "dispatch", dispatchArguments(dispatches[j]!, slice.end - slice.begin))
        ),
      ]),
      ...timeline.onePass.flatMap((step, i) =>
        step.map((slice) => event(GPU, { ...slice, name: `step ${i + 1}, in one pass` }, "step"))
      ),
      ...timeline.cpu.flatMap((step, i) => [
        event(CPU, around(`step ${i + 1}`, step), "step"),
        ...step.map((slice) => event(CPU, slice, "cpu")),
      ]),
    ],
    displayTimeUnit: "ms",
    otherData: about,
  };
}
