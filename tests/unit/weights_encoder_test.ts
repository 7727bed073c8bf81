import assert from "node:assert/strict";
import { join } from "node:path";
import { encoderParameters } from "../../lib/model/encoder.ts";
import { WinnowError } from "../../lib/support/errors.ts";
import { checkpointTensors } from "../../lib/train/parameter_arrays.ts";
import {
  ENCODER_FAMILIES,
  encoderConfigJson,
  type EncoderFamily,
  parseEncoderConfig,
  readEncoderConfig,
  usablePositions,
} from "../../lib/weights/encoder_config.ts";
import { familyName, missing, resolveEncoderNames, resolveMaskedLMNames } from "../../lib/weights/encoder_names.ts";

/** What a family's model of so many layers is made of, by its own names. */
function ownNames(model_type: EncoderFamily, layers: number): string[] {
  const keys = model_type === "distilbert" ? { n_layers: layers } : { num_hidden_layers: layers };
  return encoderParameters(parseEncoderConfig({ model_type, ...keys }, "config.json")).flatMap(checkpointTensors)
    .map(({ name }) => name);
}

/** The same name as old checkpoints have it. */
const old = (name: string) =>
  name.replace(/(LayerNorm|layer_norm)\.weight$/, "$1.gamma").replace(/(LayerNorm|layer_norm)\.bias$/, "$1.beta");

const HEADS: Record<EncoderFamily, string[]> = {
  bert: [
    "cls.predictions.transform.dense.weight",
    "cls.predictions.transform.dense.bias",
    "cls.predictions.transform.LayerNorm.weight",
    "cls.predictions.transform.LayerNorm.bias",
    "cls.predictions.bias",
  ],
  roberta: ["lm_head.dense.weight", "lm_head.dense.bias", "lm_head.layer_norm.weight", "lm_head.layer_norm.bias"]
    .concat("lm_head.bias"),
  distilbert: ["vocab_transform.weight", "vocab_transform.bias", "vocab_layer_norm.weight", "vocab_layer_norm.bias"]
    .concat("vocab_projector.bias"),
};

Deno.test("each family's names are those of transformers", () => {
  assert.equal(ownNames("bert", 12).length, 5 + 12 * 16);
  assert.deepEqual(ownNames("roberta", 2), ownNames("bert", 2));
  assert.deepEqual(ownNames("distilbert", 1), [
    "embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight",
    "embeddings.LayerNorm.weight",
    "embeddings.LayerNorm.bias",
    ...["q_lin", "k_lin", "v_lin"].map((name) => `transformer.layer.0.attention.${name}.weight`),
    ...["q_lin", "k_lin", "v_lin"].map((name) => `transformer.layer.0.attention.${name}.bias`),
    ...["attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"].flatMap((module) => [
      `transformer.layer.0.${module}.weight`,
      `transformer.layer.0.${module}.bias`,
    ]),
  ]);
  assert.equal(familyName("distilbert", "criteria_head.weight"), "criteria_head.weight");
});

Deno.test("names under any one prefix, old or new, resolve to the family's own", () => {
  for (const family of ENCODER_FAMILIES) {
    const names = ownNames(family, 12);
    const pooler = family === "distilbert" ? [] : ["pooler.dense.weight", "pooler.dense.bias"];
    for (const prefix of ["", "bert.", "roberta.", "distilbert.", "model.", "0.auto_model.", "module.encoder."]) {
      for (const rename of [(name: string) => name, old]) {
        const available = [
          ...HEADS[family].map(rename),
          "cls.seq_relationship.weight",
          `${prefix}embeddings.position_ids`,
          `${prefix}encoder.layer.0.attention.self.rotary.weight`,
          `${prefix}transformer.layer.0.attention.rotary.weight`,
          ...[...names, ...pooler].map((name) => prefix + rename(name)),
          "classifier.weight",
        ];
        const resolved = resolveEncoderNames(available, family);
        assert.deepEqual([...resolved.keys()], [...names, ...pooler]);
        assert.deepEqual([...resolved.values()], [...names, ...pooler].map((name) => prefix + rename(name)));
      }
    }
  }
});

Deno.test("a family's weights are not taken for another's", () => {
  const resolved = resolveEncoderNames(ownNames("distilbert", 2), "bert");
  assert.ok(missing(resolved, ownNames("bert", 2), "here")!.message.startsWith("here lacks 33 of the model's tensors"));
});

Deno.test("two encoders, or one tensor under two names, are refused; a stray match is not", () => {
  const names = ownNames("bert", 1);
  const two = [...names.map((name) => `question.${name}`), ...names.map((name) => `context.${name}`)];
  assert.throws(() => resolveEncoderNames(two, "bert"), /more than one encoder, under "question\.", "context\."/);
  const twice = [...names, "embeddings.LayerNorm.gamma"];
  assert.throws(
    () => resolveEncoderNames(twice, "bert"),
    /twice: "embeddings\.LayerNorm\.weight" and "embeddings\.LayerNorm\.gamma"/,
  );
  const stray = [...names.map((name) => `bert.${name}`), "head.pooler.dense.weight"];
  assert.equal(resolveEncoderNames(stray, "bert").size, names.length);
  assert.equal(resolveEncoderNames(["wte.weight", "h.0.attn.c_attn.weight"], "bert").size, 0);
});

