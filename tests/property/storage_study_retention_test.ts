/** Retention over whole studies: thousands of random ones, and the one of 1,000 trials whose peak is documented. */
import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { folderBytes } from "../../lib/storage/disk.ts";
import { listCheckpoints } from "../../lib/storage/checkpoint.ts";
import {
  decideRetention,
  PRUNING_STRATEGIES,
  type RetentionDecision,
  type RetentionState,
  type StudyCheckpoint,
  type TrialStanding,
} from "../../lib/storage/retention_decision.ts";
import {
  applyDecision,
  BERT_BASE,
  DEFAULT_POLICY,
  runInFolders,
  runVirtually,
  simulatedValue,
  totalBytes,
} from "../support/simulated_study.ts";

const RUNS = { numRuns: 2000 };

/** Few distinct values, so that ties are common. */
const valueArbitrary = fc.option(fc.constantFrom(0, 0.5, 0.75, 1), { freq: 6 });
const policyArbitrary = fc.record({
  keep_last_n: fc.nat({ max: 3 }),
  keep_best_k: fc.nat({ max: 3 }),
  keep_best_k_max: fc.integer({ min: 1, max: 4 }),
  maxTotalBytes: fc.constantFrom(150, 400, 1000, 1e9),
  strategy: fc.constantFrom(...Object.keys(PRUNING_STRATEGIES) as (keyof typeof PRUNING_STRATEGIES)[]),
});
const trialArbitrary = fc.record({
  state: fc.constantFrom("RUNNING" as const, "COMPLETE" as const, "PRUNED" as const, "FAIL" as const),
  value: fc.constantFrom(0, 0.5, 0.75, 1),
  checkpoints: fc.array(
    fc.record({ value: valueArbitrary, resumable: fc.boolean(), weights: fc.integer({ min: 1, max: 60 }) }),
    {
      maxLength: 5,
    },
  ),
});

/** Any state at all, also such as no run would come to. */
const stateArbitrary = fc.record({
  policy: policyArbitrary,
  direction: fc.constantFrom("maximize" as const, "minimize" as const),
  trials: fc.array(trialArbitrary, { minLength: 1, maxLength: 6 }),
  current: fc.option(fc.nat({ max: 5 })),
  finished: fc.boolean(),
  tightFrom: fc.option(fc.nat({ max: 6 }), { freq: 2 }),
  freeBytes: fc.constantFrom(0, 50, 200, 1e6),
  neededBytes: fc.constantFrom(0, 80, 120),
  wantedBytes: fc.constantFrom(0, 100),
}).map((drawn): RetentionState<StudyCheckpoint> => {
  const trials = drawn.trials.map(({ state, value }, number): TrialStanding => ({
    id: `t${number}`,
    number,
    state,
    value: state === "COMPLETE" ? value : null,
  }));
  const checkpoints = drawn.trials.flatMap(({ checkpoints }, number) =>
    checkpoints.map(({ value, resumable, weights }, i): StudyCheckpoint => ({
      trial: `t${number}`,
      name: `c${i}`,
      resumable,
      info: { step: i * 10, metrics: { f1: value } },
      bytes: resumable ? 3 * weights : weights,
      optimizerBytes: resumable ? 2 * weights : 0,
    }))
  );
  const current = drawn.current === null ? undefined : trials[drawn.current];
  const runs = current?.state === "RUNNING";
  return {
    policy: drawn.policy,
    metric: "f1",
    direction: drawn.direction,
    trials,
    checkpoints,
    current: runs ? current.id : null,
    finished: runs && drawn.finished,
    tightFrom: drawn.tightFrom,
    room: { freeBytes: drawn.freeBytes, neededBytes: drawn.neededBytes, wantedBytes: drawn.wantedBytes },
  };
});

