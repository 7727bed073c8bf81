import assert from "node:assert/strict";
import fc from "fast-check";
import type { When } from "../../lib/config/conditions.ts";
import {
  conditionalSize,
  conditionalSpace,
  type DeclaredSpace,
  drawParams,
  randomParams,
} from "../../lib/hpo/conditional_space.ts";
import { contains, type Params, valueAt, valueCount } from "../../lib/hpo/space.ts";
import { exitCode, type WinnowError } from "../../lib/support/errors.ts";

const heads: DeclaredSpace = {
  hidden: { type: "int", low: 128, high: 512, step: 128, when: { head: ["mlp", "gated"] } },
  dropout: { type: "float", low: 0, high: 0.5, when: { hidden: { not: 128 } } },
  head: { type: "categorical", choices: ["linear", "mlp", "gated"] },
};

const inOrder = (space: DeclaredSpace, own?: (key: string) => unknown) =>
  conditionalSpace(space, own).parameters.map(({ name }) => name);

Deno.test("parameters stand behind those that their conditions name, otherwise as declared", () => {
  assert.deepEqual(inOrder(heads), ["head", "hidden", "dropout"]);
});

Deno.test("what is drawn: parameters whose conditions hold, and nothing below one that is not drawn", () => {
  const space = conditionalSpace(heads);
  const draw = (values: Params) => drawParams(space, (name) => values[name]!);
  assert.deepEqual(draw({ head: "linear", hidden: 256, dropout: 0.1 }), { head: "linear" });
  assert.deepEqual(draw({ head: "mlp", hidden: 128, dropout: 0.1 }), { head: "mlp", hidden: 128 });
  const whole = { head: "gated", hidden: 256, dropout: 0.1 };
  assert.deepEqual(draw(whole), whole);
  assert.deepEqual(Object.keys(draw(whole)), ["head", "hidden", "dropout"]);
});

Deno.test("conditions on keys that are not searched are decided by the configuration's own value", () => {
  const { head: _, ...rest } = heads;
  assert.deepEqual(inOrder(rest, (key) => ({ head: "mlp" })[key]), ["hidden", "dropout"]);
  const { parameters, idle } = conditionalSpace(rest, (key) => ({ head: "linear" })[key]);
  assert.deepEqual([parameters, idle], [[], [{ name: "hidden", key: "head" }, { name: "dropout", key: "hidden" }]]);
});

Deno.test("of several keys all must hold, of a list one; a list of the configuration counts as its names", () => {
  const both: DeclaredSpace = {
    a: { type: "categorical", choices: [1, 2] },
    b: { type: "categorical", choices: [true, null] },
    c: { type: "int", low: 0, high: 1, when: { a: [1, 2], b: null } },
    d: { type: "int", low: 0, high: 1, when: { methods: { not: ["none", "swap,eda"] } } },
  };
  const drawn = (a: number, b: boolean | null, methods: string[]) =>
    drawParams(conditionalSpace(both, () => methods), (name) => ({ a, b, c: 0, d: 0 })[name]!);
  assert.deepEqual(drawn(1, null, []), { a: 1, b: null, c: 0 });
  assert.deepEqual(drawn(1, true, ["swap", "eda"]), { a: 1, b: true });
  assert.deepEqual(drawn(2, null, ["swap"]), { a: 2, b: null, c: 0, d: 0 });
});

Deno.test("conditions in a circle are refused with the circle", () => {
  const circle: DeclaredSpace = {
    start: { type: "int", low: 0, high: 1, when: { b: 1 } },
    a: { type: "int", low: 0, high: 1, when: { c: 0 } },
    b: { type: "int", low: 0, high: 1, when: { a: 0 } },
    c: { type: "int", low: 0, high: 1, when: { b: 0 } },
  };
  assert.throws(() => conditionalSpace(circle), (error: WinnowError) => {
    return exitCode(error) === 2 && error.message.endsWith("in a circle: b -> a -> c -> b");
  });
  assert.throws(
    () => conditionalSpace({ a: { type: "int", low: 0, high: 1, when: { a: 0 } } }),
    /in a circle: a -> a/,
  );
});

