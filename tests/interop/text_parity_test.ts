import assert from "node:assert/strict";
import { join } from "node:path";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import { buildWordPieceVocabulary } from "../../lib/text/vocabulary.ts";
import { wordPieceTokenizer } from "../../lib/text/word_piece_tokenizer.ts";
import { askPython, dataFile } from "../support/python.ts";
import { assertEqualTokens, type Files, type PeerEncoding, withFolders } from "../support/text_parity.ts";
import { comments, nastyTexts, tweets } from "../support/text_samples.ts";

const real = new Set([...tweets(10_500), ...comments(10_500)]);
const generated = nastyTexts(20_000);
const texts = [...real, ...generated];

const source = (...path: string[]) => Deno.readFile(dataFile("tokenizers", ...path));

Deno.test("ids and offsets of 20,000 real and 20,000 generated texts equal the Python package's", async (t) => {
  assert.ok(real.size >= 20_000 && generated.length >= 20_000, `${real.size} and ${generated.length} texts`);
  // Of some generated texts only, so that others hold unknown characters.
  const cased = buildWordPieceVocabulary([...real, ...generated.slice(0, 4_000)], 60_000, { lowercase: false });
  const kinds: Record<string, Files> = {
    "WordPiece uncased, vocab.txt alone": {
      "vocab.txt": await source("bert-base-uncased", "vocab.txt"),
      "config.json": { model_type: "bert" },
    },
    "WordPiece cased": {
      ...Object.fromEntries(wordPieceTokenizer(cased, { lowercase: false }).files()),
      "config.json": { model_type: "bert" },
    },
    "byte-level BPE, vocab.json and merges.txt": {
      "vocab.json": await source("roberta-base", "vocab.json"),
      "merges.txt": await source("roberta-base", "merges.txt"),
      "config.json": { model_type: "roberta" },
    },
  };
  await withFolders(Object.values(kinds), async (folders) => {
    const peers = await askPython<PeerEncoding[][]>("text_tokenizers.py", ["loads"], { folders, texts });
    for (const [index, kind] of Object.keys(kinds).entries()) {
      const folder = folders[index]!, peer = peers[index]!;
      await t.step(kind, async () => assertEqualTokens(await loadTokenizer(folder), texts, peer));
      await t.step(`${kind}, as Python saves it`, async () => {
        const saved = { "tokenizer.json": await Deno.readFile(join(folder, "saved.json")) };
        const some = texts.keys().filter((i) => i % 5 === 0).toArray();
        await withFolders([saved], async ([copy]) => {
          assertEqualTokens(await loadTokenizer(copy!), some.map((i) => texts[i]!), some.map((i) => peer[i]!));
        });
      });
    }
  });
});
