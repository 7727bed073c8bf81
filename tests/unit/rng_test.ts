/** Philox against Random123's known answers, and the streams made of it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { philox4x32, randomStream } from "../../lib/support/rng.ts";

// `kat_vectors` of Random123 1.14 (Salmon et al.), philox4x32 with 10 rounds.
const ALL = 0xffffffff;
const KNOWN: [string, [number, number, number, number], [number, number], number[]][] = [
  ["zeros", [0, 0, 0, 0], [0, 0], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
  ["all ones", [ALL, ALL, ALL, ALL], [ALL, ALL], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
  [
    "digits of pi",
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
];
for (const [name, counter, key, expected] of KNOWN) {
  Deno.test(`philox4x32 gives Random123's known answer: ${name}`, () => {
    assert.deepEqual(philox4x32(counter, key), expected);
  });
}

Deno.test("a stream depends on its seed and labels alone", () => {
  const take = (...labels: [number, ...(string | number)[]]) => {
    const stream = randomStream(...labels);
    return Array.from({ length: 9 }, () => stream.uint32());
  };
  assert.deepEqual(take(1, "order", 2), take(1, "order", 2));
  const streams = [take(1, "order", 2), take(2, "order", 2), take(1, "order", 3), take(1, "split"), take(1)];
  streams.push(take(1 + 2 ** 32, "order", 2), take(1, "ord", "er", 2));
  assert.equal(new Set(streams.map(String)).size, streams.length);
});

Deno.test("uniform numbers are in [0, 1) and fill it evenly", () => {
  const stream = randomStream(5, "uniform");
  const count = 20_000, bins = 20;
  const histogram = new Array(bins).fill(0);
  for (let i = 0; i < count; i++) {
    const value = stream.uniform();
    assert.ok(value >= 0 && value < 1);
    histogram[Math.floor(value * bins)]++;
  }
  const expected = count / bins;
  const chiSquare = histogram.reduce((sum, observed) => sum + (observed - expected) ** 2 / expected, 0);
  // 99.9 % of χ² with 19 degrees of freedom lie below 43.8; the stream is fixed, so the test does not waver.
  assert.ok(chiSquare < 43.8, `χ² = ${chiSquare}`);
});

Deno.test("normal numbers have mean 0, variance 1 and the tails of a normal distribution", () => {
  const stream = randomStream(5, "normal");
  const values = Array.from({ length: 20_000 }, () => stream.normal());
  const mean = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / values.length;
  assert.ok(Math.abs(mean(1)) < 0.03, `mean ${mean(1)}`);
  assert.ok(Math.abs(mean(2) - 1) < 0.04, `variance ${mean(2)}`);
  assert.ok(Math.abs(mean(4) - 3) < 0.2, `fourth moment ${mean(4)}`);
});

Deno.test("integers stay below their bound and take every value", () => {
  fc.assert(fc.property(fc.integer(), fc.integer({ min: 1, max: 6 }), (seed, bound) => {
    const stream = randomStream(seed);
    const drawn = new Set(Array.from({ length: 200 }, () => stream.integer(bound)));
    assert.deepEqual([...drawn].sort(), Array.from({ length: bound }, (_, i) => i));
  }));
  assert.ok(randomStream(1).integer(2 ** 32) < 2 ** 32);
  for (const bound of [0, -1, 1.5, NaN, 2 ** 32 + 1]) {
    assert.throws(() => randomStream(1).integer(bound), /Expected bound to be an integer from 1 to 2\^32/);
  }
});

Deno.test("a shuffle is a permutation and leaves its argument alone", () => {
  fc.assert(fc.property(fc.integer(), fc.array(fc.integer()), (seed, items) => {
    const before = [...items];
    const shuffled = randomStream(seed).shuffle(items);
    assert.deepEqual(items, before);
    assert.deepEqual(shuffled.toSorted((a, b) => a - b), before.toSorted((a, b) => a - b));
  }));
});

Deno.test("every order of three is as likely as any other", () => {
  const stream = randomStream(5, "orders");
  const counts = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const order = stream.shuffle([1, 2, 3]).join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  assert.equal(counts.size, 6);
  for (const [order, count] of counts) assert.ok(Math.abs(count - 1000) < 120, `${order}: ${count}`);
});

Deno.test("a pick is one of the items, and there must be one", () => {
  const stream = randomStream(5);
  assert.deepEqual([...new Set(Array.from({ length: 60 }, () => stream.pick(["a", "b"])))].sort(), ["a", "b"]);
  assert.throws(() => stream.pick([]), /Expected a non-empty array/);
});