/** Spaces of up to six small parameters, each with conditions on earlier ones, in any order of declaration. */
const spaces = fc.array(
  fc.record({
    size: fc.integer({ min: 1, max: 4 }),
    parents: fc.array(
      fc.record({ of: fc.nat(), not: fc.boolean(), values: fc.uniqueArray(fc.nat({ max: 4 }), { minLength: 1 }) }),
      { maxLength: 2 },
    ),
  }),
  { minLength: 1, maxLength: 6 },
).chain((drawn) => {
  const entries = drawn.map(({ size, parents }, i): [string, DeclaredSpace[string]] => {
    const when: When = i === 0 ? {} : Object.fromEntries(
      parents.map(({ of, not, values }) => [`p${of % i}`, not ? { not: values } : values]),
    );
    return [`p${i}`, { type: "int", low: 0, high: size - 1, when }];
  });
  return fc.shuffledSubarray(entries, { minLength: entries.length }).map((all): DeclaredSpace =>
    Object.fromEntries(all)
  );
});

/** All trials of a space, by going through every combination of all parameters. */
function enumerate(space: ReturnType<typeof conditionalSpace>): Set<string> {
  const found = new Set<string>();
  const go = (values: Params, rest: typeof space.parameters): void => {
    const [first, ...others] = rest;
    if (first === undefined) {
      found.add(JSON.stringify(drawParams(space, (name) => values[name]!)));
    } else for (let i = 0; i < valueCount(first.distribution); i++) go({ ...values, [first.name]: i }, others);
  };
  go({}, space.parameters);
  return found;
}

Deno.test("the size of a space is the number of its different trials", () => {
  fc.assert(
    fc.property(spaces, (declared) => {
      const space = conditionalSpace(declared, () => 0);
      assert.equal(conditionalSize(space).combinations, BigInt(enumerate(space).size));
    }),
    { numRuns: 300 },
  );
});

Deno.test("random trials are of the space, differ, and depend on seed and number alone", () => {
  const space = conditionalSpace(heads);
  const drawn = Array.from({ length: 50 }, (_, i) => randomParams(space, 7, i));
  assert.deepEqual(randomParams(space, 7, 3), drawn[3]);
  assert.deepEqual(new Set(drawn.map((params) => params["head"])), new Set(["linear", "mlp", "gated"]));
  for (const params of drawn) {
    for (const { name, distribution } of space.parameters) {
      if (name in params) assert.ok(contains(distribution, params[name]));
    }
    assert.equal("hidden" in params, params["head"] !== "linear");
  }
});

Deno.test("a space is counted in closed form: 60 parameters, each under the one before it", () => {
  const chain: DeclaredSpace = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [
    `p${i}`,
    { type: "int", low: 1, high: 1000, ...(i === 0 ? {} : { when: { [`p${i - 1}`]: 1 } }) } as DeclaredSpace[string],
  ]));
  // One value goes on, 999 end: 999 · 60 + 1.
  assert.equal(conditionalSize(conditionalSpace(chain)).combinations, 59_941n);
  const { combinations, continuous } = conditionalSize(conditionalSpace({
    rate: { type: "float", low: 1e-5, high: 1e-3, log: true },
    grid: { type: "float", low: 0, high: 0.5, step: 0.1 },
    whole: { type: "int", low: 2, high: 7, step: 2, when: { grid: 0.1 } },
    choice: { type: "categorical", choices: ["a", null, 3] },
    wide: { type: "int", low: 1, high: 64, log: true },
  }));
  assert.deepEqual({ combinations, continuous }, { combinations: BigInt((5 + 3) * 3 * 64), continuous: ["rate"] });
  assert.equal(valueAt({ type: "int", low: 2, high: 7, step: 2 }, 0.99), 6);
});
