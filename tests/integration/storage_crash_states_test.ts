/**
 * What a crash may leave, tried in full: the log of a trial's writing is cut at every change, with what was not synced
 * lost, torn or reordered, and with every change refused once; each state is recovered from, the run goes on, and some
 * crash again.
 *
 * A failure ends with a line that runs its state alone: `WINNOW_CRASH="seed fault prefix.choice …" deno task test …`.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { randomStream } from "../../lib/support/rng.ts";
import { type Assurance, checkCrashed, checkFinished, runTrial } from "../support/crash_scenario.ts";
import { chooseCrash, hashTree, type Snapshot, snapshot, treeAfter, unsynced } from "../support/crash_states.ts";
import { type Change, type Fault, type FolderInode, memoryFiles, newFolder } from "../support/memory_files.ts";

const SEED = 1;
/** The least number of distinct states of one run of the tests. */
const LEAST_STATES = 10_000;
/** Where the crashes of resumed runs, of which there is no end, are enough. */
const ENOUGH_STATES = 10_500;
/** Crashes that are drawn behind each change. */
const CHOICES = 40;
const KINDS = ["EIO", "ENOSPC", "full", "short"] as const;

/** A chain of crashes, the first of a run that may have met a fault. */
interface Case {
  seed: number;
  fault: Fault | undefined;
  crashes: { prefix: number; choice: number }[];
}

const textOf = ({ seed, fault, crashes }: Case) =>
  [
    seed,
    fault ? `${fault.kind}@${fault.at}` : "-",
    ...crashes.map(({ prefix, choice }) => `${prefix}.${choice}`),
  ].join(" ");

function parseCase(text: string): Case {
  const [seed, fault, ...crashes] = text.trim().split(/\s+/);
  const [kind, at] = fault!.split("@");
  return {
    seed: Number(seed),
    fault: kind === "-" ? undefined : { kind: kind as Fault["kind"], at: Number(at) },
    crashes: crashes.map((one) => {
      const [prefix, choice] = one.split(".").map(Number);
      return { prefix: prefix!, choice: choice! };
    }),
  };
}

/** A run that was recorded: where it began, what it changed, and how it ended. */
interface Recorded {
  before: Snapshot;
  log: readonly Change[];
  root: FolderInode;
  error: unknown;
  struck: boolean;
}

/** Runs the trial on a tree, which is changed. */
async function record(root: FolderInode, fault?: Fault, saves?: number): Promise<Recorded> {
  const before = snapshot(root);
  const files = memoryFiles(root, fault);
  const options = { fs: files.fs, mark: files.mark, ...(saves === undefined ? {} : { saves }) };
  const error = await runTrial(options).then(() => undefined, (thrown) => thrown);
  return { before, log: files.log, root, error, struck: files.struck };
}

/** What the run had been told before a point of its log. */
const assurances = (log: readonly Change[], prefix = log.length): Assurance[] =>
  log.slice(0, prefix).flatMap((change) => change.what === "mark" ? [change.mark as Assurance] : []);

/** A fault ends the run with an error that names it, or is got over; nothing else may come of it. */
function checkEnd({ error, struck }: Recorded, fault: Fault | undefined): void {
  if (error === undefined) return;
  const codes: unknown[] = [];
  for (let one: unknown = error; one instanceof Error; one = one.cause) codes.push((one as { code?: string }).code);
  const expected = fault?.kind === "full" ? "ENOSPC" : fault?.kind;
  assert.ok(struck && expected !== "short" && codes.includes(expected), `the run ended with ${(error as Error).stack}`);
}

/** Checks the state of a crash and everything that follows from it: the run goes on for so many saves, or to its end. */
async function checkState(tree: FolderInode, promised: readonly Assurance[], saves?: number): Promise<Recorded> {
  const recovered = await record(tree, undefined, saves);
  checkEnd(recovered, undefined);
  const all = [...promised, ...assurances(recovered.log)];
  const { fs } = memoryFiles(tree);
  await checkCrashed(fs, all);
  if (saves === undefined) await checkFinished(fs);
  return recovered;
}

/** Runs one case alone. */
async function runCase({ seed, fault, crashes }: Case): Promise<void> {
  let run = await record(newFolder(), fault);
  checkEnd(run, fault);
  let promised: Assurance[] = [];
  for (const { prefix, choice } of crashes) {
    const crash = chooseCrash(run.log, seed, prefix, choice);
    promised = [...promised, ...assurances(run.log, prefix)];
    const tree = treeAfter(run.before, run.log, crash);
    console.log(`crash behind change ${prefix} of ${run.log.length}; not synced were:`);
    unsynced(run.log, prefix).forEach((i, k) => console.log(`  ${describe(run.log[i]!)}: ${crash.fates[k]}`));
    await checkCrashed(memoryFiles(treeAfter(run.before, run.log, crash)).fs, promised);
    run = await record(tree);
    checkEnd(run, undefined);
  }
  await checkCrashed(memoryFiles(run.root).fs, [...promised, ...assurances(run.log)]);
  if (run.error === undefined) await checkFinished(memoryFiles(run.root).fs);
}

