/** Keeping checkpoints on disks that are really full: what pruning frees, when a run goes on, and what it says else. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type Checkpoint, listCheckpoints } from "../../lib/storage/checkpoint.ts";
import { freeBytes } from "../../lib/storage/disk.ts";
import { type KeeperOptions, openKeeper, type RetentionEvent } from "../../lib/storage/keeper.ts";
import { checkpointsFolder } from "../../lib/storage/layout.ts";
import type { TrialStanding } from "../../lib/storage/retention_decision.ts";
import type { WinnowError } from "../../lib/support/errors.ts";
import { openLogFile } from "../../lib/support/log_file.ts";
import { saveEpoch, withFolder } from "../unit/storage_scenario.ts";
import { mountRefusal, withTmpfs } from "./storage_tmpfs.ts";

const refusal = mountRefusal();
const onTmpfs = (name: string) => ({ name: name + refusal, ignore: refusal !== "" });

interface Scenario {
  readonly options: KeeperOptions;
  readonly trials: TrialStanding[];
  readonly events: RetentionEvent[];
}

function scenario(experiments: string, more: Partial<KeeperOptions> = {}): Scenario {
  const trials: TrialStanding[] = [], events: RetentionEvent[] = [];
  return {
    trials,
    events,
    options: {
      experiments,
      policy: { keep_last_n: 1, keep_best_k: 1, keep_best_k_max: 2, maxTotalBytes: 1e9, strategy: "oldest_first" },
      metric: "macro_f1",
      direction: "maximize",
      thresholdPercent: 10,
      trials: () => trials,
      isCritical: () => false,
      onEvent: (event) => events.push(event),
      ...more,
    },
  };
}

const present = async (experiments: string, trial: string) =>
  (await listCheckpoints(checkpointsFolder(experiments, trial)))
    .map((one) => `${one.info.epoch}${one.resumable ? "" : " weights"}`);

/** Saves epochs of a trial through the keeper, half the bytes each being weights. */
async function saveEpochs(
  keeper: ReturnType<typeof openKeeper>,
  folder: string,
  trial: string,
  values: number[],
  bytes: number,
) {
  const saving = keeper.trial(trial, 2 * bytes);
  const saved: Checkpoint[] = [];
  for (const [i, value] of values.entries()) {
    saved.push(await saving.save(() => saveEpoch(checkpointsFolder(folder, trial), i + 1, value, bytes)));
  }
  return saving;
}

Deno.test("within a trial and across the study only what can still matter stays", async () => {
  await withFolder(async (folder) => {
    const { options, trials, events } = scenario(folder);
    const keeper = openKeeper(options);
    trials.push({ id: "a", number: 0, state: "RUNNING", value: null });
    const first = await saveEpochs(keeper, folder, "a", [0.9, 0.5, 0.3], 1000);
    assert.deepEqual(await present(folder, "a"), ["1 weights", "3"]);
    assert.deepEqual((await first.finish()).map((one) => one.info.epoch), [1, 3]);
    assert.deepEqual(await present(folder, "a"), ["1 weights", "3 weights"]);
    trials[0] = { id: "a", number: 0, state: "COMPLETE", value: 0.9 };
    // One that fails, one that is as good, one that is worse.
    for (const [id, value, state] of [["b", 0.95, "FAIL"], ["c", 0.9, "COMPLETE"], ["d", 0.8, "COMPLETE"]] as const) {
      const number = trials.length;
      trials.push({ id, number, state: "RUNNING", value: null });
      await keeper.sweep();
      await (await saveEpochs(keeper, folder, id, [value], 1000)).finish();
      trials[number] = { id, number, state, value: state === "FAIL" ? null : value };
    }
    await keeper.sweep();
    const left = await Promise.all(["a", "b", "c", "d"].map((id) => present(folder, id)));
    assert.deepEqual(left, [["1 weights", "3 weights"], [], ["1 weights"], []]);
    const reasons = events.flatMap((event) => event.type === "pruned" ? event.removed.map(({ reason }) => reason) : []);
    assert.ok(reasons.includes("trial 1 is FAIL") && reasons.includes("trial 3 is not among the best"), reasons.join());
    // Another process finds the same.
    const again = openKeeper(options);
    const before = events.length;
    await again.sweep();
    assert.equal(events.length, before);
    assert.ok(await again.bytes() < 3 * 2000);
  });
});

