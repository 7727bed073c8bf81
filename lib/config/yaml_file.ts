/** YAML from a file or the command line as plain data, safe to read from anybody. */

import { LineCounter, parseDocument, visit } from "yaml";
import { inputError } from "../support/errors.ts";

/** Largest configuration read, in bytes: the parser's check of duplicate keys takes quadratic time. */
const MAX_BYTES = 64 * 1024;
const PROTOTYPE_KEYS = new Set(["__proto__", "constructor", "prototype"]);

/** A mapping as read from YAML. */
export type Tree = { [key: string]: unknown };

/** Whether a value is a mapping (and not a list or null). */
export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Parses one YAML 1.2 (core schema) document. Aliases (which can grow a small file without bound), tags, duplicate
 * keys, keys that are not texts and keys of the object prototype are refused.
 *
 * @param source what to call the text in messages: a file name, "command line"
 * @throws inputError with the line of the mistake where there are several lines
 */
export function parseYaml(content: string, source: string): unknown {
  const refuse = (what: string, offset?: number): never => {
    const line = offset === undefined || !content.includes("\n") ? "" : `:${lines.linePos(offset).line}`;
    throw inputError(`${what} (${source}${line})`, "Correct the YAML; configs/base.yaml shows every key.");
  };
  const lines = new LineCounter();
  if (content.length > MAX_BYTES) refuse(`${content.length} characters of YAML, at most ${MAX_BYTES} are read`);
  // Nesting too deep for the parser's stack is one of the document's errors, so nothing below recurses deeper.
  const document = parseDocument(content, { version: "1.2", schema: "core", lineCounter: lines, prettyErrors: false });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) refuse(`not readable as YAML: ${problem.message.split("\n")[0]}`, problem.pos[0]);
  visit(document, {
    Alias: (_, node) => refuse("YAML aliases are not allowed", node.range?.[0]),
    Pair: (_, pair) => {
      const key = (pair.key as { value?: unknown } | null)?.value;
      const offset = (pair.key as { range?: [number] } | null)?.range?.[0];
      if (typeof key !== "string") refuse(`expected keys to be texts but found ${JSON.stringify(key ?? null)}`, offset);
      if (PROTOTYPE_KEYS.has(key as string)) refuse(`the key "${key}" is not allowed`, offset);
    },
  });
  return document.toJS({ maxAliasCount: 0 });
}

/**
 * Reads a YAML file whose top level is a mapping (an empty file is an empty mapping).
 *
 * @throws inputError where the file is missing, not a regular file, too large, or not such a mapping
 */
export function readYamlFile(path: string, source: string = path): Tree {
  let content: string;
  try {
    const { isFile, size } = Deno.statSync(path);
    if (!isFile) throw inputError(`the configuration ${source} is not a file`, "Name a YAML file.");
    if (size > MAX_BYTES) {
      throw inputError(`the configuration ${source} has ${size} bytes, at most ${MAX_BYTES} are read`, "Shorten it.");
    }
    content = new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw inputError(`there is no configuration file ${source}`, "Name a YAML file; the project's are in configs/.");
    }
    if (error instanceof TypeError) throw inputError(`${source} is not UTF-8 text`, "Save it as UTF-8.");
    if (error instanceof Deno.errors.PermissionDenied) {
      throw inputError(`the configuration ${source} cannot be read`, "Make it readable.");
    }
    throw error;
  }
  const tree = parseYaml(content, source) ?? {};
  if (!isTree(tree)) {
    throw inputError(`expected a mapping of keys at the top of ${source}`, "Write `key: value` lines.");
  }
  return tree;
}
