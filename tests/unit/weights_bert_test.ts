import assert from "node:assert/strict";
import { join } from "node:path";
import { WinnowError } from "../../lib/support/errors.ts";
import { bertNames, missing, resolveBertNames } from "../../lib/weights/bert_names.ts";
import { readBertConfig } from "../../lib/weights/pretrained.ts";

Deno.test("names under any one prefix, old or new, resolve to the canonical ones", () => {
  const names = bertNames(12, { pooler: true });
  assert.equal(names.length, 5 + 12 * 16 + 2);
  for (const prefix of ["", "bert.", "model.", "0.auto_model.", "module.encoder."]) {
    const old = (name: string) =>
      name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    for (const rename of [(name: string) => name, old]) {
      const available = [
        "cls.predictions.transform.LayerNorm.gamma",
        "cls.predictions.decoder.weight",
        "cls.seq_relationship.weight",
        `${prefix}embeddings.position_ids`,
        `${prefix}encoder.layer.0.attention.self.rotary.weight`,
        ...names.map((name) => prefix + rename(name)),
        "classifier.weight",
      ];
      const resolved = resolveBertNames(available);
      assert.deepEqual([...resolved.keys()], names);
      assert.deepEqual([...resolved.values()], names.map((name) => prefix + rename(name)));
    }
  }
});

Deno.test("two encoders, or one tensor under two names, are refused; a stray match is not", () => {
  const names = bertNames(1, { pooler: false });
  const two = [...names.map((name) => `question.${name}`), ...names.map((name) => `context.${name}`)];
  assert.throws(() => resolveBertNames(two), /more than one BERT encoder, under "question\.", "context\."/);
  const twice = [...names, "embeddings.LayerNorm.gamma"];
  assert.throws(
    () => resolveBertNames(twice),
    /twice: "embeddings\.LayerNorm\.weight" and "embeddings\.LayerNorm\.gamma"/,
  );
  const stray = [...names.map((name) => `bert.${name}`), "head.pooler.dense.weight"];
  assert.equal(resolveBertNames(stray).size, names.length);
  assert.equal(resolveBertNames(["wte.weight", "h.0.attn.c_attn.weight"]).size, 0);
});

Deno.test("missing tensors make one line with the first few", () => {
  const names = bertNames(2, { pooler: true });
  const resolved = resolveBertNames(bertNames(1, { pooler: true }));
  assert.equal(missing(resolved, bertNames(1, { pooler: false }), "here"), undefined);
  const error = missing(resolved, names, "here")!;
  assert.equal(
    error.message,
    "here lacks 16 of the model's tensors: encoder.layer.1.attention.self.query.weight, " +
      "encoder.layer.1.attention.self.query.bias, encoder.layer.1.attention.self.key.weight and 13 more",
  );
  assert.equal(error.kind, "input");
});

Deno.test("config.json of a BERT model is read; other families and damage are refused", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "config.json");
  const refused = async (text: string | undefined, message: RegExp) => {
    if (text === undefined) await Deno.remove(path);
    else await Deno.writeTextFile(path, text);
    await assert.rejects(readBertConfig(folder), (error) => {
      assert.ok(error instanceof WinnowError && error.kind === "input" && error.remedy !== "", String(error));
      assert.match(error.message, message);
      return true;
    });
  };
  try {
    await Deno.writeTextFile(path, '{"model_type":"bert","hidden_size":64,"num_attention_heads":4,"use_cache":true}');
    const config = await readBertConfig(folder);
    assert.deepEqual([config.hidden_size, config.num_hidden_layers, config.layer_norm_eps], [64, 12, 1e-12]);
    await refused('{"model_type":"distilbert"}', /family "distilbert"; supported is "bert"/);
    await refused('{"hidden_size":64}', /names no model_type/);
    await refused("{", /is not JSON/);
    await refused('{"model_type":"bert","hidden_size":"big"}', /hidden_size: /);
    await refused('{"model_type":"bert","hidden_size":100}', /num_attention_heads: expected a divisor of hidden_size/);
    await refused('{"model_type":"bert","hidden_act":"swish"}', /hidden_act/);
    await refused(
      '{"model_type":"bert","position_embedding_type":"relative_key"}',
      /"relative_key" position embeddings/,
    );
    await refused(undefined, /has no config\.json/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
