import assert from "node:assert/strict";
import { join } from "node:path";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import type { Tokenizer } from "../../lib/text/tokenizer.ts";
import { buildWordPieceVocabulary } from "../../lib/text/vocabulary.ts";
import { wordPieceTokenizer } from "../../lib/text/word_piece_tokenizer.ts";
import { minilmFolder } from "../fixtures/fetch_minilm.ts";
import { askPython, dataFile } from "../support/python.ts";
import { comments, nastyTexts, tweets } from "../support/text_samples.ts";

type PeerEncoding = [ids: number[], offsets: [start: number, end: number][]];

const texts = [...tweets(2_500), ...comments(2_500), ...nastyTexts(4_000)];

/** Writes a tokenizer's files into a temporary folder for the time of `use`. */
async function withFolder<T>(files: Map<string, Uint8Array>, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, bytes] of files) await Deno.writeFile(join(folder, name), bytes);
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** UTF-16 position of each code point of a text, and of its end. */
function unitPositions(text: string): number[] {
  const positions = [0];
  for (const character of text) positions.push(positions.at(-1)! + character.length);
  return positions;
}

function escaped(text: string): string {
  return text.replace(/[^ -~]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

function assertEqual(tokenizer: Tokenizer, sample: string[], peer: PeerEncoding[]): void {
  let differences = 0, report = "";
  sample.forEach((text, index) => {
    const [ids, codePointOffsets] = peer[index]!;
    const positions = unitPositions(text);
    const offsets = codePointOffsets.flatMap(([start, end]) => [positions[start]!, positions[end]!]);
    const encoding = tokenizer.encode(text);
    if (`${encoding.ids}|${encoding.offsets}` === `${ids}|${offsets}`) return;
    if (differences++ < 12) {
      report += `\n${JSON.stringify(text)} ${
        escaped(text)
      }\n  ${encoding.ids} | ${encoding.offsets}\n  ${ids} | ${offsets}`;
    }
  });
  assert.equal(differences, 0, `${differences} of ${sample.length} texts differ (ours, theirs):${report}`);
}

Deno.test("uncased: ids and offsets of real and nasty texts equal the Python package tokenizers", async () => {
  const folder = await minilmFolder();
  const request = { tokenizer: join(folder, "tokenizer.json"), texts };
  assertEqual(await loadTokenizer(folder), texts, await askPython("text_tokenizers.py", ["encode"], request));
});

Deno.test("cased: ids and offsets of real and nasty texts equal the Python package tokenizers", async () => {
  const tokenizer = wordPieceTokenizer(buildWordPieceVocabulary(texts, 20_000, { lowercase: false }), {
    lowercase: false,
  });
  await withFolder(tokenizer.files(), async (folder) => {
    const request = { tokenizer: join(folder, "tokenizer.json"), texts };
    const peer = await askPython<PeerEncoding[]>("text_tokenizers.py", ["encode"], request);
    assertEqual(tokenizer, texts, peer);
    assertEqual(await loadTokenizer(folder), texts, peer);
    const sample = texts.slice(-1000);
    assertEqual(tokenizer, sample, await askPython("text_tokenizers.py", ["load"], { folder, texts: sample }));
  });
});

Deno.test("uncased with a vocabulary of its own, every character of the nasty texts known", async () => {
  const tokenizer = wordPieceTokenizer(buildWordPieceVocabulary(texts, 20_000), { lowercase: true });
  await withFolder(tokenizer.files(), async (folder) => {
    const request = { tokenizer: join(folder, "tokenizer.json"), texts };
    assertEqual(tokenizer, texts, await askPython("text_tokenizers.py", ["encode"], request));
  });
});

Deno.test("vocab.txt and tokenizer_config.json load as transformers' AutoTokenizer loads them", async () => {
  const vocabulary = await Deno.readFile(dataFile("tokenizers", "bert-base-uncased", "vocab.txt"));
  const sample = [...tweets(300), ...nastyTexts(700, 2)];
  const configs = [
    { do_lower_case: false },
    { do_lower_case: false, strip_accents: true },
    { do_lower_case: true, strip_accents: false, tokenize_chinese_chars: false },
  ];
  for (const config of configs) {
    const files = new Map([
      ["vocab.txt", vocabulary],
      ["config.json", new TextEncoder().encode(JSON.stringify({ model_type: "bert" }))],
      ["tokenizer_config.json", new TextEncoder().encode(JSON.stringify(config))],
    ]);
    await withFolder(files, async (folder) => {
      const peer = await askPython<PeerEncoding[]>("text_tokenizers.py", ["load"], { folder, texts: sample });
      const tokenizer = await loadTokenizer(folder);
      assertEqual(tokenizer, sample, peer);
      await withFolder(tokenizer.files(), async (copy) => assertEqual(await loadTokenizer(copy), sample, peer));
    });
  }
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
    { ...flags, id: 30527, content: "e<", normalized: true, lstrip: true, rstrip: true },
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
  const files = new Map([["tokenizer.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await withFolder(files, async (added) => {
    const request = { tokenizer: join(added, "tokenizer.json"), texts: sample };
    const tokenizer = await loadTokenizer(added);
    assert.equal(tokenizer.vocabSize, 30528);
    assertEqual(tokenizer, sample, await askPython("text_tokenizers.py", ["encode"], request));
  });
});
