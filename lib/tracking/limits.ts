/** What MLflow takes: names, lengths and sizes of batches, as its own server checks them (`mlflow/utils/validation.py`). */
import { createHash } from "node:crypto";
import { inputError } from "../support/errors.ts";

/** Longest key of a metric, param or tag, in characters. */
export const MAX_KEY_LENGTH = 250;
/** Longest value of a param; a server cuts longer ones. */
export const MAX_PARAM_LENGTH = 6000;
/** Longest value of a tag: of servers before 2.17, which refuse longer ones. */
export const MAX_TAG_LENGTH = 5000;
/** Of one `log-batch`. */
export const MAX_METRICS = 1000, MAX_PARAMS = 100, MAX_TAGS = 100;
/** The tag of an experiment that has MLflow's page show training runs first, not those of language models. */
export const EXPERIMENT_KIND = ["mlflow.experimentKind", "custom_model_development"] as const;

/** Bytes of a request's body, below the 10^6 that MLflow documents. */
export const MAX_BODY_BYTES = 900_000;

/**
 * A name as MLflow takes it: letters, digits and `_ - . / space`, at most 250, and a path that stands for itself (no
 * `..`, no slash at its ends). Colons are left out, since MLflow refuses them on Windows. What had to be changed ends in a
 * hash of the original, so that two names never become one.
 *
 * @example
 * ```ts
 * import { metricKey } from "./limits.ts";
 * import assert from "node:assert/strict";
 * assert.equal(metricKey("validation/criteria_macro_f1"), "validation/criteria_macro_f1");
 * assert.match(metricKey("f1 @ 0.5"), /^f1 _ 0\.5_[0-9a-f]{8}$/);
 * ```
 */
export function metricKey(name: string): string {
  const path = name.replace(/[^\p{L}\p{N}_\-./ ]/gu, "_").split("/").filter((part) => part !== "" && part !== ".")
    .map((part) => part.replace(/^\.\.+/, "__")).join("/");
  if (path === name && path !== "" && path.length <= MAX_KEY_LENGTH) return name;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, 8);
  return `${cut(path, MAX_KEY_LENGTH - 9)}_${hash}`;
}

/** The first `length` UTF-16 units of a text, without half a character at the end. */
function cut(text: string, length: number): string {
  return text.slice(0, length).replace(/[\uD800-\uDBFF]$/, "");
}

/** A tag's value, cut where it is too long. */
export function tagValue(value: string, limit = MAX_TAG_LENGTH): string {
  return value.length <= limit ? value : `${cut(value, limit - 1)}…`;
}

/** Params with valid keys; a value that is too long goes on under `key.part2`, `key.part3`, … */
export function paramEntries(params: Readonly<Record<string, string>>, limit = MAX_PARAM_LENGTH): [string, string][] {
  return Object.entries(params).flatMap(([name, value]) => {
    const parts: [string, string][] = [];
    let rest = value;
    do {
      const part = rest.length <= limit ? rest : cut(rest, limit);
      parts.push([metricKey(parts.length === 0 ? name : `${name}.part${parts.length + 1}`), part]);
      rest = rest.slice(part.length);
    } while (rest !== "");
    return parts;
  });
}

/** Groups of at most `count` items and `MAX_BODY_BYTES` bytes of JSON, in order. */
export function inGroups<T>(items: readonly T[], count: number): T[][] {
  const groups: T[][] = [];
  let bytes = Infinity;
  for (const item of items) {
    const size = new TextEncoder().encode(JSON.stringify(item)).length + 1;
    if (bytes + size > MAX_BODY_BYTES || groups.at(-1)!.length === count) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(item);
    bytes += size;
  }
  return groups;
}

/**
 * The parts of an artifact's path.
 *
 * @throws an input error where it would leave the run's folder
 */
export function artifactParts(path: string): string[] {
  const parts = path.split("/");
  // deno-lint-ignore no-control-regex -- control characters are what is refused
  const bad = parts.some((part) => part === "" || part === "." || part === ".." || /[\\\u0000-\u001f]/.test(part));
  if (bad) throw inputError(`${JSON.stringify(path)} is no path of an artifact`, "Name it like `reports/summary.json`");
  return parts;
}
