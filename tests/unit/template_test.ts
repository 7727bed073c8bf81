/** The WGSL text expansion and its integer expressions. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { evaluate, expandTemplate } from "../../lib/gpu/template.ts";

const lines = (...text: string[]) => text.join("\n");

// Operators by precedence, loosest first, as in C and JavaScript.
const LEVELS: Record<string, (a: number, b: number) => number>[] = [
  { "||": (a, b) => Number(a !== 0 || b !== 0) },
  { "&&": (a, b) => Number(a !== 0 && b !== 0) },
  { "==": (a, b) => Number(a === b), "!=": (a, b) => Number(a !== b) },
  {
    "<": (a, b) => Number(a < b),
    ">": (a, b) => Number(a > b),
    "<=": (a, b) => Number(a <= b),
    ">=": (a, b) => Number(a >= b),
  },
  { "+": (a, b) => a + b, "-": (a, b) => a - b },
  { "*": (a, b) => a * b, "/": (a, b) => Math.floor(a / b), "%": (a, b) => a % b },
];
const LEAF = LEVELS.length;
interface Expression {
  readonly text: string;
  readonly value: number;
  readonly level: number;
}
const CONSTANTS = { N: 3, ROWS_4: 32, flag: 0 };
const bracketed = ({ text, level }: Expression, least: number) => level < least ? `(${text})` : text;
/** Expressions with no more brackets than precedence asks for, and their values. */
const { expression: expressions } = fc.letrec<{ expression: Expression }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.nat({ max: 99 }).map((value) => ({ text: String(value), value, level: LEAF })),
    fc.constantFrom(...Object.entries(CONSTANTS)).map(([text, value]) => ({ text, value, level: LEAF })),
    fc.tuple(fc.constantFrom("!", "-"), tie("expression")).map(([operator, operand]) => ({
      text: operator + bracketed(operand, LEAF),
      value: operator === "!" ? Number(operand.value === 0) : -operand.value,
      level: LEAF,
    })),
    fc.tuple(
      fc.constantFrom(...LEVELS.flatMap((operators, level) => Object.keys(operators).map((name) => ({ name, level })))),
      tie("expression"),
      tie("expression"),
      fc.constantFrom("", " "),
    ).map(([{ name, level }, left, right, space]) => ({
      text: bracketed(left, level) + space + name + space + bracketed(right, level + 1),
      value: LEVELS[level]![name]!(left.value, right.value),
      level,
    })),
  ),
}));

Deno.test("expressions have C's precedence and integer division", () => {
  fc.assert(fc.property(expressions, ({ text, value }) => {
    fc.pre(Number.isFinite(value));
    assert.equal(evaluate(text, CONSTANTS) + 0, value + 0, text);
  }));
  assert.equal(evaluate("2 + 3 * 4 - 10 / 4 % 3", {}), 12);
  assert.equal(evaluate("10 - 4 - 3", {}), 3);
  assert.equal(evaluate("-(1 + 2) * 2", {}), -6);
  assert.equal(evaluate("D4 > 4 && !(D4 == 8) || 0", { D4: 16 }), 1);
});

for (
  const [expression, message] of [
    ["", /Expected a number/],
    ["1 +", /Expected a number/],
    ["(1 + 2", /Expected "\)"/],
    ["1 2", /Expected an operator/],
    ["1 + 2)", /Expected an operator/],
    ["1 & 2", /Expected an integer expression/],
    ["1.5", /Expected an integer expression/],
    ["MISSING * 2", /Expected a number for "MISSING" in "MISSING \* 2"/],
    ["T * 2", /Expected a number for "T"/],
    ["1 constructor 2", /Expected an operator/],
  ] as const
) {
  Deno.test(`the expression "${expression}" is refused`, () => {
    assert.throws(() => evaluate(expression, { T: "vec4f" }), message);
  });
}

Deno.test("values are inserted by name and by expression, text as it is", () => {
  assert.equal(
    expandTemplate("var x$i = array<$T, ${4 * N}>(); // $T ${N}u", { i: 2, T: "vec4f", N: 8 }),
    "var x2 = array<vec4f, 32>(); // vec4f 8u",
  );
  assert.throws(() => expandTemplate("$missing", {}), /Expected a number for "missing"/);
});

Deno.test("loops repeat their lines, also nested, bounded by expressions and not at all", () => {
  const nested = lines("//#for i in 0..N", "  //#for j in i..N - 1", "a$i$j", "  //#end", "//#end");
  assert.equal(expandTemplate(nested, { N: 3 }), lines("a00", "a01", "a11"));
  assert.equal(expandTemplate(lines("x", "//#for i in 2..2", "a", "//#end", "y"), {}), lines("x", "y"));
});

Deno.test("a loop's variable ends with the loop and shadows a constant", () => {
  assert.equal(expandTemplate(lines("//#for N in 0..2", "$N", "//#end", "$N"), { N: 7 }), lines("0", "1", "7"));
  assert.throws(() => expandTemplate(lines("//#for i in 0..2", "//#end", "$i"), {}), /Expected a number for "i"/);
});

Deno.test("conditions keep one branch, nested ones by their own", () => {
  const source = lines(
    "//#if A",
    "a",
    "//#if B",
    "ab",
    "//#else",
    "a!b",
    "//#end",
    "//#else",
    "!a",
    "//#if B",
    "!ab",
    "//#end",
    "//#end",
    "z",
  );
  const expand = (A: number, B: number) => expandTemplate(source, { A, B }).split("\n");
  assert.deepEqual(expand(1, 1), ["a", "ab", "z"]);
  assert.deepEqual(expand(1, 0), ["a", "a!b", "z"]);
  assert.deepEqual(expand(0, 1), ["!a", "!ab", "z"]);
  assert.deepEqual(expand(0, 0), ["!a", "z"]);
});

Deno.test("the branch that is not kept is not evaluated", () => {
  assert.equal(expandTemplate(lines("//#if 0", "$missing", '//#include "missing"', "//#end"), {}), "");
});

Deno.test("includes are expanded with the constants and loop variables around them", () => {
  const source = lines("//#for i in 0..2", '//#include "part"', "//#end");
  const includes = { part: lines("part $i", '//#include "inner"'), inner: "inner ${i + N}" };
  assert.equal(
    expandTemplate(source, { N: 5 }, includes),
    lines("part 0", "inner 5", "part 1", "inner 6"),
  );
  assert.throws(() => expandTemplate('//#include "other"', {}, includes), /Expected "other" among the includes/);
});

for (
  const [what, source, message] of [
    ["an open loop", lines("a", "//#for i in 0..2", "b"), /Expected "\/\/#end" for line 2: \/\/#for i in 0\.\.2/],
    ["an open condition", lines("//#if 1", "//#for i in 0..1", "//#end"), /Expected "\/\/#end" for line 1/],
    ["a stray end", lines("a", "//#end"), /Expected a directive on line 2 but found \/\/#end/],
    ["a stray else", lines("//#else"), /Expected a directive on line 1/],
    ["an unknown directive", lines("//#while 1"), /Expected a directive on line 1 but found \/\/#while 1/],
    ["a malformed loop", lines("//#for i = 0..2", "//#end"), /Expected a directive on line 1/],
    ["a malformed include", "//#include part", /Expected a directive on line 1/],
  ] as const
) {
  Deno.test(`${what} is refused with its line`, () => assert.throws(() => expandTemplate(source, {}), message));
}