Deno.test(
  onTmpfs("a disk that is nearly full: other trials' spare checkpoints go, the save fits and the run goes on"),
  async () => {
    await withTmpfs("size=1m", async (folder) => {
      const { options, trials, events } = scenario(folder);
      const keeper = openKeeper(options);
      // Three trials that tie: 100 kB of weights each, twice that while they are saved.
      for (const id of ["a", "b", "c"]) {
        const number = trials.length;
        trials.push({ id, number, state: "RUNNING", value: null });
        await (await saveEpochs(keeper, folder, id, [0.9], 100_000)).finish();
        trials[number] = { id, number, state: "COMPLETE", value: 0.9 };
      }
      trials.push({ id: "d", number: 3, state: "RUNNING", value: null });
      const saving = keeper.trial("d", 200_000);
      const save = (epoch: number, value: number) =>
        saving.save(() => saveEpoch(checkpointsFolder(folder, "d"), epoch, value, 100_000));
      await save(1, 0.2);
      const ballast = join(folder, "ballast");
      await Deno.writeFile(ballast, new Uint8Array(await freeBytes(folder) - 50_000));
      await save(2, 0.3);
      assert.deepEqual(await present(folder, "d"), ["2"]);
      const left = await Promise.all(["a", "b", "c"].map((id) => present(folder, id)));
      assert.ok(left.flat().length >= 1 && left.flat().length <= 2, "as few co-best ones went as had to");
      assert.ok(events.some((event) => event.type === "pruned" && event.pressure === 3));
      assert.ok(events.some((event) => event.type === "warning" && /keep_best_k=1, keep_last_n=0/.test(event.message)));

      // With nothing left that may go it stops, says what it is about, and loses nothing.
      await Deno.writeFile(ballast, new Uint8Array(await freeBytes(folder) + 120_000), { append: true }).catch(
        () => {},
      );
      const kept =
        [await present(folder, "a"), await present(folder, "b"), await present(folder, "c"), ["2"]].flat().length;
      const error: WinnowError = await save(3, 0.4).then(() => assert.fail("it fit"), (error) => error);
      assert.equal(error.kind, "storage");
      const lines = error.message.split("\n");
      assert.match(lines[0]!, /^disk full while saving a checkpoint: 20\d kB needed, [\d.]+ k?B free \(/);
      assert.match(lines[1]!, /^usage: .* on a disk of 1\.05 MB$/);
      assert.deepEqual([lines[2], lines[3]!.trim().split(/\s+/)[2]], ["largest:", ballast]);
      assert.match(lines.at(-1)!, /^pruned before that: (epoch_1 \(1\d\d kB\)(, )?)+|nothing was left that may go$/);
      assert.match(error.remedy, /`deno task cleanup --execute paths\.experiments=/);
      const now = (await Promise.all(["a", "b", "c", "d"].map((id) => present(folder, id)))).flat();
      assert.ok(now.includes("2") && now.length >= Math.min(2, kept), "the resume point and the best stay");

      // The disk grows, and the same save works.
      new Deno.Command("mount", { args: ["-o", "remount,size=4m", folder] }).outputSync();
      await save(3, 0.4);
      assert.deepEqual(await present(folder, "d"), ["3"]);
    });
  },
);

Deno.test(onTmpfs("a disk that fills up during the save itself: pruned, and tried once more"), async () => {
  await withTmpfs("size=1m", async (folder) => {
    // Room is reported that is not there, as when another program takes it in between.
    const { options, trials } = scenario(folder);
    const keeper = openKeeper(options);
    trials.push({ id: "a", number: 0, state: "RUNNING", value: null });
    await (await saveEpochs(keeper, folder, "a", [0.9, 0.9, 0.9], 80_000)).finish();
    trials[0] = { id: "a", number: 0, state: "COMPLETE", value: 0.9 };
    trials.push({ id: "b", number: 1, state: "RUNNING", value: null });
    const saving = keeper.trial("b", 160_000);
    let tries = 0;
    await saving.save(async () => {
      if (tries++ === 0) {
        await Deno.writeFile(join(folder, "ballast"), new Uint8Array(await freeBytes(folder) - 60_000));
      }
      return await saveEpoch(checkpointsFolder(folder, "b"), 1, 0.1, 80_000);
    });
    assert.equal(tries, 2);
    assert.deepEqual(await present(folder, "b"), ["1"]);
    assert.ok((await present(folder, "a")).length >= 1);
  });
});

Deno.test("with the monitor's flag up the tight policy holds before the disk is full, and takes no co-best one", async () => {
  await withFolder(async (folder) => {
    let critical = false;
    const { options, trials } = scenario(folder, {
      isCritical: () => critical,
      space: () => Promise.resolve({ freeBytes: 5e6, totalBytes: 1e8 }),
    });
    const keeper = openKeeper(options);
    trials.push({ id: "a", number: 0, state: "RUNNING", value: null });
    await (await saveEpochs(keeper, folder, "a", [0.9, 0.9, 0.5], 1000)).finish();
    trials[0] = { id: "a", number: 0, state: "COMPLETE", value: 0.9 };
    trials.push({ id: "b", number: 1, state: "RUNNING", value: null });
    await saveEpochs(keeper, folder, "b", [0.1], 1000);
    assert.deepEqual(await present(folder, "a"), ["1 weights", "2 weights", "3 weights"]);
    critical = true;
    await saveEpochs(keeper, folder, "b", [0.1, 0.2], 1000);
    assert.deepEqual(await present(folder, "a"), ["1 weights", "2 weights"]);
  });
});

Deno.test("a cap that what must stay does not fit is refused before the save, with numbers", async () => {
  await withFolder(async (folder) => {
    const { options, trials } = scenario(folder);
    const keeper = openKeeper({ ...options, policy: { ...options.policy, maxTotalBytes: 2500 } });
    trials.push({ id: "a", number: 0, state: "RUNNING", value: null });
    const saving = await saveEpochs(keeper, folder, "a", [0.9], 1000);
    await assert.doesNotReject(saving.save(() => saveEpoch(checkpointsFolder(folder, "a"), 2, 0.1, 1000)));
    const error = saving.save(() => saveEpoch(checkpointsFolder(folder, "a"), 3, 0.2, 1000));
    await assert.rejects(error, {
      kind: "storage",
      message: /must stay take 3\.\d\d kB, more than retention\.max_total_size 2\.50 kB/,
    });
    assert.deepEqual(await present(folder, "a"), ["1 weights", "2"]);
  });
});

Deno.test(onTmpfs("a log on a full disk waits in memory and drops nothing"), async () => {
  await withTmpfs("size=256k", async (folder) => {
    const path = join(folder, "x.log"), ballast = join(folder, "ballast");
    let asked = 0;
    const log = openLogFile(path, { onFull: () => asked++ });
    const line = (i: number) => `${i} ${"x".repeat(1000)}\n`;
    log.append(line(0));
    await Deno.writeFile(ballast, new Uint8Array(await freeBytes(folder) - 8192));
    for (let i = 1; i < 40; i++) log.append(line(i));
    assert.ok(asked > 0);
    await Deno.remove(ballast);
    log.append(line(40));
    assert.equal(log.close(), 0);
    const found = Deno.readTextFileSync(path).split("\n").map((one) => `${one.split(" ")[0]}:${one.length}`);
    assert.deepEqual(found, [...Array.from({ length: 41 }, (_, i) => `${i}:${line(i).length - 1}`), ":0"]);
  });
});

Deno.test("a study that was short of storage keeps the least in later runs too, also where it could not say so at once", async () => {
  for (const refusals of [0, 1]) {
    await withFolder(async (folder) => {
      let critical = true, calls = 0;
      const stored: number[] = [];
      const base = scenario(folder, {
        policy: { keep_last_n: 2, keep_best_k: 1, keep_best_k_max: 2, maxTotalBytes: 1e9, strategy: "oldest_first" },
        space: () => Promise.resolve({ freeBytes: 1e8, totalBytes: 1e10 }),
        isCritical: () => critical,
        storeTight: (from) => {
          if (calls++ < refusals) throw Object.assign(new Error("database or disk is full"), { code: "ENOSPC" });
          stored.push(from);
        },
      });
      const { options, trials, events } = base;
      trials.push({ id: "a", number: 0, state: "RUNNING", value: null });
      await saveEpochs(openKeeper(options), folder, "a", [0.9, 0.5, 0.3], 1000);
      assert.deepEqual(stored, [1], "once, from the trial after the one that ran");
      trials[0] = { id: "a", number: 0, state: "COMPLETE", value: 0.9 };
      trials.push({ id: "b", number: 1, state: "RUNNING", value: null });
      // The next process finds room enough, and what was stored.
      critical = false;
      const warnings = events.filter(({ type }) => type === "warning").length;
      const again = openKeeper({ ...options, tightFrom: stored[0]! });
      await again.sweep();
      assert.deepEqual(await present(folder, "a"), ["1 weights"]);
      await saveEpochs(again, folder, "b", [0.2, 0.8, 0.4, 0.3], 1000);
      assert.deepEqual(await present(folder, "b"), ["2 weights", "4"]);
      assert.deepEqual(stored, [1], "nothing new");
      assert.equal(events.filter(({ type }) => type === "warning").length, warnings);
      // Without it, the trial would keep its newest two.
      trials[1] = { id: "b", number: 1, state: "FAIL", value: null };
      trials.push({ id: "c", number: 2, state: "RUNNING", value: null });
      await saveEpochs(openKeeper(options), folder, "c", [0.2, 0.8, 0.4, 0.3], 1000);
      assert.deepEqual(await present(folder, "c"), ["2 weights", "3", "4"]);
    });
  }
});