function describe(change: Change): string {
  if (change.what === "write") return `write of ${change.bytes.length} bytes at ${change.at} of file ${change.file.id}`;
  if (change.what === "truncate") return `cut of file ${change.file.id} to ${change.size}`;
  if (change.what === "rename") return `rename ${change.name} to ${change.to}`;
  return "name" in change ? `${change.what} ${change.name}` : change.what;
}

/** The states that were met, logs left out: of those any line may be missing. */
function createCounter() {
  const states = new Set<string>(), checked = new Set<string>();
  return {
    get states() {
      return states.size;
    },
    /** Whether this tree has not been met yet with these assurances. */
    isNew(tree: FolderInode, promised: number): boolean {
      const hash = createHash("sha1");
      hashTree(hash, tree, /\/logs\//);
      const key = hash.digest("base64");
      states.add(key);
      const known = checked.size;
      return checked.add(`${key} ${promised}`).size > known;
    },
  };
}

async function attempt(one: Case, body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    const line = `WINNOW_CRASH="${textOf(one)}" deno test -P=test tests/integration/storage_crash_states_test.ts`;
    throw new Error(`a crash state is not recovered from: ${(error as Error).message}\nreproduce: ${line}`, {
      cause: error,
    });
  }
}

const single = Deno.env.get("WINNOW_CRASH");
const ignore = single !== undefined;

Deno.test({ name: `the crash state ${single}`, ignore: !ignore, fn: () => runCase(parseCase(single!)) });

Deno.test(
  { name: "every state that a crash may leave is recovered from, crashes of the resumed run included", ignore },
  async () => {
    const counter = createCounter();
    const started = performance.now();
    /** States whose resumed run crashes too. */
    const again: { run: Recorded; promised: Assurance[]; base: Case }[] = [];
    /** Crashes of a recorded run behind one change of its log. */
    const crashAt = async (
      { run, promised, base }: typeof again[number],
      prefix: number,
      choices: number,
    ) => {
      const open = unsynced(run.log, prefix).length;
      for (let choice = 0; choice < (open === 0 ? 1 : choices); choice++) {
        const one = { ...base, crashes: [...base.crashes, { prefix, choice }] };
        await attempt(one, async () => {
          const crash = chooseCrash(run.log, SEED, prefix, choice);
          const tree = treeAfter(run.before, run.log, crash);
          const before = [...promised, ...assurances(run.log, prefix)];
          if (!counter.isNew(tree, before.length)) return;
          await checkCrashed(memoryFiles(treeAfter(run.before, run.log, crash)).fs, before);
          const random = randomStream(SEED, textOf(one)).uniform();
          // All are recovered and train on; some save once more, and some go on to the end.
          const resumed = await checkState(tree, before, random < 0.02 ? undefined : random < 0.15 ? 1 : 0);
          if (random < 0.15) again.push({ run: resumed, promised: before, base: one });
        });
      }
    };

    const whole = await record(newFolder());
    checkEnd(whole, undefined);
    const first = { run: whole, promised: [], base: { seed: SEED, fault: undefined, crashes: [] } };
    for (let prefix = 1; prefix <= whole.log.length; prefix++) {
      if (whole.log[prefix - 1]!.what !== "mark") await crashAt(first, prefix, CHOICES);
    }
    const once = counter.states;

    const calls = whole.log.flatMap(({ what }) => what === "mark" ? [] : [what]);
    for (const kind of KINDS) {
      for (const [at, what] of calls.entries()) {
        // A name and bytes take space, and bytes alone can be written in part.
        const struck = kind === "EIO" || what === "write" || (what === "link" && kind !== "short");
        if (!struck) continue;
        const fault = { kind, at };
        const base: Case = { seed: SEED, fault, crashes: [] };
        await attempt(base, async () => {
          const run = await record(newFolder(), fault);
          checkEnd(run, fault);
          if (run.error === undefined) await checkFinished(memoryFiles(run.root).fs);
          // The process that was refused something may end there, and the machine with it.
          await crashAt({ run, promised: [], base }, run.log.length, 4);
        });
      }
    }
    const refused = counter.states - once;

    const pick = randomStream(SEED, "crashes of resumed runs");
    for (let i = 0; counter.states < ENOUGH_STATES && i < 1e6; i++) {
      const one = again[pick.integer(again.length)]!;
      await crashAt(one, 1 + pick.integer(one.run.log.length), 6);
    }
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    console.log(
      `${counter.states} distinct states recovered: ${once} of a crash, ${refused} of a refused call, ` +
        `${
          counter.states - once - refused
        } of crashes of a resumed run (seed ${SEED}, ${calls.length} changes, ${seconds} s)`,
    );
    assert.ok(counter.states >= LEAST_STATES, `only ${counter.states} distinct states`);
  },
);