type State = RetentionState<StudyCheckpoint>;
type Decision = RetentionDecision<StudyCheckpoint>;
const staying = ({ keep, reduce }: Decision) => [...keep, ...reduce];
const key = (one: StudyCheckpoint) => `${one.trial}/${one.name}`;
const scoreOf = ({ direction }: State) => (one: StudyCheckpoint) => {
  const value = one.info.metrics["f1"];
  return typeof value === "number" ? (direction === "maximize" ? value : -value) : -Infinity;
};
const isRunning = (state: State, one: StudyCheckpoint) =>
  state.trials.find(({ id }) => id === one.trial)!.state === "RUNNING";

Deno.test("never fewer than one checkpoint, and each is in one list with a reason where something happens to it", () => {
  fc.assert(
    fc.property(stateArbitrary, (state) => {
      const decision = decideRetention(state);
      if (state.checkpoints.length > 0) assert.ok(staying(decision).length >= 1);
      assert.deepEqual(
        [...decision.remove, ...staying(decision)].map(key).sort(),
        state.checkpoints.map(key).sort(),
      );
      for (const one of [...decision.remove, ...decision.reduce]) assert.ok(decision.reasons.get(one));
      const left = staying(decision).reduce((sum, one) => sum + one.bytes, 0) -
        decision.reduce.reduce((sum, one) => sum + one.optimizerBytes, 0);
      assert.equal(decision.bytes, left);
      assert.equal(decision.freedBytes, state.checkpoints.reduce((sum, one) => sum + one.bytes, 0) - left);
    }),
    RUNS,
  );
});

Deno.test("the resume point of each trial that runs stays, whole, whatever the pressure", () => {
  fc.assert(
    fc.property(stateArbitrary, (state) => {
      const decision = decideRetention(state);
      for (const { id } of state.trials.filter((trial) => trial.state === "RUNNING")) {
        if (id === state.current && state.finished) continue;
        const resumePoint = state.checkpoints.filter((one) => one.trial === id && one.resumable)
          .sort((a, b) => b.info.step - a.info.step)[0];
        if (resumePoint) assert.ok(decision.keep.includes(resumePoint), `${key(resumePoint)} has gone`);
      }
    }),
    RUNS,
  );
});

Deno.test("of the best nothing goes for a worse one, and but for step 3 nothing that ties with the best", () => {
  fc.assert(
    fc.property(stateArbitrary, (state) => {
      const decision = decideRetention(state);
      const score = scoreOf(state);
      if (state.policy.keep_best_k === 0) return;
      for (const { id, state: stands, value } of state.trials) {
        const own = state.checkpoints.filter((one) => one.trial === id);
        const best = Math.max(...own.map(score));
        const withCheckpoints = state.trials.filter((one) =>
          one.state === "COMPLETE" && state.checkpoints.some(({ trial }) => trial === one.id)
        );
        const sign = state.direction === "maximize" ? 1 : -1;
        const isTop = stands === "COMPLETE" &&
          withCheckpoints.every((other) => sign * other.value! <= sign * value!);
        if (!(stands === "RUNNING" || isTop) || best === -Infinity || decision.pressure === 3) continue;
        for (const one of own.filter((one) => score(one) === best)) {
          assert.ok(staying(decision).includes(one), `${key(one)} is among the best and went`);
        }
      }
      if (decision.pressure < 3) return;
      // In step 3 one of the study's best stays, unless what stays instead is needed and the best had gone before.
      const room = { freeBytes: 1e9, neededBytes: 0, wantedBytes: 0 };
      const policy = { ...state.policy, maxTotalBytes: 1e12 };
      const candidates = staying(decideRetention({ ...state, room, policy, tightFrom: decision.tightFrom }));
      const top = Math.max(...candidates.map(score));
      if (top > -Infinity) assert.ok(staying(decision).some((one) => score(one) === top), "the best of all has gone");
    }),
    RUNS,
  );
});

