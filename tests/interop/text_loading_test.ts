import assert from "node:assert/strict";
import { join } from "node:path";
import { loadTokenizer, type LoadTokenizerOptions } from "../../lib/text/load_tokenizer.ts";
import type { Tokenizer } from "../../lib/text/tokenizer.ts";
import { buildWordPieceVocabulary } from "../../lib/text/vocabulary.ts";
import { wordPieceTokenizer } from "../../lib/text/word_piece_tokenizer.ts";
import { byteLevel, byteLevelJson, byteLevelVocabulary, robertaProcessing } from "../support/byte_level_files.ts";
import { askPython, dataFile } from "../support/python.ts";
import { assertEqualTokens, type Files, type PeerEncoding, withFolders } from "../support/text_parity.ts";
import { comments, nastyTexts, tweets } from "../support/text_samples.ts";

const texts = [...tweets(150), ...comments(150), ...nastyTexts(900, 2)];
texts.push("a <mask> b", "a  <x>  b", "<y>", "tomorrow TOMORROW ÉTÉ", "[X] [NEW] [SEP]", " ", "");
texts.push("a ra word words next line the lead x y \u{1f44d}\u{1f44d} e\u0301 é tail __proto__ constructor Word The");

const source = (...path: string[]) => Deno.readFile(dataFile("tokenizers", ...path));
const uncasedWords = { "vocab.txt": await source("bert-base-uncased", "vocab.txt") };
const casedVocabulary = buildWordPieceVocabulary(texts, 20_000, { lowercase: false });
const casedWords = { "vocab.txt": casedVocabulary.join("\n") };
const bpe = {
  "vocab.json": await source("roberta-base", "vocab.json"),
  "merges.txt": await source("roberta-base", "merges.txt"),
};
const model = (type: string) => ({ "config.json": { model_type: type } });
const bert = model("bert"), distilbert = model("distilbert"), roberta = model("roberta");
const config = (settings: object) => ({ "tokenizer_config.json": settings });

/** Lines that Python, Rust and JavaScript take apart in different ways, and tokens twice. */
const ODD_VOCABULARY = [
  "\ufeff[PAD]\n[PAD]\n[UNK]\r\n[CLS]\n[SEP] \n[MASK]\u0085\n\n",
  "a\ra\nword\u00a0\n##s\t\nnext\u2028line\nnext\u2029\nthe\n  lead\n\u3000\n\u000b\n\u000cx\n\u001cy\nthe\n",
  "__proto__\nconstructor\n_\n##_\n##proto\n\n\n\u{1f44d}\n##\u{1f44d}\né\ne\u0301\ntail",
].join("");

const flags = { lstrip: false, rstrip: false, single_word: false, special: true, normalized: false };
const addedToken = (content: string, more: object = {}) => ({ ...flags, __type: "AddedToken", content, ...more });

const folders: Record<string, Files> = {
  "DistilBERT with a cased vocab.txt alone": { ...distilbert, ...casedWords },
  "DistilBERT with an uncased vocab.txt alone": { ...distilbert, ...uncasedWords },
  "DistilBERT with a vocab.txt as large as ClinicalBERT's": {
    ...distilbert,
    "vocab.txt": Array.from({ length: 119_547 }, (_, id) => casedVocabulary[id] ?? `filler${id}`).join("\n"),
    ...config({ do_lower_case: false }),
  },
  "an odd vocab.txt": { ...bert, "vocab.txt": ODD_VOCABULARY },
  "an odd vocab.txt, cased": { ...bert, "vocab.txt": ODD_VOCABULARY, ...config({ do_lower_case: false }) },
  "cased by tokenizer_config.json": { ...distilbert, ...casedWords, ...config({ do_lower_case: false }) },
  "cased without accents": { ...bert, ...casedWords, ...config({ do_lower_case: false, strip_accents: true }) },
  "uncased with accents, ideographs as letters": {
    ...bert,
    ...uncasedWords,
    ...config({ do_lower_case: true, strip_accents: false, tokenize_chinese_chars: false }),
  },
  "WordPiece with added tokens": {
    ...bert,
    ...uncasedWords,
    "special_tokens_map.json": {
      mask_token: { ...flags, content: "[MASK]", lstrip: true },
      additional_special_tokens: ["[X]", "<x>"],
    },
    "added_tokens.json": { "[NEW]": 30524, "tomorrow": 30525, "[X]": 30522, "<x>": 30523 },
  },
  "WordPiece with an added_tokens_decoder": {
    ...bert,
    ...uncasedWords,
    ...config({
      do_lower_case: true,
      added_tokens_decoder: {
        "103": { ...flags, content: "[MASK]", rstrip: true },
        "30522": { ...flags, content: "Tomorrow", special: false, normalized: true },
      },
    }),
    "special_tokens_map.json": { mask_token: { ...flags, content: "[MASK]", lstrip: true } },
  },
  "RoBERTa with vocab.json and merges.txt alone": { ...roberta, ...bpe },
  "RoBERTa with a space before the text": { ...roberta, ...bpe, ...config({ add_prefix_space: true }) },
  "RoBERTa with blanks in offsets": {
    ...roberta,
    ...bpe,
    ...config({ trim_offsets: false, mask_token: addedToken("<mask>", { lstrip: true, normalized: true }) }),
  },
  "RoBERTa with special_tokens_map.json": {
    ...roberta,
    ...bpe,
    ...config({ model_max_length: 512 }),
    "special_tokens_map.json": {
      bos_token: "<s>",
      sep_token: "</s>",
      mask_token: { ...flags, content: "<mask>", lstrip: true },
    },
  },
  "RoBERTa with added tokens": {
    ...roberta,
    ...bpe,
    ...config({ extra_special_tokens: ["<x>"] }),
    "added_tokens.json": { "<y>": 50265 },
  },
};

