/**
 * The one way in which Winnow's WGSL is specialised, since `override` constants cannot do all of it: unrolled
 * register tiles, optional bindings, element types. Directives are WGSL comments, so an unexpanded file still highlights and reads as WGSL.
 *
 * - `//#for NAME in FROM..TO` … `//#end` repeats the lines with NAME = FROM, …, TO - 1
 * - `//#if EXPRESSION` … `//#else` … `//#end` keeps one branch (non-zero is true)
 * - `//#include "file.wgsl"` inserts a file of the includes table
 * - `$NAME` and `${EXPRESSION}` insert a value
 *
 * Expressions are integers, constants, `+ - * / %` (integer division), comparisons, `&& || !` and parentheses.
 */

/** Values a kernel is specialised by: integers and flags (1 or 0), or text such as a WGSL type. */
export type Constants = Readonly<Record<string, number | string>>;

const TOKEN = /\s*(\d+|[A-Za-z_]\w*|==|!=|<=|>=|&&|\|\||[-+*/%()<>!])/y;

const BINARY: readonly Readonly<Record<string, (a: number, b: number) => number>>[] = [
  { "||": (a, b) => (a || b ? 1 : 0) },
  { "&&": (a, b) => (a && b ? 1 : 0) },
  { "==": (a, b) => (a === b ? 1 : 0), "!=": (a, b) => (a !== b ? 1 : 0) },
  {
    "<": (a, b) => (a < b ? 1 : 0),
    ">": (a, b) => (a > b ? 1 : 0),
    "<=": (a, b) => (a <= b ? 1 : 0),
    ">=": (a, b) => (a >= b ? 1 : 0),
  },
  { "+": (a, b) => a + b, "-": (a, b) => a - b },
  { "*": (a, b) => a * b, "/": (a, b) => Math.floor(a / b), "%": (a, b) => a % b },
];

/** The value of an integer expression over the constants. */
export function evaluate(expression: string, constants: Constants): number {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < expression.trimEnd().length) {
    const match = TOKEN.exec(expression);
    if (!match) throw new SyntaxError(`Expected an integer expression but found "${expression}"`);
    tokens.push(match[1]!);
  }
  let position = 0;
  const unary = (): number => {
    const token = tokens[position++];
    if (token === "!") return unary() ? 0 : 1;
    if (token === "-") return -unary();
    if (token === "(") {
      const value = binary(0);
      if (tokens[position++] !== ")") throw new SyntaxError(`Expected ")" in "${expression}"`);
      return value;
    }
    if (token !== undefined && /^\d/.test(token)) return Number(token);
    const value = token === undefined ? undefined : constants[token];
    if (typeof value !== "number") throw new ReferenceError(`Expected a number for "${token}" in "${expression}"`);
    return value;
  };
  const binary = (level: number): number => {
    const operators = BINARY[level];
    if (!operators) return unary();
    let value = binary(level + 1);
    for (
      let token = tokens[position];
      token !== undefined && Object.hasOwn(operators, token);
      token = tokens[position]
    ) {
      position++;
      value = operators[token]!(value, binary(level + 1));
    }
    return value;
  };
  const value = binary(0);
  if (position !== tokens.length) throw new SyntaxError(`Expected an operator in "${expression}"`);
  return value;
}

function substitute(line: string, constants: Constants): string {
  return line.replace(/\$(?:\{([^}]*)\}|([A-Za-z_]\w*))/g, (_, expression: string | undefined, name: string) => {
    const key = (expression ?? name).trim();
    const value = constants[key];
    return value !== undefined ? String(value) : String(evaluate(key, constants));
  });
}

/**
 * Expands the directives of a WGSL text.
 *
 * @throws {SyntaxError} when a directive is malformed or not closed
 * @throws {ReferenceError} when a constant or an included file is missing
 *
 * @example
 * ```ts
 * import { expandTemplate } from "./template.ts";
 * import assert from "node:assert/strict";
 * assert.equal(expandTemplate("//#for i in 0..N\nx$i = ${4 * i};\n//#end", { N: 2 }), "x0 = 0;\nx1 = 4;");
 * ```
 */
export function expandTemplate(source: string, constants: Constants, includes: Record<string, string> = {}): string {
  const lines = source.split("\n");
  const output: string[] = [];

  const blockEnd = (start: number): { end: number; otherwise: number } => {
    let depth = 0, otherwise = -1;
    for (let i = start + 1; i < lines.length; i++) {
      const line = lines[i]!.trim();
      if (line.startsWith("//#for") || line.startsWith("//#if")) depth++;
      else if (line === "//#else" && depth === 0) otherwise = i;
      else if (line === "//#end" && depth-- === 0) return { end: i, otherwise };
    }
    throw new SyntaxError(`Expected "//#end" for line ${start + 1}: ${lines[start]!.trim()}`);
  };

  const expand = (from: number, to: number, scope: Constants) => {
    for (let i = from; i < to; i++) {
      const line = lines[i]!;
      const directive = line.trim();
      if (!directive.startsWith("//#")) {
        output.push(substitute(line, scope));
        continue;
      }
      const include = /^\/\/#include "([^"]+)"$/.exec(directive);
      if (include) {
        const text = includes[include[1]!];
        if (text === undefined) throw new ReferenceError(`Expected "${include[1]}" among the includes`);
        output.push(expandTemplate(text, scope, includes));
        continue;
      }
      const loop = /^\/\/#for (\w+) in (.+)\.\.(.+)$/.exec(directive);
      const condition = /^\/\/#if (.+)$/.exec(directive);
      if (!loop && !condition) throw new SyntaxError(`Expected a directive on line ${i + 1} but found ${directive}`);
      const { end, otherwise } = blockEnd(i);
      if (loop) {
        const last = evaluate(loop[3]!, scope);
        for (let value = evaluate(loop[2]!, scope); value < last; value++) {
          expand(i + 1, end, { ...scope, [loop[1]!]: value });
        }
      } else if (evaluate(condition![1]!, scope)) {
        expand(i + 1, otherwise < 0 ? end : otherwise, scope);
      } else if (otherwise >= 0) {
        expand(otherwise + 1, end, scope);
      }
      i = end;
    }
  };
  expand(0, lines.length, constants);
  return output.join("\n");
}
