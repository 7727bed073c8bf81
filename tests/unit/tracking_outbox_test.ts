/** What waits between a run and its store: in order, once, and on disk while the store is away. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { inputError } from "../../lib/support/errors.ts";
import { diskFileSystem, type FileSystem } from "../../lib/support/file_system.ts";
import { openOperationBuffer } from "../../lib/tracking/buffer.ts";
import { noteStep, openOutbox, type Outbox, type OutboxOptions, type SeenSteps } from "../../lib/tracking/outbox.ts";
import { type Batch, type Tracker, TrackerAway } from "../../lib/tracking/tracker.ts";
import { event, run, STUDY, TRIAL } from "../support/tracking.ts";
import { withFolder } from "./storage_scenario.ts";

/** A store in memory that can be away, refuse, lose its answers, or take its time. */
function memoryStore() {
  const done: string[] = [];
  const batches: Batch[] = [];
  const before = new Map<string, Set<number>>();
  const state = { isAway: false, losesAnswers: false, refuses: "", wait: Promise.resolve(), closed: false };
  const take = async (what: string) => {
    await state.wait;
    if (state.isAway) throw new TrackerAway("gone fishing");
    if (state.refuses !== "" && what.includes(state.refuses)) throw inputError(`no ${state.refuses}`, "do otherwise");
    done.push(what);
  };
  const answer = () => {
    if (state.losesAnswers) throw new TrackerAway("the answer is lost");
  };
  const tracker: Tracker = {
    where: "memory",
    openRun: ({ run_id }) => take(`open ${run_id.slice(0, 2)}`),
    logBatch: async (batch) => {
      await take(`log ${(batch.metrics ?? []).length}${batch.params ? " params" : ""}${batch.tags ? " tags" : ""}`);
      batches.push(batch);
      answer();
    },
    logArtifact: ({ path }) => take(path),
    endRun: ({ status }) => take(status),
    loggedSteps: async () => {
      await state.wait;
      if (state.isAway) throw new TrackerAway("gone fishing");
      return before;
    },
    [Symbol.asyncDispose]: () => {
      state.closed = true;
      return Promise.resolve();
    },
  };
  return { tracker, done, batches, state, before };
}

type Store = ReturnType<typeof memoryStore>;

/** Opens an outbox on the buffer of a folder, as a process does. */
function open({ tracker }: Store, folder: string, options: Partial<OutboxOptions> = {}, fs?: FileSystem) {
  const warnings: string[] = [];
  const buffered: SeenSteps = new Map();
  const path = join(folder, "study", "buffer.jsonl");
  const buffer = openOperationBuffer(path, (one) => noteStep(buffered, one), fs);
  const outbox: Outbox = openOutbox(tracker, {
    ...{ buffer, buffered, pause: 5, personPause: 5 },
    onWarning: (message) => warnings.push(message),
    ...options,
  });
  return { outbox, warnings, path };
}

const metric = (step: number, timestamp = step) =>
  ({ type: "log", batch: { run_id: TRIAL, metrics: [{ ...event("loss", step, step), timestamp }] } }) as const;
const end = { type: "end", end: { run_id: TRIAL, status: "FINISHED", end_time: 1 } } as const;
const steps = (batches: readonly Batch[]) => batches.flatMap(({ metrics = [] }) => metrics.map(({ step }) => step));
/** What a store holds of the batches: each (metric, step, timestamp) once. */
const held = (
  batches: readonly Batch[],
) => [
  ...new Set(batches.flatMap(({ metrics = [] }) => metrics.map((one) => `${one.metric} ${one.step} ${one.timestamp}`))),
];
const range = (count: number, from = 1) => Array.from({ length: count }, (_, i) => from + i);
const isThere = (path: string) => Deno.stat(path).then(() => true, () => false);

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(holds());
}

Deno.test("outbox: keeps the order, brings metrics together, and writes no file while the store is there", async () => {
  await withFolder(async (folder) => {
    const store = memoryStore();
    const { outbox, warnings, path } = open(store, folder);
    outbox.put({ type: "open", run: run(TRIAL) });
    for (const step of range(1500)) outbox.put(metric(step));
    outbox.put({ type: "log", batch: { run_id: TRIAL, params: { a: "1" } } });
    outbox.put(end);
    await outbox.close();
    assert.deepEqual(store.done, ["open 7c", "log 1000", "log 500", "log 0 params", "FINISHED"]);
    assert.deepEqual(steps(store.batches), range(1500));
    assert.deepEqual([warnings, store.state.closed, await isThere(path)], [[], true, false]);
  });
});

