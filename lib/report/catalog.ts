/**
 * What a configuration can choose from by name: `deno task catalog`. Everything comes from the registries, by way of the
 * schema that they are part of. `contracts/catalog.schema.json` is generated from the schema here.
 */
import { z } from "zod";
import { summariesOf } from "../config/choices.ts";
import { configKeys, schemaAt, splitKey } from "../config/fields.ts";
import { METHODS } from "../data/augmentation/registry.ts";
import { CATALOG, type CatalogModel } from "../model/catalog.ts";
import { VERSION } from "../support/version.ts";

/** The schema of the catalog. */
export const catalogSchema = z.strictObject({
  format: z.literal("winnow-catalog/1"),
  version: z.string().describe("Winnow's version"),
  sections: z.array(z.strictObject({
    key: z.string().describe("the configuration key that takes the names"),
    open: z.boolean().describe("whether the key takes other values too"),
    several: z.boolean().describe("whether the key takes more than one of the names"),
    entries: z.array(z.strictObject({
      name: z.string(),
      summary: z.string().describe("one line"),
    })).min(1),
  })),
}).meta({
  title: "Winnow catalog",
  description: "What a configuration can choose from by name.",
});

/** What a configuration can choose from by name. */
export type Catalog = z.infer<typeof catalogSchema>;
type Section = Catalog["sections"][number];

/** Keys that are no enumeration of the schema: a model may be any hub id, methods are chosen as a set. */
const OTHERS: Readonly<Record<string, () => Omit<Section, "key">>> = {
  "model.id": () => ({
    open: true,
    several: false,
    entries: CATALOG.map((model) => ({ name: model.name, summary: describeModel(model) })),
  }),
  "augmentation.methods": () => ({
    open: false,
    several: true,
    entries: Object.entries(METHODS).map(([name, { summary }]) => ({ name, summary })),
  }),
};

const FAMILIES = { bert: "BERT", roberta: "RoBERTa", distilbert: "DistilBERT" } as const;
const FORMATS = { safetensors: "safetensors", pytorch: "PyTorch weights", flax: "Flax weights" } as const;

function describeModel({ id, family, weights, gated, license }: CatalogModel): string {
  return [
    `${id}: ${FAMILIES[family]}`,
    FORMATS[weights],
    license === null ? "no licence stated" : `licence ${license}`,
    ...(gated ? ["gated (set HF_TOKEN)"] : []),
  ].join(", ");
}

function sectionOf(key: string): Section[] {
  const other = OTHERS[key]?.();
  if (other) return [{ key, ...other }];
  const summaries = summariesOf(schemaAt(splitKey(key))!);
  if (!summaries) return [];
  const entries = Object.entries(summaries).map(([name, summary]) => ({ name, summary }));
  return [{ key, open: false, several: false, entries }];
}

/** Every encoder, head, pooling, coupling, loss, and so on, in the order of the configuration's keys. */
export function catalog(): Catalog {
  return { format: "winnow-catalog/1", version: VERSION, sections: configKeys.flatMap(sectionOf) };
}

/** The catalog as text for a terminal. There is no final newline. */
export function catalogText({ sections }: Catalog): string {
  const width = Math.max(...sections.flatMap(({ entries }) => entries.map(({ name }) => name.length)));
  return sections.map(({ key, open, several, entries }) =>
    [
      `${key}${open ? " (or any other hub id or folder)" : several ? " (any of them, with commas)" : ""}`,
      ...entries.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    ].join("\n")
  ).join("\n\n");
}
