/** Reads a trace as the description of the Trace Event Format says, and holds it to its rules. */
import assert from "node:assert/strict";

/** A complete event: microseconds. */
export interface TraceSlice {
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly cat: string;
  readonly args: Readonly<Record<string, unknown>>;
}

interface Event extends TraceSlice {
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
}

interface Trace {
  readonly traceEvents: readonly Event[];
  readonly displayTimeUnit?: string;
}

/** The slices of the process of a name, in the order of the file. */
export function slicesOf({ traceEvents }: Trace, process: string): TraceSlice[] {
  const named = traceEvents.filter(({ ph, name, args }) =>
    ph === "M" && name === "process_name" && args["name"] === process
  );
  assert.equal(named.length, 1, `one process named ${process}`);
  return traceEvents.filter(({ ph, pid }) => ph === "X" && pid === named[0]!.pid);
}

/** Half of the nanosecond that times are written in, in microseconds: sums of two of them may be off by as much. */
const ROUNDING = 5e-4;

/**
 * Fails where a trace is against the format: an object with `traceEvents`; every event with name, phase, process and
 * thread; complete events with a time and a duration; every process and thread named once; slices of a thread one after
 * the other or one within the other ("events are only allowed to perfectly nest").
 */
export function assertTrace(trace: Trace): void {
  assert.ok(Array.isArray(trace.traceEvents) && trace.traceEvents.length > 0);
  assert.ok(["ms", "ns"].includes(trace.displayTimeUnit ?? "ms"));
  const named = new Set<string>();
  const threads = new Map<string, Event[]>();
  for (const event of trace.traceEvents) {
    const { name, ph, pid, tid, ts, dur, args } = event;
    assert.ok(typeof name === "string" && name !== "");
    assert.ok(Number.isInteger(pid) && Number.isInteger(tid) && pid > 0 && tid > 0);
    const thread = `${pid}/${tid}`;
    if (ph === "M") {
      assert.ok(["process_name", "thread_name"].includes(name), name);
      assert.ok(typeof args["name"] === "string" && args["name"] !== "");
      const key = name === "process_name" ? `process ${pid}` : `thread ${thread}`;
      assert.ok(!named.has(key), `${key} is named once`);
      named.add(key);
      continue;
    }
    assert.equal(ph, "X", name);
    assert.ok(Number.isFinite(ts) && ts >= 0 && Number.isFinite(dur) && dur >= 0, `${name}: ${ts} + ${dur}`);
    threads.set(thread, [...threads.get(thread) ?? [], event]);
  }
  for (const [thread, events] of threads) {
    assert.ok(named.has(`thread ${thread}`) && named.has(`process ${thread.split("/")[0]}`), `${thread} is named`);
    const open: { name: string; end: number }[] = [];
    for (const { name, ts, dur } of events.toSorted((a, b) => a.ts - b.ts || b.dur - a.dur)) {
      while (open.length > 0 && open.at(-1)!.end <= ts + ROUNDING) open.pop();
      const around = open.at(-1);
      if (around) assert.ok(ts + dur <= around.end + ROUNDING, `${name} at ${ts} overlaps the end of ${around.name}`);
      open.push({ name, end: ts + dur });
    }
  }
}