Deno.test("what is decided does not depend on the order of trials and checkpoints, nor on names", () => {
  fc.assert(
    fc.property(stateArbitrary, fc.infiniteStream(fc.nat()), (state, random) => {
      const shuffled = <T>(all: readonly T[]) =>
        all.map((one) => ({ one, at: random.next().value as number })).sort((a, b) => a.at - b.at).map(({ one }) =>
          one
        );
      // Names that sort the other way round.
      const renamed = state.checkpoints.map((one) => ({ ...one, name: `x${9 - one.info.step / 10}` }));
      const there = new Map(state.checkpoints.map((one, i) => [renamed[i]!, key(one)]));
      const first = decideRetention(state);
      const second = decideRetention({ ...state, trials: shuffled(state.trials), checkpoints: shuffled(renamed) });
      for (const list of ["remove", "reduce", "keep"] as const) {
        assert.deepEqual(second[list].map((one) => there.get(one)), first[list].map(key));
      }
      assert.deepEqual([second.pressure, second.tightFrom], [first.pressure, first.tightFrom]);
    }),
    RUNS,
  );
});

Deno.test("deciding again about what a decision has left removes nothing more", () => {
  fc.assert(
    fc.property(stateArbitrary, (state) => {
      const decision = decideRetention(state);
      const study = { trials: [...state.trials], checkpoints: [...state.checkpoints], tightFrom: null, peakBytes: 0 };
      applyDecision(study, decision);
      const room = { ...state.room, freeBytes: state.room.freeBytes + decision.freedBytes };
      const again = decideRetention({ ...state, room, checkpoints: study.checkpoints, tightFrom: decision.tightFrom });
      assert.deepEqual([again.remove.map(key), again.reduce.map(key)], [[], []]);
    }),
    RUNS,
  );
});

Deno.test("each step of pressure comes only after the one before it was not enough", () => {
  const seen = new Set<number>();
  fc.assert(
    fc.property(stateArbitrary, (state) => {
      const decision = decideRetention(state);
      seen.add(decision.pressure);
      const { neededBytes, freeBytes } = state.room;
      const total = state.checkpoints.reduce((sum, one) => sum + one.bytes, 0);
      const relaxed = decideRetention({
        ...state,
        policy: { ...state.policy, maxTotalBytes: Infinity },
        room: { freeBytes: Infinity, neededBytes, wantedBytes: 0 },
      });
      const fits = ({ bytes }: Decision) =>
        bytes + neededBytes <= state.policy.maxTotalBytes &&
        freeBytes + total - bytes >= Math.max(neededBytes, state.room.wantedBytes);
      assert.equal(decision.pressure <= 1, fits(relaxed));
      if (decision.pressure <= 1) assert.deepEqual(staying(decision).map(key), staying(relaxed).map(key));
      if (decision.pressure < 3) {
        assert.ok(decision.bytes + neededBytes <= state.policy.maxTotalBytes);
        assert.ok(freeBytes + decision.freedBytes >= neededBytes);
      } else {
        const running = staying(decision).filter((one) => isRunning(state, one)).length;
        const fitsNow = decision.bytes + neededBytes <= state.policy.maxTotalBytes &&
          freeBytes + decision.freedBytes >= neededBytes;
        // Either it fits, or the least is left: one best of all, and a resume point or result of each trial that runs.
        if (!fitsNow) assert.ok(staying(decision).length <= running + 1);
      }
    }),
    RUNS,
  );
  assert.deepEqual([...seen].sort(), [0, 1, 2, 3], "all steps were tried");
});

