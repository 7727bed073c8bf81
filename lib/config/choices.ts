/**
 * Keys whose values are the names of a registry. The schema takes the names from there, and what each of them means stays
 * with the key, so that `deno task catalog` lists whatever the schema allows.
 */
import { z } from "zod";

/** A registry: what each name stands for, with one line for people. */
export type Registry = Readonly<Record<string, string | { readonly summary: string }>>;

const registries = z.registry<{ registry: Registry }>();

/** The schema of a key that holds the name of one of a registry's entries. */
export function choice<Entries extends Registry>(registry: Entries) {
  type Name = keyof Entries & string;
  const schema = z.enum(Object.keys(registry) as [Name, ...Name[]]);
  registries.add(schema, { registry });
  return schema;
}

/** The one-line summaries of the names that a key allows; undefined where its values are not the names of a registry. */
export function summariesOf(schema: z.ZodType): Record<string, string> | undefined {
  const found = registries.get(schema);
  return found && Object.fromEntries(
    Object.entries(found.registry).map((
      [name, entry],
    ) => [name, typeof entry === "string" ? entry : entry.summary]),
  );
}
