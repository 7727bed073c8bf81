/** Suggested tokens against `AutoModelForMaskedLM`'s logits and numpy's cosines, for each family of encoders. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type Gpu, openGpu } from "../../lib/gpu/device.ts";
import { openTokenSuggester, type TokenCandidate, type TokenQuery } from "../../lib/train/token_suggestions.ts";
import { readEncoderConfig } from "../../lib/weights/encoder_config.ts";
import { openWeights } from "../../lib/weights/weights_file.ts";
import { writeSafetensors } from "../../lib/weights/safetensors.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { withFolder } from "../support/commands.ts";
import { askPython } from "../support/python.ts";

type Best = [id: number, score: number][];

const COUNT = 20;
const gpu = await openGpu();

/** The same device with smaller bindings, so that tables are bound in windows. */
function withBindings(maxStorageBufferBindingSize: number): Gpu {
  const limits = new Proxy(gpu.limits, {
    get: (all, key) =>
      key === "maxStorageBufferBindingSize" ? maxStorageBufferBindingSize : all[key as keyof GPUSupportedLimits],
  });
  return Object.create(gpu, { limits: { value: limits } });
}

/** Ids of the special tokens in the vocabularies that the peer writes. */
const SPECIAL = {
  bert: { padId: 0, clsId: 2, sepId: 3, maskId: 4 },
  roberta: { padId: 1, clsId: 0, sepId: 2, maskId: 4 },
  distilbert: { padId: 0, clsId: 2, sepId: 3, maskId: 4 },
};

/** Each in a file format of its own, and tied or not. */
const MODELS = [
  {
    model_type: "bert",
    format: "safetensors",
    tied: true,
    config: {
      ...{ hidden_size: 48, num_hidden_layers: 2, num_attention_heads: 3, intermediate_size: 80, vocab_size: 999 },
      ...{ max_position_embeddings: 24, hidden_act: "relu" },
    },
  },
  {
    model_type: "roberta",
    format: "pytorch",
    tied: true,
    config: {
      ...{ hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 48, vocab_size: 1300 },
      ...{ max_position_embeddings: 26, type_vocab_size: 1, layer_norm_eps: 1e-5, hidden_act: "gelu_new" },
      ...{ pad_token_id: 1, bos_token_id: 0, eos_token_id: 2 },
    },
  },
  {
    model_type: "distilbert",
    format: "safetensors",
    tied: false,
    config: {
      ...{ dim: 64, n_layers: 2, n_heads: 2, hidden_dim: 96, vocab_size: 1024, max_position_embeddings: 24 },
    },
  },
] as const;

/** Texts of 3 to 24 tokens, the first and last special. */
function texts(label: string, vocabulary: number, { clsId, sepId }: { clsId: number; sepId: number }): TokenQuery[] {
  const random = randomStream(11, label);
  return [3, 24, 17, 16, 9, 5, 12, 20, 24, 7, 4].map((length) => ({
    ids: Uint32Array.from(
      { length },
      (_, i) => i === 0 ? clsId : i === length - 1 ? sepId : 5 + random.integer(vocabulary - 5),
    ),
    position: 1 + random.integer(length - 2),
  }));
}

const plain = (rows: readonly TokenQuery[]) => rows.map(({ ids, position }) => ({ ids: [...ids], position }));

/** The same scores in the same order, and the same ids but where two scores are closer than rounding. */
function compare(ours: readonly TokenCandidate[], theirs: Best, where: string) {
  assert.equal(ours.length, theirs.length, where);
  ours.forEach(({ id, score }, i) => {
    const [theirId, theirScore] = theirs[i]!;
    assert.ok(Math.abs(score - theirScore) <= 2e-4, `${where}: candidate ${i} has ${score}, not ${theirScore}`);
    const clear = theirs.every(([, other], j) => j === i || Math.abs(other - theirScore) > 4e-4);
    if (clear && i < ours.length - 1) assert.equal(id, theirId, `${where}: candidate ${i}`);
  });
  assert.deepEqual(ours.map(({ score }) => score), ours.map(({ score }) => score).sort((a, b) => b - a), where);
}

