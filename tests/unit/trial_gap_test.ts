import assert from "node:assert/strict";
import { type BaseSource, keepBase, openBase } from "../../lib/study/base_weights.ts";
import { createGapClock, describeGaps, summariseGaps } from "../../lib/study/trial_gap.ts";

Deno.test("the gap begins at the last epoch of a trial that ended and is summed up by phase", () => {
  let now = 0;
  const clock = createGapClock(() => now);
  const after = (milliseconds: number, what: () => unknown) => {
    now += milliseconds;
    return what();
  };
  assert.equal(clock.end(), undefined, "before the first trial there is none");
  clock.begin();
  after(5000, () => clock.begin()); // another epoch
  after(100, () => clock.lap("saving"));
  after(200, () => clock.lap("engine"));
  after(300, () => clock.lap("engine"));
  const gap = after(400, () => clock.end());
  const none = { saving: 0, evaluation: 0, report: 0, study: 0, preparation: 0, engine: 0, first_step: 0 };
  assert.deepEqual(gap, { seconds: 1, phases: { ...none, saving: 0.1, engine: 0.5, first_step: 0.4 } });
  assert.equal(clock.end(), undefined, "a gap ends once");
  clock.begin();
  clock.drop();
  assert.equal(after(9000, () => clock.end()), undefined, "a trial that failed has no gap behind it");
  clock.begin();
  after(3000, () => clock.end());
  assert.deepEqual(summariseGaps(clock.gaps), {
    count: 2,
    median_seconds: 2,
    longest_seconds: 3,
    phases: { ...none, saving: 0.05, engine: 0.25, first_step: 1.7 },
  });
  assert.deepEqual(describeGaps(clock.gaps), [
    "gap          2.00 s between two trials (median of 2, longest 3.00 s): first step 1.70, engine 0.25",
  ]);
  assert.deepEqual(describeGaps([]), []);
});

Deno.test("first values are kept for one source and seed within the limit, and are those of the source", () => {
  const source = { encoder: { pad_token_id: 0 }, folder: undefined } as BaseSource;
  const base = keepBase(() => 100);
  const read = (from: BaseSource, seed: number, name: string, shape: number[]) => {
    using opened = base.open(from, seed);
    const values = opened.read(name, shape, "normal");
    using expected = openBase(from, seed);
    assert.deepEqual(values, expected.read(name, shape, "normal"));
    return values;
  };
  const first = read(source, 1, "a", [4, 5]);
  assert.equal(read(source, 1, "a", [4, 5]), first, "the same array");
  assert.equal(base.bytes, 80);
  assert.notEqual(read(source, 1, "a", [2, 3]), first, "of another shape another one, which has no room");
  assert.equal(base.bytes, 80);
  assert.notDeepEqual(read(source, 2, "a", [2, 3]), read(source, 1, "a", [2, 3]));
  read({ ...source }, 1, "b", [3, 1]);
  assert.equal(base.bytes, 12, "another source lets go of the one before");
});