Deno.test("outbox: while the store is away all waits on disk, without a bound; back, it is delivered and the file goes", async () => {
  await withFolder(async (folder) => {
    const store = memoryStore();
    const { outbox, warnings, path } = open(store, folder);
    store.state.isAway = true;
    outbox.put({ type: "open", run: run(TRIAL) });
    for (const step of range(20_000)) {
      outbox.put(metric(step));
      if (step % 5000 === 0) await outbox.secure(1000);
    }
    assert.equal(Deno.readTextFileSync(path).split("\n").length, 20_002);
    assert.equal(store.batches.length, 0);
    store.state.isAway = false;
    await until(() => steps(store.batches).length === 20_000);
    assert.deepEqual(steps(store.batches), range(20_000));
    outbox.put(end);
    await outbox.close();
    assert.equal(store.done.at(-1), "FINISHED");
    assert.equal(warnings.length, 2, warnings.join("\n"));
    assert.match(warnings[0]!, /^memory is away: gone fishing\. .* waits in .*buffer\.jsonl$/);
    assert.match(warnings[1]!, /memory is back/);
    assert.equal(await isThere(path), false);
  });
});

Deno.test("outbox: a store that stays away gets the rest in the next process, in order and before what is new", async () => {
  await withFolder(async (folder) => {
    const store = memoryStore();
    store.state.isAway = true;
    const first = open(store, folder, { remedy: "Come back" });
    first.outbox.put({ type: "open", run: run(TRIAL) });
    const values = [1, NaN, Infinity, -Infinity];
    values.forEach((value, step) =>
      first.outbox.put({
        type: "log",
        batch: { run_id: TRIAL, metrics: [event("loss", step, value)], tags: { a: "é" } },
      })
    );
    await first.outbox.close();
    assert.match(first.warnings.at(-1)!, /memory has not got everything yet: .*buffer\.jsonl\. Come back$/);

    store.state.isAway = false;
    const second = open(store, folder);
    second.outbox.put(metric(9));
    await second.outbox.close();
    assert.deepEqual(store.batches.flatMap(({ metrics = [] }) => metrics.map(({ value }) => value)), [...values, 9]);
    assert.ok(store.done[0]!.startsWith("open") && store.done.filter((one) => one.includes("tags")).length === 4);
    assert.deepEqual([second.warnings, await isThere(second.path)], [[], false]);
  });
});

Deno.test("outbox: what a killed process computed is not there twice: of the buffer, of the store, of both", async () => {
  await withFolder(async (folder) => {
    const store = memoryStore();
    // The store has steps 1 to 3 of a process that was killed; 3 and 4 are in its buffer too: an answer was lost.
    store.before.set("loss", new Set([1, 2, 3]));
    store.state.isAway = true;
    const killed = open(store, folder, { pause: 1e8 });
    for (const step of [3, 4]) killed.outbox.put(metric(step));
    await killed.outbox.secure(1000); // and no close

    const resumed = open(store, folder);
    for (const step of range(6)) resumed.outbox.put(metric(step, 100 + step));
    await resumed.outbox.secure(1000);
    store.state.isAway = false;
    await resumed.outbox.secure(60_000, { insist: true });
    await resumed.outbox.close();
    assert.deepEqual(held(store.batches), ["loss 4 4", "loss 5 105", "loss 6 106"]);
  });
});

Deno.test("outbox: a store that takes values and loses the answers gets them again with the same timestamps", async () => {
  await withFolder(async (folder) => {
    const store = memoryStore();
    const { outbox, path } = open(store, folder);
    store.state.losesAnswers = true;
    for (const step of range(5)) {
      outbox.put(metric(step, 10 * step));
      await outbox.secure(20);
    }
    store.state.losesAnswers = false;
    await until(() => store.batches.length > 1 && !Array.from(Deno.readDirSync(join(folder, "study"))).length);
    await outbox.close();
    assert.deepEqual(held(store.batches), range(5).map((step) => `loss ${step} ${10 * step}`));
    assert.equal(await isThere(path), false);
  });
});

Deno.test("outbox: what is secured while the store is slow is on disk, and there once when the store has taken it", async () => {
  await withFolder(async (folder) => {
    const store = memoryStore();
    const gate = Promise.withResolvers<void>();
    store.state.wait = gate.promise;
    const { outbox, warnings, path } = open(store, folder);
    for (const step of range(3)) outbox.put(metric(step));
    await Promise.resolve();
    await outbox.secure(20);
    for (const step of range(3, 4)) outbox.put(metric(step));
    await outbox.secure(20);
    assert.equal(Deno.readTextFileSync(path).split("\n").length, 7);
    assert.deepEqual(store.batches, []);
    outbox.put(metric(7));
    gate.resolve();
    await outbox.secure(60_000, { insist: true });
    assert.deepEqual(steps(store.batches), range(7));
    await outbox.close();
    assert.deepEqual([warnings, await isThere(path)], [[], false]);
  });
});

