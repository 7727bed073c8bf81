import assert from "node:assert/strict";
import { z } from "zod";
import { parseCatalogOptions } from "../../lib/cli/options.ts";
import { configKeys, schemaAt, splitKey } from "../../lib/config/fields.ts";
import { AUGMENTATION_METHODS } from "../../lib/data/augmentation/registry.ts";
import { catalogModel } from "../../lib/model/catalog.ts";
import { catalog, catalogText } from "../../lib/report/catalog.ts";
import { contractFile } from "../../scripts/generate_contracts.ts";

/** Keys with a fixed set of values that are settings of the machinery, not parts of a model or its training. */
const SETTINGS = [
  ...["study.direction", "model.encoder.hidden_act", "augmentation.back_translation.dtype"],
  ...["gpu.preset", "gpu.autotune"],
];

const sections = new Map(catalog().sections.map((section) => [section.key, section]));
const namesOf = (key: string) => sections.get(key)?.entries.map(({ name }) => name);

/** The names that the schema of a key allows, where it is an enumeration. */
function allowedNames(key: string): string[] | undefined {
  let schema: z.ZodType = schemaAt(splitKey(key))!;
  while (schema instanceof z.ZodNullable) schema = schema.unwrap() as z.ZodType;
  return schema instanceof z.ZodEnum ? schema.options as string[] : undefined;
}

Deno.test("catalog: every name that the schema allows, and no other", () => {
  for (const key of configKeys) {
    const names = allowedNames(key);
    if (names === undefined || SETTINGS.includes(key)) continue;
    assert.deepEqual(namesOf(key), names, `${key}: take its schema from choice() of lib/config/choices.ts`);
  }
  for (const key of sections.keys()) {
    if (key === "model.id" || key === "augmentation.methods") continue;
    assert.deepEqual(allowedNames(key), namesOf(key), key);
  }
  assert.deepEqual(namesOf("augmentation.methods"), AUGMENTATION_METHODS);
  const methods = schemaAt(["augmentation", "methods"])!;
  for (const name of namesOf("augmentation.methods")!) assert.ok(methods.safeParse(name).success);
  for (const name of namesOf("model.id")!) assert.ok(catalogModel(name));
});

Deno.test("catalog: what a study can search by name is there, each with one line", () => {
  const expected = [
    ...["model.id", "model.activation", "model.criteria_head_type", "model.criteria_pooling"],
    ...["model.evidence_head_type", "model.task_coupling", "model.coupling_method", "model.coupling_pooling"],
    ...["loss.loss_function", "data.input_format", "augmentation.methods", "training.optimizer", "training.schedule"],
  ];
  for (const key of expected) assert.ok(sections.has(key), key);
  for (const { key, entries } of sections.values()) {
    assert.equal(new Set(entries.map(({ name }) => name)).size, entries.length, key);
    for (const { name, summary } of entries) {
      assert.match(summary, /^\S.*[^\s.]$/, `${key}=${name}: one line without a full stop`);
      assert.ok(summary.length <= 110, `${key}=${name} is ${summary.length} long`);
    }
  }
});

Deno.test("catalog: the text has every key and name, the JSON follows its contract", async () => {
  const text = catalogText(catalog());
  const lines = text.split("\n");
  for (const { key, entries } of sections.values()) {
    const at = lines.findIndex((line) => line === key || line.startsWith(`${key} (`));
    entries.forEach(({ name, summary }, i) =>
      assert.deepEqual(lines[at + 1 + i]!.trim().split(/\s{2,}/), [name, summary])
    );
  }
  const contract = z.fromJSONSchema(JSON.parse(await Deno.readTextFile(contractFile("catalog.schema.json"))));
  assert.deepEqual(contract.parse(catalog()), catalog());
});

Deno.test("catalog: takes --json and nothing else", () => {
  assert.deepEqual(parseCatalogOptions([]), { json: false });
  assert.deepEqual(parseCatalogOptions(["--json"]), { json: true });
  assert.throws(() => parseCatalogOptions(["training.epochs=2"]), /unexpected argument "training\.epochs=2"/);
  assert.throws(() => parseCatalogOptions(["--config", "a.yaml"]), /unknown option --config/);
});
