import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { stringify } from "yaml";
import { configToYaml, loadConfig, withParams } from "../../lib/config/compose.ts";
import { configKeys, nearestKey } from "../../lib/config/fields.ts";
import type { ParamValue } from "../../lib/config/schema.ts";
import { textDistance } from "../../lib/support/text_distance.ts";

/** Independent keys and what they may be: no rule joins them, so every combination is valid. */
const VALUES: Record<string, fc.Arbitrary<ParamValue>> = {
  "seed": fc.nat(),
  "study.name": fc.oneof(fc.constant(null), fc.string({ minLength: 1, unit: "grapheme" })),
  "study.direction": fc.constantFrom("maximize", "minimize"),
  "paths.experiments": fc.string({ minLength: 1 }),
  "data.max_posts": fc.oneof(fc.constant(null), fc.integer({ min: 1, max: 1e6 })),
  "data.input_format": fc.constantFrom("multi_label", "binary_pairs"),
  "data.doc_stride": fc.oneof(fc.constant(null), fc.nat(91)),
  "data.window_aggregation": fc.constantFrom("max", "mean"),
  "training.epochs": fc.integer({ min: 1, max: 100 }),
  "training.learning_rate": fc.double({ min: 1e-9, max: 1, noNaN: true }),
  "training.weight_decay": fc.double({ min: 0, max: 1, noNaN: true }),
  "training.early_stopping.patience": fc.integer({ min: 1, max: 9 }),
  "model.hidden_dropout": fc.oneof(fc.constant(null), fc.double({ min: 0, max: 0.9, noNaN: true })),
  "model.criteria_pooling": fc.constantFrom("cls", "mean"),
};
const settings = fc.record(VALUES, { requiredKeys: [] });

/** Dotted keys to nested mappings. */
function nest(values: Record<string, unknown>): Record<string, unknown> {
  const tree: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    const parts = key.split(".");
    let node = tree;
    for (const part of parts.slice(0, -1)) node = (node[part] ??= {}) as Record<string, unknown>;
    node[parts.at(-1)!] = value;
  }
  return tree;
}

/** What a configuration has at a dotted key; -0 is 0 to YAML. */
function at(config: unknown, key: string): unknown {
  return key.split(".").reduce<unknown>((node, part) => (node as Record<string, unknown>)[part], config);
}

Deno.test("the last of base, included file, own file and overrides wins, key by key", () => {
  const folder = Deno.makeTempDirSync({ prefix: "winnow_config_" });
  const file = join(folder, "mine.yaml");
  fc.assert(
    fc.property(settings, settings, settings, (included, own, overrides) => {
      Deno.writeTextFileSync(join(folder, "included.yaml"), stringify(nest(included)));
      Deno.writeTextFileSync(file, stringify({ defaults: ["quickstart", "included"], ...nest(own) }));
      const texts = Object.entries(overrides).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
      const config = loadConfig({ file, overrides: texts });
      const base = loadConfig({ file: "configs/quickstart.yaml" });
      for (const key of Object.keys(VALUES)) {
        const layer = [overrides, own, included].find((values) => Object.hasOwn(values, key));
        const expected = layer ? (layer as Record<string, unknown>)[key] : at(base, key);
        assert.deepEqual(at(config, key), expected === 0 ? 0 : expected, key);
      }
    }),
    { numRuns: 60 },
  );
});

Deno.test("a resolved configuration written as YAML reads back unchanged", () => {
  const folder = Deno.makeTempDirSync({ prefix: "winnow_config_" });
  const file = join(folder, "config.yaml");
  const base = loadConfig({ file: "configs/quickstart.yaml" });
  fc.assert(
    fc.property(settings, (values) => {
      const config = withParams(base, values as Record<string, ParamValue>);
      Deno.writeTextFileSync(file, configToYaml(config));
      assert.equal(JSON.stringify(loadConfig({ file })), JSON.stringify(config));
    }),
    { numRuns: 60 },
  );
});

Deno.test("a key with one letter changed is answered with a key at distance 1", () => {
  const keys = configKeys.filter((key) => key.length > 6);
  fc.assert(
    fc.property(fc.constantFrom(...keys), fc.nat(), (key, position) => {
      const i = position % key.length;
      const misspelt = `${key.slice(0, i)}#${key.slice(i + 1)}`;
      const offered = nearestKey(misspelt);
      assert.ok(offered !== undefined);
      assert.equal(textDistance(misspelt, offered), 1);
    }),
  );
});

Deno.test("textDistance is a symmetric distance bounded by the longer text", () => {
  const word = fc.string({ maxLength: 12, unit: fc.constantFrom("a", "b", "c", ".") });
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = textDistance(a, b);
      assert.equal(distance, textDistance(b, a));
      assert.equal(distance === 0, a === b);
      assert.ok(distance <= Math.max(a.length, b.length) && distance >= Math.abs(a.length - b.length));
    }),
  );
  assert.equal(textDistance("lerning", "learning"), 1);
  assert.equal(textDistance("ab", "ba"), 1);
});