Deno.test("outbox: a disk without room keeps all in memory, tries again once there is some, and says so once", async () => {
  await withFolder(async (folder) => {
    const store = memoryStore();
    let isFull = true;
    const full: FileSystem = {
      ...diskFileSystem,
      openSync(path, mode) {
        const file = diskFileSystem.openSync(path, mode);
        return {
          ...file,
          writeSync(bytes) {
            if (isFull) throw Object.assign(new Error("No space left"), { code: "ENOSPC" });
            return file.writeSync(bytes);
          },
        };
      },
    };
    store.state.isAway = true;
    const { outbox, warnings, path } = open(store, folder, { pause: 60_000 }, full);
    for (const step of range(4)) outbox.put(metric(step));
    await outbox.secure(1000);
    assert.equal(warnings.filter((one) => one.includes("waits in memory")).length, 1);
    isFull = false;
    await outbox.secure(1000);
    assert.equal(Deno.readTextFileSync(path).split("\n").length, 5);
    store.state.isAway = false;
    await outbox.close();
    assert.deepEqual(steps(store.batches), range(4));
  });
});

Deno.test("outbox: lines that a crash has torn or emptied are left out and told, the others are delivered", async () => {
  await withFolder(async (folder) => {
    const store = memoryStore();
    store.state.isAway = true;
    const first = open(store, folder, { pause: 1e8 });
    for (const step of range(4)) first.outbox.put(metric(step));
    await first.outbox.secure(1000);
    const lines = Deno.readTextFileSync(first.path).split("\n");
    lines[1] = "\0".repeat(lines[1]!.length);
    Deno.writeTextFileSync(first.path, lines.join("\n") + '{"run_id": "torn');
    store.state.isAway = false;
    const second = open(store, folder);
    second.outbox.put(metric(5));
    await second.outbox.close();
    assert.deepEqual(steps(store.batches), [1, 3, 4, 5]);
    assert.match(second.warnings.join("\n"), /^1 line\(s\) of .* cannot be read/);
  });
});

Deno.test("outbox: what is refused for good is left out, said once, and holds up nothing", async () => {
  await withFolder(async (folder) => {
    const store = memoryStore();
    const { outbox, warnings } = open(store, folder);
    store.state.refuses = "a.json";
    for (let i = 0; i < 2; i++) {
      outbox.put({ type: "artifact", artifact: { run_id: TRIAL, path: "a.json", content: { text: "" } } });
    }
    outbox.put(metric(1));
    await outbox.close();
    assert.deepEqual(store.done, ["log 1"]);
    assert.deepEqual(warnings, ["tracking: no a.json. do otherwise"]);
  });
});

Deno.test("outbox: a value is put once for a step; runs and metrics are told apart, and a run that has ended is forgotten", async () => {
  await withFolder(async (folder) => {
    const store = memoryStore();
    const { outbox } = open(store, folder);
    const put = (run_id: string, name: string) =>
      outbox.put({ type: "log", batch: { run_id, metrics: [{ ...event(name, 1, 1), run_id }] } });
    put(TRIAL, "a");
    put(TRIAL, "a");
    put(TRIAL, "b");
    put(STUDY, "a");
    await outbox.close();
    assert.deepEqual(
      store.batches.flatMap(({ metrics = [] }) => metrics.map((one) => [one.run_id, one.metric])),
      [[TRIAL, "a"], [TRIAL, "b"], [STUDY, "a"]],
    );
  });
});

Deno.test("outbox: secure waits for a slow store, and no longer than it is told", async () => {
  await withFolder(async (folder) => {
    const store = memoryStore();
    const gate = Promise.withResolvers<void>();
    store.state.wait = gate.promise;
    const { outbox } = open(store, folder);
    outbox.put(metric(1));
    await outbox.secure(20);
    assert.deepEqual(store.done, []);
    setTimeout(gate.resolve, 20);
    await outbox.secure(60_000, { insist: true });
    assert.deepEqual(store.done, ["log 1"]);
    await outbox.secure(60_000);
    await outbox.close();
  });
});

Deno.test("outbox: secure does not wait for what is put after it, however fast that comes", async () => {
  await withFolder(async (folder) => {
    const store = memoryStore();
    // Each delivery lets another value in: the queue is never empty.
    let step = 1;
    const { outbox } = open({
      ...store,
      tracker: {
        ...store.tracker,
        logBatch: async (batch) => {
          outbox.put(metric(++step));
          await new Promise((resolve) => setTimeout(resolve, 2));
          await store.tracker.logBatch(batch);
        },
      },
    }, folder);
    outbox.put(metric(1));
    const started = performance.now();
    await outbox.secure(60_000);
    assert.ok(performance.now() - started < 30_000);
    assert.ok(steps(store.batches).includes(1));
    store.state.refuses = "log"; // ends it: what is refused is left out
    store.tracker.logBatch = () => Promise.resolve();
    await outbox.close(50);
  });
});