Deno.test("a study under any policy: the cap holds, by one save at most where the least that stays fills it", () => {
  fc.assert(
    fc.property(
      fc.record({
        policy: policyArbitrary,
        weights: fc.integer({ min: 1, max: 40 }),
        factor: fc.constantFrom(0, 1, 2),
        nTrials: fc.integer({ min: 1, max: 8 }),
        epochs: fc.integer({ min: 1, max: 6 }),
        values: fc.array(fc.constantFrom(0, 0.5, 0.75, 1), { minLength: 48, maxLength: 48 }),
        endings: fc.array(
          fc.constantFrom("COMPLETE" as const, "COMPLETE" as const, "FAIL" as const, "PRUNED" as const),
          {
            minLength: 8,
            maxLength: 8,
          },
        ),
        disk: fc.option(fc.constantFrom(3, 4, 6)),
      }),
      ({ policy, weights, factor, nTrials, epochs, values, endings, disk }) => {
        const optimizer = factor * weights, each = weights + optimizer;
        const cap = Math.max(policy.maxTotalBytes, each + weights);
        const value = (trial: number, epoch: number) => values[trial * 6 + epoch - 1]!;
        const study = runVirtually({
          policy: { ...policy, maxTotalBytes: cap },
          nTrials,
          epochs,
          weights,
          optimizer,
          value,
          ending: (trial) => endings[trial]!,
          // With room for three saves, the least (a resume point, a best one and the save) always fits.
          ...(disk === null ? {} : { diskBytes: disk * each }),
          onDecision(state, decision) {
            const room = state.room.freeBytes + decision.freedBytes;
            if (room < Infinity) assert.ok(room >= state.room.neededBytes, "no room for the save");
          },
        });
        assert.ok(study.peakBytes <= cap + each, `peak ${study.peakBytes} with a cap of ${cap} and saves of ${each}`);
        if (cap >= 2 * each + weights) assert.ok(study.peakBytes <= cap, "there was room for the save in the cap");
        assert.ok(study.checkpoints.length >= 1);
        const complete = study.trials.filter(({ state }) => state === "COMPLETE");
        if (complete.length === 0) return;
        const best = Math.max(...complete.map((trial) => trial.value!));
        const winner = complete.find((trial) => trial.value === best)!;
        if (policy.keep_best_k > 0 && study.tightFrom === null) {
          const kept = study.checkpoints.filter((one) => one.trial === winner.id && one.info.metrics["f1"] === best);
          const ties = values.slice(winner.number * 6, winner.number * 6 + epochs).filter((one) => one === best).length;
          assert.equal(kept.length, ties, "all that tie with the best, of the best trial");
        }
      },
    ),
    RUNS,
  );
});

const bertBase = {
  policy: DEFAULT_POLICY,
  epochs: 10,
  weights: BERT_BASE.weights + BERT_BASE.rest,
  optimizer: BERT_BASE.optimizer,
  value: simulatedValue,
};

Deno.test("1,000 trials of 10 epochs of BERT-base with AdamW peak under 10 GB", () => {
  const study = runVirtually({ ...bertBase, nTrials: 1000 });
  assert.ok(study.peakBytes < 10e9, `${study.peakBytes} bytes`);
  assert.ok(study.peakBytes > 2e9, "the running trial alone takes that");
  const all = 1000 * 10 * (bertBase.weights + bertBase.optimizer);
  assert.ok(study.peakBytes < 0.001 * all, "a thousandth of what keeping all takes");
});

Deno.test("so do real folders of sparse files of those sizes, and they hold what was decided", async () => {
  const folder = await Deno.makeTempDir({ prefix: "winnow-study-", dir: "/dev/shm" }).catch(() => Deno.makeTempDir());
  try {
    const run = { ...bertBase, nTrials: 25 };
    let peak = 0;
    const { trials } = await runInFolders(folder, run, async () => {
      peak = Math.max(peak, await folderBytes(folder));
    });
    const virtual = runVirtually(run);
    const manifests = 20 * 2000;
    assert.ok(peak < 10e9 && Math.abs(peak - virtual.peakBytes) < manifests, `${peak} and ${virtual.peakBytes} bytes`);
    const found: string[] = [];
    for (const { id } of trials) {
      for (const one of await listCheckpoints(join(folder, `trial_${id}`, "checkpoints"))) {
        found.push(`${id}/${one.info.step}/${one.resumable}`);
      }
    }
    assert.deepEqual(found, virtual.checkpoints.map((one) => `${one.trial}/${one.info.step}/${one.resumable}`));
    assert.ok(Math.abs(await folderBytes(folder) - totalBytes(virtual)) < manifests);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
