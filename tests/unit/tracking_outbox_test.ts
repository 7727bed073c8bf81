import assert from "node:assert/strict";
import { inputError } from "../../lib/support/errors.ts";
import { openOutbox } from "../../lib/tracking/outbox.ts";
import { type Batch, type Tracker, TrackerAway } from "../../lib/tracking/tracker.ts";
import { event, run, TRIAL } from "../support/tracking.ts";

/** A store in memory that can be away, refuse, or take its time. */
function memoryStore() {
  const done: string[] = [];
  const batches: Batch[] = [];
  const state = { isAway: false, refuses: "", wait: Promise.resolve(), closed: false };
  const take = async (what: string) => {
    await state.wait;
    if (state.isAway) throw new TrackerAway("gone fishing");
    if (state.refuses !== "" && what.includes(state.refuses)) throw inputError(`no ${state.refuses}`, "do otherwise");
    done.push(what);
  };
  const tracker: Tracker = {
    where: "memory",
    openRun: ({ run_id }) => take(`open ${run_id.slice(0, 2)}`),
    logBatch: async (batch) => {
      await take(`log ${(batch.metrics ?? []).length}${batch.params ? " params" : ""}${batch.tags ? " tags" : ""}`);
      batches.push(batch);
    },
    logArtifact: ({ path }) => take(path),
    endRun: ({ status }) => take(status),
    loggedSteps: () => Promise.resolve(new Map()),
    [Symbol.asyncDispose]: () => {
      state.closed = true;
      return Promise.resolve();
    },
  };
  return { tracker, done, batches, state };
}

const metric = (step: number) =>
  ({ type: "log", batch: { run_id: TRIAL, metrics: [event("loss", step, step)] } }) as const;
const steps = (batches: Batch[]) => batches.flatMap(({ metrics = [] }) => metrics.map(({ step }) => step));

Deno.test("outbox: keeps the order and brings metrics together", async () => {
  const { tracker, done, batches, state } = memoryStore();
  const warnings: string[] = [];
  const outbox = openOutbox(tracker, { onWarning: (message) => warnings.push(message) });
  outbox.put({ type: "open", run: run(TRIAL) });
  for (let step = 1; step <= 1500; step++) outbox.put(metric(step));
  outbox.put({ type: "log", batch: { run_id: TRIAL, params: { a: "1" } } });
  outbox.put({ type: "end", end: { run_id: TRIAL, status: "FINISHED", end_time: 1 } });
  await outbox.close();
  assert.deepEqual(done, ["open 7c", "log 1000", "log 500", "log 0 params", "FINISHED"]);
  assert.deepEqual(steps(batches), Array.from({ length: 1500 }, (_, i) => i + 1));
  assert.deepEqual([warnings, state.closed], [[], true]);
});

Deno.test("outbox: while the store is away nothing is lost, and it is said once", async () => {
  const { tracker, batches, state } = memoryStore();
  const warnings: string[] = [];
  const outbox = openOutbox(tracker, { onWarning: (message) => warnings.push(message), pause: 5 });
  state.isAway = true;
  for (let step = 1; step <= 3; step++) {
    outbox.put(metric(step));
    await outbox.settle(1000);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(batches.length, 0);
  state.isAway = false;
  for (let i = 0; i < 200 && batches.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(steps(batches), [1, 2, 3]);
  assert.equal(warnings.length, 2);
  assert.match(warnings[0]!, /memory is away: gone fishing/);
  assert.match(warnings[1]!, /memory is back/);
  await outbox.close();
  assert.equal(warnings.length, 2);
});

Deno.test("outbox: a store that stays away ends with a count of what it did not get", async () => {
  const { tracker, state } = memoryStore();
  const warnings: string[] = [];
  const outbox = openOutbox(tracker, { onWarning: (message) => warnings.push(message), maxPending: 10 });
  state.isAway = true;
  for (let step = 1; step <= 25; step++) outbox.put(metric(step));
  outbox.put({ type: "end", end: { run_id: TRIAL, status: "FINISHED", end_time: 1 } });
  await outbox.close();
  assert.match(warnings.at(-1)!, /did not get 25 metric values in 11 operations/);
  assert.equal(state.closed, true);
});

Deno.test("outbox: beyond its bound the oldest values go and the newest arrive", async () => {
  const { tracker, batches, state } = memoryStore();
  const outbox = openOutbox(tracker, { onWarning: () => {}, maxPending: 10 });
  state.isAway = true;
  for (let step = 1; step <= 25; step++) outbox.put(metric(step));
  await outbox.settle(1000);
  state.isAway = false;
  await outbox.close();
  assert.deepEqual(steps(batches), Array.from({ length: 10 }, (_, i) => 16 + i));
});

Deno.test("outbox: what is refused for good is left out, said once, and holds up nothing", async () => {
  const { tracker, done, state } = memoryStore();
  const warnings: string[] = [];
  const outbox = openOutbox(tracker, { onWarning: (message) => warnings.push(message) });
  state.refuses = "a.json";
  for (let i = 0; i < 2; i++) {
    outbox.put({ type: "artifact", artifact: { run_id: TRIAL, path: "a.json", content: { text: "" } } });
  }
  outbox.put(metric(1));
  await outbox.close();
  assert.deepEqual(done, ["log 1"]);
  assert.deepEqual(warnings, ["tracking: no a.json. do otherwise"]);
});

Deno.test("outbox: settle waits for a slow store, and no longer than it is told", async () => {
  const { tracker, done, state } = memoryStore();
  const gate = Promise.withResolvers<void>();
  state.wait = gate.promise;
  const outbox = openOutbox(tracker, { onWarning: () => {} });
  outbox.put(metric(1));
  await outbox.settle(20);
  assert.deepEqual(done, []);
  setTimeout(gate.resolve, 20);
  await outbox.settle(60_000);
  assert.deepEqual(done, ["log 1"]);
  await outbox.settle(60_000);
  await outbox.close();
});
