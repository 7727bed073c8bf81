/** Questions to the schema by dotted key: is there such a key, what does it allow, which keys are there. */

import { z } from "zod";
import { nearest } from "../support/text_distance.ts";
import { configSchema } from "./schema.ts";

/** A path into the configuration. A key of `search_space` is one element although it has dots. */
export type Path = readonly (string | number)[];

function withoutNull(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodNullable || schema instanceof z.ZodOptional
    ? withoutNull(schema.unwrap() as z.ZodType)
    : schema;
}

/** One step down: the schema of `key` inside `schema`; `value` (the data there) chooses among the distributions. */
function child(schema: z.ZodType, key: string | number, value: unknown): z.ZodType | undefined {
  const inner = withoutNull(schema);
  if (inner instanceof z.ZodObject) {
    return Object.hasOwn(inner.shape, key) ? (inner.shape as Record<string, z.ZodType>)[key] : undefined;
  }
  if (inner instanceof z.ZodRecord) return inner.valueType as z.ZodType;
  if (inner instanceof z.ZodDiscriminatedUnion) {
    const options = inner.options as unknown as z.ZodObject[];
    if (key === "type") return z.enum(options.map((option) => (option.shape.type as z.ZodLiteral<string>).value));
    const chosen = options.find((option) => option.shape.type!.safeParse((value as { type?: unknown })?.type).success);
    return chosen === undefined ? undefined : child(chosen, key, value);
  }
  return undefined;
}

/** The schema at a path, or undefined where the path names no key. `data` is the tree that the path leads through. */
export function schemaAt(path: Path, data?: unknown): z.ZodType | undefined {
  let schema: z.ZodType | undefined = configSchema;
  for (const key of path) {
    schema = child(schema, key, data);
    if (schema === undefined) return undefined;
    data = (data as Record<string | number, unknown> | null | undefined)?.[key];
  }
  return schema;
}

/** `"training.epochs"` as a path; everything after `search_space.` is one key. */
export function splitKey(key: string): string[] {
  const inSpace = /^search_space\.(.+)$/.exec(key);
  return inSpace ? ["search_space", inSpace[1]!] : key.split(".");
}

/** A path as people write it. */
export function joinPath(path: Path): string {
  return path.join(".");
}

/** Whether a schema holds keys of its own (a mapping), seen through `null`. */
export function isMapping(schema: z.ZodType): boolean {
  const inner = withoutNull(schema);
  return inner instanceof z.ZodObject || inner instanceof z.ZodRecord;
}

/** Whether the mapping around a path may do without it: entries of `search_space`, options of a sampler. */
export function isOptional(path: Path): boolean {
  const around = schemaAt(path.slice(0, -1));
  const inner = around && withoutNull(around);
  if (inner instanceof z.ZodRecord) return true;
  return inner instanceof z.ZodObject &&
    (inner.shape as Record<string, z.ZodType>)[path.at(-1)!] instanceof z.ZodOptional;
}

function collectKeys(schema: z.ZodType, prefix: string): string[] {
  const inner = withoutNull(schema);
  if (!(inner instanceof z.ZodObject)) return [prefix];
  const inside = Object.entries(inner.shape as Record<string, z.ZodType>)
    .flatMap(([key, value]) => collectKeys(value, prefix === "" ? key : `${prefix}.${key}`));
  return prefix === "" ? inside : [prefix, ...inside];
}

/** Every dotted key of the configuration, mappings included. */
export const configKeys: readonly string[] = collectKeys(configSchema, "");

/** The known key that an unknown one most likely means, or undefined: `learning_rate` means `training.learning_rate`. */
export function nearestKey(key: string): string | undefined {
  const last = (dotted: string) => dotted.slice(dotted.lastIndexOf(".") + 1);
  // A name that was cut short is that name, however near another one is.
  const whole = (last(key).length > 2 && configKeys.find((known) => known.startsWith(`${key}_`))) ||
    nearest(key, configKeys);
  if (whole !== undefined) return whole;
  const name = nearest(last(key), configKeys.map(last));
  return name === undefined ? undefined : configKeys.find((known) => last(known) === name);
}

type JsonSchema = {
  title?: string;
  type?: string;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  enum?: unknown[];
  pattern?: string;
  const?: unknown;
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  minLength?: number;
  minItems?: number;
};

function describeNumber(schema: JsonSchema): string {
  const kind = schema.type === "integer" ? "an integer" : "a number";
  const multiple = schema.multipleOf === undefined ? "" : ` divisible by ${schema.multipleOf}`;
  const low = schema.minimum !== undefined && schema.minimum > Number.MIN_SAFE_INTEGER ? schema.minimum : undefined;
  const high = schema.maximum !== undefined && schema.maximum < Number.MAX_SAFE_INTEGER ? schema.maximum : undefined;
  const bounds: string[] = [];
  if (low !== undefined) bounds.push(`at least ${low}`);
  if (schema.exclusiveMinimum !== undefined) bounds.push(`greater than ${schema.exclusiveMinimum}`);
  if (high !== undefined) bounds.push(`at most ${high}`);
  if (schema.exclusiveMaximum !== undefined) bounds.push(`less than ${schema.exclusiveMaximum}`);
  const range = low !== undefined && high !== undefined ? `from ${low} to ${high}` : bounds.join(" and ");
  return `${kind}${multiple}${range === "" ? "" : ` ${range}`}`;
}

function describeJson(schema: JsonSchema): string {
  if (schema.title !== undefined) return schema.title;
  const options = schema.anyOf ?? schema.oneOf;
  if (options) {
    const names = options.some(({ items }) => items?.enum);
    return options.map((option) =>
      names && option.pattern !== undefined ? "such names with commas between them" : describeJson(option)
    ).join(" or ");
  }
  if (schema.enum) return `one of ${schema.enum.join(", ")}`;
  if (schema.const !== undefined) return String(schema.const);
  switch (schema.type) {
    case "integer":
    case "number":
      return describeNumber(schema);
    case "string":
      return schema.minLength ? "a non-empty text" : "a text";
    case "array":
      return `a ${schema.minItems ? "non-empty " : ""}list of ${
        (schema.items?.anyOf ?? [schema.items ?? {}]).map((item) =>
          item.enum ? item.enum.join(", ") : item.type === "string" ? "texts" : `${item.type}s`
        )
          .join(", ")
      }`;
    case "object":
      return schema.properties ? `a mapping with the keys ${Object.keys(schema.properties).join(", ")}` : "a mapping";
    case "boolean":
      return "true or false";
    default:
      return String(schema.type);
  }
}

/** What a key allows, in words that follow "to be": `an integer from 1 to 1024`, `one of cls, mean`. */
export function describeAllowed(schema: z.ZodType): string {
  return describeJson(z.toJSONSchema(schema) as JsonSchema);
}

function enumeration(schema: JsonSchema): unknown[] {
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return options.flatMap(enumeration);
  if (schema.items) return enumeration(schema.items);
  return schema.enum ?? (schema.const === undefined ? [] : [schema.const]);
}

/** The names that a key allows, alone or in a list; none where any text will do. */
export function allowedNames(schema: z.ZodType): string[] {
  return enumeration(z.toJSONSchema(schema) as JsonSchema).filter((name) => typeof name === "string");
}

/** The name of a key that a wrong value most likely means, as the end of a message. */
export function nameHint(schema: z.ZodType, value: unknown): { hint?: string } {
  const near = typeof value === "string" ? nearest(value, allowedNames(schema)) : undefined;
  return near === undefined ? {} : { hint: `; did you mean "${near}"?` };
}