/** Writes the encoder of a folder without its head into another, with the same config.json. */
async function withoutHead(from: string, to: string) {
  await Deno.mkdir(to);
  await Deno.copyFile(join(from, "config.json"), join(to, "config.json"));
  using file = openWeights(from);
  const kept = [...file.tensors].filter(([name]) => /embeddings|layer\.\d/.test(name));
  await writeSafetensors(
    join(to, "model.safetensors"),
    kept.map(([name, { shape }]) => ({ name, shape, data: () => file.readFloat32(name) })),
  );
}

Deno.test("suggestions equal transformers' logits and numpy's cosines in each family", async (t) => {
  await withFolder(async (root) => {
    const queries = MODELS.map(({ model_type, config }) => texts(model_type, config.vocab_size, SPECIAL[model_type]));
    const calls = MODELS.flatMap(({ config, ...model }, i) => {
      const folder = join(root, model.model_type), rows = queries[i]!;
      return [
        ["make", { ...model, config, folder, seed: 20 + i }],
        ["masked_lm", { folder, rows: plain(rows), maskId: SPECIAL[model.model_type].maskId, count: COUNT }],
        ["neighbours", { folder, ids: rows.map(({ ids, position }) => ids[position]), count: COUNT }],
      ];
    });
    const answers = await askPython<Best[][]>("encoder_families.py", [], calls);
    for (const [i, { model_type, config, tied }] of MODELS.entries()) {
      const folder = join(root, model_type), rows = queries[i]!;
      const options = { encoder: await readEncoderConfig(folder), ...SPECIAL[model_type] };

      await t.step(`${model_type}: masked language model${tied ? "" : ", not tied"}`, async () => {
        const before = gpu.allocatedBytes;
        const suggester = await openTokenSuggester(gpu, { ...options, folder });
        assert.equal(suggester.source, "masked_lm");
        const found = await suggester.suggest(rows, COUNT);
        found.forEach((ours, row) => compare(ours, answers[3 * i + 1]![row]!, `text ${row}`));
        const [alone] = await suggester.suggest([rows[2]!], COUNT);
        assert.deepEqual(alone, found[2], "a text's neighbours in its batch do not matter");
        assert.deepEqual(await suggester.suggest([], COUNT), []);
        const [few, many] = await Promise.all([suggester.suggest(rows.slice(0, 1), 1), suggester.suggest(rows, 2)]);
        assert.deepEqual([few[0]!.length, many[4]!.length], [1, 2]);
        assert.deepEqual(many[0]![0], few[0]![0]);
        // More tokens than positions: what is far from the place does not count.
        const { ids, position } = rows[1]!;
        const filler = new Uint32Array(40).fill(ids[1]!);
        const inner = ids.subarray(1, -1);
        const long = Uint32Array.of(ids[0]!, ...filler, ...inner, ...filler, ids.at(-1)!);
        const query = { ids: long, position: position + 40 };
        const other = {
          ids: long.map((id, at) => Math.abs(at - query.position) > 24 ? 7 : id),
          position: query.position,
        };
        const [cut, same] = await suggester.suggest([query, other], 3);
        assert.deepEqual(cut, same);
        await assert.rejects(
          suggester.suggest([{ ids: Uint32Array.of(0, config.vocab_size, 3), position: 1 }], 3),
          /Expected token ids below/,
        );
        suggester.close();
        assert.equal(gpu.allocatedBytes, before);

        const narrow = await openTokenSuggester(withBindings(160 * 1024), { ...options, folder });
        assert.deepEqual(await narrow.suggest(rows, COUNT), found, "a table over several bindings");
        narrow.close();
      });

      await t.step(`${model_type}: neighbours in the embedding table`, async () => {
        const bare = join(root, `${model_type}-bare`);
        await withoutHead(folder, bare);
        const before = gpu.allocatedBytes;
        const suggester = await openTokenSuggester(gpu, { ...options, folder: bare });
        assert.equal(suggester.source, "embedding");
        const many = Array.from({ length: 50 }, (_, at) => rows[at % rows.length]!);
        const found = await suggester.suggest(many, COUNT);
        found.forEach((ours, row) => {
          const query = many[row]!;
          compare(ours, answers[3 * i + 2]![row % rows.length]!, `token ${row}`);
          assert.ok(ours.every(({ id }) => id !== query.ids[query.position]));
        });
        suggester.close();
        assert.equal(gpu.allocatedBytes, before);
      });
    }
  });
});