Deno.test("folders load as transformers' AutoTokenizer loads them, and from files() again", async (t) => {
  await withFolders(Object.values(folders), async (paths) => {
    const peers = await askPython<PeerEncoding[][]>("text_tokenizers.py", ["loads"], { folders: paths, texts });
    for (const [index, name] of Object.keys(folders).entries()) {
      await t.step(name, async () => {
        const tokenizer = await loadTokenizer(paths[index]!);
        assertEqualTokens(tokenizer, texts, peers[index]!);
        await withFolders([Object.fromEntries(tokenizer.files())], async ([copy]) => {
          assertEqualTokens(await loadTokenizer(copy!), texts, peers[index]!);
        });
      });
    }
  });
});

/** A tokenizer.json as psychbert ships it: cased, accents by case, nothing said beside it. */
const casedJson = () => {
  const json = JSON.parse(
    new TextDecoder().decode(wordPieceTokenizer(casedVocabulary, { lowercase: false }).files().get("tokenizer.json")),
  );
  assert.equal(json.normalizer.strip_accents, null);
  return json;
};

const robertaJson = () => {
  const json = byteLevelJson(["Ġ t", "h e", "Ġt he", "i n", "Ġ a"]);
  const vocab = byteLevelVocabulary(["Ġ t", "h e", "Ġt he", "i n", "Ġ a"]);
  return { ...json, pre_tokenizer: byteLevel(true), post_processor: robertaProcessing(vocab, true, false) };
};

Deno.test("what files() holds is loaded by Python as the same tokenizer", async (t) => {
  const cases: Record<string, [Files, LoadTokenizerOptions?]> = {
    "a cased tokenizer.json that nothing else says is cased": [{ ...bert, "tokenizer.json": casedJson() }],
    "the same, told to lower the case": [{ ...bert, "tokenizer.json": casedJson() }, { lowercase: true }],
    "a cased vocab.txt alone, told to keep the case": [{ ...distilbert, ...casedWords }, { lowercase: false }],
    "a tokenizer.json with settings that RobertaTokenizer has not": [
      { ...roberta, "tokenizer.json": robertaJson() },
    ],
  };
  const values = Object.values(cases);
  await withFolders(values.map(([files]) => files), async (paths) => {
    const tokenizers: Tokenizer[] = [];
    for (const [index, [, options]] of values.entries()) tokenizers.push(await loadTokenizer(paths[index]!, options));
    const copies = tokenizers.map((tokenizer, index) => ({
      ...Object.fromEntries(tokenizer.files()),
      "config.json": values[index]![0]["config.json"]!,
    }));
    await withFolders(copies, async (folders) => {
      const peers = await askPython<PeerEncoding[][]>("text_tokenizers.py", ["loads"], { folders, texts });
      const fast = [0, 1, 3].map((index) => join(folders[index]!, "tokenizer.json"));
      const bare = await askPython<PeerEncoding[][]>("text_tokenizers.py", ["encode"], { tokenizers: fast, texts });
      for (const [index, name] of Object.keys(cases).entries()) {
        await t.step(name, async () => {
          assertEqualTokens(tokenizers[index]!, texts, peers[index]!);
          assertEqualTokens(await loadTokenizer(folders[index]!), texts, peers[index]!);
          const position = [0, 1, 3].indexOf(index);
          if (position >= 0) assertEqualTokens(tokenizers[index]!, texts, bare[position]!);
        });
      }
    });
  });
});

Deno.test("pairs framed by the special tokens equal those of transformers", async (t) => {
  const sample = texts.filter((text) => text.length < 1000).slice(0, 400);
  const pairs = sample.map((text, index) => [text, sample[(index * 7 + 1) % sample.length]!]);
  const cases: Record<string, Files> = {
    BERT: { ...bert, ...uncasedWords },
    "BERT with a tokenizer.json": {
      ...bert,
      ...Object.fromEntries(wordPieceTokenizer(casedVocabulary, { lowercase: false }).files()),
    },
    RoBERTa: { ...roberta, ...bpe },
    "RoBERTa with a tokenizer.json": { ...roberta, "tokenizer.json": robertaJson() },
  };
  await withFolders(Object.values(cases), async (folders) => {
    type Framed = [ids: number[], types: number[]];
    const tokenizers = await Promise.all(folders.map((folder) => loadTokenizer(folder)));
    // What Python makes of the last folder is what files() says, for Python has no eyes for its tokenizer.json.
    for (const [name, bytes] of tokenizers[3]!.files()) await Deno.writeFile(join(folders[3]!, name), bytes);
    const peers = await askPython<Framed[][]>("text_tokenizers.py", ["pairs"], { folders, pairs });
    for (const [index, name] of Object.keys(cases).entries()) {
      await t.step(name, () => {
        const tokenizer = tokenizers[index]!, { clsId, sepId, pairSeparators } = tokenizer;
        assert.equal(pairSeparators, name.startsWith("BERT") ? 1 : 2);
        for (const [i, [a, b]] of pairs.entries()) {
          const first: number[] = [clsId, ...tokenizer.encode(a!).ids, ...Array<number>(pairSeparators).fill(sepId)];
          const second = [...tokenizer.encode(b!).ids, sepId];
          const type = name.startsWith("BERT") ? 1 : 0;
          const types = [...first.map(() => 0), ...second.map(() => type)];
          assert.deepEqual([[...first, ...second], types], peers[index]![i], JSON.stringify([a, b]));
        }
      });
    }
  });
});
