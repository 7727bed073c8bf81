import assert from "node:assert/strict";
import { join } from "node:path";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import { buildWordPieceVocabulary } from "../../lib/text/vocabulary.ts";
import { wordPieceTokenizer } from "../../lib/text/word_piece_tokenizer.ts";
import { minilmFolder } from "../fixtures/fetch_minilm.ts";
import { askPython } from "../support/python.ts";
import { assertEqualTokens, type PeerEncoding, withFolders } from "../support/text_parity.ts";
import { comments, nastyTexts, tweets } from "../support/text_samples.ts";

const texts = [...tweets(1_000), ...comments(1_000), ...nastyTexts(2_000)];

const encode = (folders: string[], texts: string[]) => {
  const tokenizers = folders.map((folder) => join(folder, "tokenizer.json"));
  return askPython<PeerEncoding[][]>("text_tokenizers.py", ["encode"], { tokenizers, texts });
};

Deno.test("MiniLM's tokenizer, and built vocabularies that know every character of the nasty texts", async () => {
  const minilm = await minilmFolder();
  const built = [true, false].map((lowercase) =>
    wordPieceTokenizer(buildWordPieceVocabulary(texts, 40_000, { lowercase }), { lowercase })
  );
  await withFolders(built.map((tokenizer) => Object.fromEntries(tokenizer.files())), async (folders) => {
    const [ofMinilm, ...ofBuilt] = await encode([minilm, ...folders], texts);
    assertEqualTokens(await loadTokenizer(minilm), texts, ofMinilm!);
    for (const [index, tokenizer] of built.entries()) {
      assertEqualTokens(tokenizer, texts, ofBuilt[index]!);
      assertEqualTokens(await loadTokenizer(folders[index]!), texts, ofBuilt[index]!);
    }
  });
});

Deno.test("added tokens with every flag are found where the Python package finds them", async () => {
  const folder = await minilmFolder();
  const json = JSON.parse(await Deno.readTextFile(join(folder, "tokenizer.json")));
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: false };
  json.added_tokens.push(
    { ...flags, id: 30522, content: "Zoë", normalized: true },
    { ...flags, id: 30523, content: "<l>", lstrip: true },
    { ...flags, id: 30524, content: "<r>", rstrip: true },
    { ...flags, id: 30525, content: "qsolo", single_word: true },
    { ...flags, id: 30526, content: "<l><r>" },
    // The library numbers added tokens itself, whatever the file says.
    { ...flags, id: 40000, content: "e<", normalized: true, lstrip: true, rstrip: true },
  );
  const pieces = [
    "Zoë",
    "zoe",
    "ZOE ",
    "<l>",
    "  <l>",
    "<r>  ",
    "<r>",
    "qsolo",
    " qsolo ",
    "é",
    "_",
    "😀",
    ".",
    "<l><r>",
  ];
  pieces.push("x", " e< ", "[SEP]", "\u0301");
  const sample = nastyTexts(500, 3).map((text, index) =>
    Array.from({ length: 8 }, (_, place) => pieces[(index * 7 + place * place * 5 + index * place) % pieces.length])
      .join(index % 3 === 0 ? " " : "") + text
  );
  await withFolders([{ "tokenizer.json": json }], async (folders) => {
    const tokenizer = await loadTokenizer(folders[0]!);
    assert.equal(tokenizer.vocabSize, 30528);
    assertEqualTokens(tokenizer, sample, (await encode(folders, sample))[0]!);
  });
});
