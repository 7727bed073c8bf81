import assert from "node:assert/strict";
import { loadConfig } from "../../lib/config/compose.ts";
import { CATALOG, type CatalogModel, catalogModel } from "../../lib/model/catalog.ts";
import { weightFiles } from "../../lib/weights/pretrained.ts";

const isPinned = ({ revision }: CatalogModel) => /^[0-9a-f]{40}$/.test(revision);

Deno.test("the catalog's models are found by short name and by hub id", () => {
  assert.equal(CATALOG.length, 5);
  for (const entry of CATALOG) {
    assert.equal(catalogModel(entry.name), entry);
    assert.equal(catalogModel(entry.id), entry);
    assert.ok(entry.revision === "main" || isPinned(entry), `${entry.name}: a commit, or main`);
  }
  assert.equal(catalogModel("google-bert/bert-large-uncased"), undefined);
  assert.deepEqual(CATALOG.filter(isPinned).map(({ name }) => name), [
    "mental-bert",
    "ClinicalBERT",
    "bert-base",
    "roberta-base",
  ]);
});

Deno.test("each model of the catalog has a configuration that names it", () => {
  const files = ["mental_bert", "psychbert", "clinical_bert", "bert_base", "roberta_base"];
  const models = files.map((model) =>
    loadConfig({ file: "configs/quickstart.yaml", overrides: [`model=${model}`] }).model
  );
  assert.deepEqual(models.map(({ id }) => id), CATALOG.map(({ id }) => id));
  assert.ok(models.every(({ revision, encoder }) => revision === null && encoder === null));
});

Deno.test("of a repository's weights one format is taken: safetensors, PyTorch's or Flax's, whole before shards", () => {
  const shards = (name: string, extension: string) => [
    `${name}.${extension}.index.json`,
    ...["00001-of-00002", "00002-of-00002"].map((shard) => `${name}-${shard}.${extension}`),
  ];
  const others = ["README.md", "tf_model.h5", "rust_model.ot", "onnx/model.safetensors", "model.fp16.safetensors"];
  const flax = ["flax_model.msgpack"], torch = ["pytorch_model.bin"], safe = ["model.safetensors"];
  assert.deepEqual(weightFiles([...others, ...flax, ...torch, ...safe, ...shards("model", "safetensors")]), safe);
  assert.deepEqual(weightFiles([...others, ...flax, ...torch]), torch);
  assert.deepEqual(weightFiles([...others, ...flax]), flax);
  assert.deepEqual(weightFiles(others), []);
  for (const [name, extension] of [["model", "safetensors"], ["pytorch_model", "bin"], ["flax_model", "msgpack"]]) {
    const files = shards(name!, extension!);
    assert.deepEqual(weightFiles([...others, ...files]), files);
    assert.deepEqual(weightFiles([...others, ...files.slice(1)]), [], "shards without an index");
  }
});