Deno.test("missing tensors make one line with the first few", () => {
  const resolved = resolveEncoderNames(ownNames("bert", 1), "bert");
  assert.equal(missing(resolved, ownNames("bert", 1), "here"), undefined);
  const error = missing(resolved, ownNames("bert", 2), "here")!;
  assert.equal(
    error.message,
    "here lacks 16 of the model's tensors: encoder.layer.1.attention.self.query.weight, " +
      "encoder.layer.1.attention.self.key.weight, encoder.layer.1.attention.self.value.weight and 13 more",
  );
  assert.equal(error.kind, "input");
});

Deno.test("a masked-language-model head is found in each family, whole or not at all", () => {
  for (const family of ENCODER_FAMILIES) {
    const names = HEADS[family];
    const expected = ["dense.weight", "dense.bias", "norm.weight", "norm.bias", "decoder.bias"];
    for (const [prefix, rename] of [["", old], ["module.", (name: string) => name]] as const) {
      const found = resolveMaskedLMNames(["embeddings.x", ...names.map((name) => prefix + rename(name))], family)!;
      assert.deepEqual([...found.keys()], expected);
      assert.deepEqual([...found.values()], names.map((name) => prefix + rename(name)));
    }
    for (const absent of names) {
      assert.equal(resolveMaskedLMNames(names.filter((name) => name !== absent), family), undefined);
    }
    const decoder = { bert: "cls.predictions.decoder", roberta: "lm_head.decoder", distilbert: "vocab_projector" };
    const untied = `${decoder[family]}.weight`;
    assert.equal(resolveMaskedLMNames([...names, untied], family)!.get("decoder.weight"), untied);
    const other = `${decoder[family]}.bias`;
    const twoBiases = [...names.filter((name) => name !== other), other];
    assert.equal(resolveMaskedLMNames(twoBiases, family)!.get("decoder.bias"), other);
  }
  assert.equal(resolveMaskedLMNames(HEADS.roberta, "bert"), undefined);
});

Deno.test("config.json of each family is read, and written so that it reads the same", () => {
  const configs = {
    bert: { hidden_size: 64, num_attention_heads: 4, hidden_act: "relu", pad_token_id: null },
    roberta: { max_position_embeddings: 514, type_vocab_size: 1, layer_norm_eps: 1e-5, hidden_dropout_prob: 0.2 },
    distilbert: { dim: 48, n_heads: 3, n_layers: 2, hidden_dim: 96, activation: "gelu_new", attention_dropout: 0.3 },
  };
  const read = (json: unknown) => parseEncoderConfig(json, "config.json");
  for (const model_type of ENCODER_FAMILIES) {
    const config = read({ model_type, use_cache: true, ...configs[model_type] });
    const written = encoderConfigJson(config);
    assert.deepEqual(read(written), config);
    assert.equal(Object.hasOwn(written, "dim"), model_type === "distilbert");
    assert.equal(Object.hasOwn(written, "hidden_size"), model_type !== "distilbert");
  }
  const bert = read({ model_type: "bert", ...configs.bert });
  assert.deepEqual([bert.num_hidden_layers, bert.layer_norm_eps, bert.pad_token_id], [12, 1e-12, 0]);
  assert.equal(usablePositions(bert), 512);
  const roberta = read({ model_type: "roberta", ...configs.roberta });
  assert.deepEqual([roberta.vocab_size, roberta.pad_token_id, usablePositions(roberta)], [50265, 1, 512]);
  const distilbert = read({ model_type: "distilbert", ...configs.distilbert });
  assert.deepEqual(
    [distilbert.hidden_size, distilbert.num_attention_heads, distilbert.type_vocab_size, distilbert.layer_norm_eps],
    [48, 3, 0, 1e-12],
  );
  assert.equal(distilbert.attention_probs_dropout_prob, 0.3);
});

Deno.test("a config.json of another family, of a decoder or damaged is refused", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "config.json");
  const refused = async (text: string | undefined, message: RegExp) => {
    if (text === undefined) await Deno.remove(path);
    else await Deno.writeTextFile(path, text);
    await assert.rejects(readEncoderConfig(folder), (error) => {
      assert.ok(error instanceof WinnowError && error.kind === "input" && error.remedy !== "", String(error));
      assert.match(error.message, message);
      return true;
    });
  };
  try {
    await refused(
      '{"model_type":"xlm-roberta"}',
      /family "xlm-roberta"; supported are "bert", "roberta", "distilbert"/,
    );
    await refused('{"hidden_size":64}', /names no model_type/);
    await refused("{", /is not JSON/);
    await refused('{"model_type":"bert","hidden_size":"big"}', /hidden_size: /);
    await refused('{"model_type":"bert","hidden_size":100}', /num_attention_heads: expected a divisor of hidden_size/);
    await refused('{"model_type":"distilbert","dim":100}', /n_heads: expected a divisor of dim/);
    await refused('{"model_type":"distilbert","activation":"swish"}', /config\.json: activation: /);
    await refused('{"model_type":"bert","hidden_act":"swish"}', /hidden_act/);
    await refused('{"model_type":"roberta","max_position_embeddings":2}', /max_position_embeddings: expected more/);
    await refused('{"model_type":"roberta","pad_token_id":50265}', /pad_token_id: expected an id below vocab_size/);
    await refused('{"model_type":"bert","is_decoder":true}', /describes a decoder: is_decoder is true/);
    await refused('{"model_type":"roberta","add_cross_attention":true}', /a decoder: add_cross_attention is true/);
    await refused(
      '{"model_type":"bert","position_embedding_type":"relative_key"}',
      /"relative_key" position embeddings/,
    );
    await refused(undefined, /has no config\.json/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
