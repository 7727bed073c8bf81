import assert from "node:assert/strict";
import { join } from "node:path";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import { WinnowError } from "../../lib/support/errors.ts";
import { byteLevel, byteLevelJson } from "../support/byte_level_files.ts";
import { type Files, withFolders } from "../support/text_parity.ts";

const VOCABULARY = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nÉté\nete\n";
const bert = { normalizer: { type: "BertNormalizer" }, pre_tokenizer: { type: "BertPreTokenizer" } };
const bpe = byteLevelJson(["a b"]);
const withModel = (more: object) => ({ ...bpe, model: { ...bpe.model, ...more } });
const { vocab } = bpe.model;
const slow = (merges: string | Uint8Array, vocabulary: unknown = vocab) => ({
  "vocab.json": vocabulary as object,
  "merges.txt": merges,
});
const template = (...pair: string[]) => {
  const items = (names: string[]) =>
    names.map((id) => id.length === 1 ? { Sequence: { id, type_id: 0 } } : { SpecialToken: { id, type_id: 0 } });
  return { type: "TemplateProcessing", single: items(["<s>", "A", "</s>"]), pair: items(pair), special_tokens: {} };
};

const refusals: [name: string, files: Files, message: RegExp][] = [
  ["nothing", {}, /no tokenizer: neither tokenizer\.json nor vocab\.txt nor vocab\.json with merges\.txt/],
  ["no merges", { "vocab.json": {} }, /no tokenizer/],
  ["no JSON", { "tokenizer.json": "{" }, /tokenizer\.json is not JSON/],
  ["a list", { "tokenizer.json": "[]" }, /tokenizer\.json: value: /],
  ["no UTF-8", { "tokenizer.json": new Uint8Array([0x7b, 0xff]) }, /tokenizer\.json is not UTF-8 text/],
  ["vocab.txt in Latin-1", { "vocab.txt": new Uint8Array([0x61, 0xe9, 0x0a]) }, /vocab\.txt is not UTF-8 text/],
  ["a million lists", { "tokenizer.json": `[${"[],".repeat(4_000_000)}[]]` }, /more than 4000000 values/],
  [
    "another model",
    { "tokenizer.json": { model: { type: "Unigram" } } },
    /the model Unigram; supported is WordPiece or BPE/,
  ],
  [
    "BPE of characters",
    { "tokenizer.json": { model: { type: "BPE" } } },
    /the pre-tokenizer none; supported is ByteLevel/,
  ],
  ["BPE without a type", { "tokenizer.json": { model: { merges: [] } } }, /the pre-tokenizer none/],
  [
    "another normalizer",
    { "tokenizer.json": { ...bpe, normalizer: { type: "NFC" } } },
    /the normalizer NFC; supported is none/,
  ],
  [
    "BERT with another normalizer",
    { "tokenizer.json": { model: { type: "WordPiece" }, normalizer: { type: "NFC" } } },
    /the normalizer NFC; supported is BertNormalizer/,
  ],
  [
    "WordPiece without an unknown token",
    { "tokenizer.json": { ...bert, model: { type: "WordPiece" } } },
    /"model" in .*unk_token/,
  ],
  [
    "an id that is none",
    { "tokenizer.json": withModel({ vocab: { a: -1 } }) },
    /"vocab" in .*the id of "a" is not a number/,
  ],
  ["a vocabulary that is none", { "tokenizer.json": withModel({ vocab: ["a"] }) }, /"vocab" in .* is not a table/],
  ["dropout", { "tokenizer.json": withModel({ dropout: 0.1 }) }, /sets dropout to 0\.1, which is not supported/],
  ["byte_fallback", { "tokenizer.json": withModel({ byte_fallback: true }) }, /sets byte_fallback to true/],
  [
    "a prefix",
    { "tokenizer.json": withModel({ continuing_subword_prefix: "##" }) },
    /sets continuing_subword_prefix to "##"/,
  ],
  ["a suffix", { "tokenizer.json": withModel({ end_of_word_suffix: "</w>" }) }, /sets end_of_word_suffix to "<\/w>"/],
  ["an unknown unknown token", { "tokenizer.json": withModel({ unk_token: "?!" }) }, /lacks the unknown token "\?!"/],
  ["merges that are none", { "tokenizer.json": withModel({ merges: "a b" }) }, /"merges" in .* is not a list/],
  ["a merge of three", { "tokenizer.json": withModel({ merges: ["a b", "a b c"] }) }, /entry 2 is not two tokens/],
  ["a merge of numbers", { "tokenizer.json": withModel({ merges: [[1, 2]] }) }, /entry 1 is not two tokens/],
  [
    "a merge to nothing known",
    { "tokenizer.json": withModel({ merges: ["b a"] }) },
    /entry 1 has "ba", which is not in/,
  ],
  [
    "another post-processor",
    { "tokenizer.json": { ...bpe, post_processor: { type: "Odd" } } },
    /"post_processor" in .* is Odd;/,
  ],
  [
    "a damaged post-processor",
    { "tokenizer.json": { ...bpe, post_processor: { type: "RobertaProcessing" } } },
    /"post_processor" in .*: sep/,
  ],
  [
    "another frame",
    { "tokenizer.json": { ...bpe, post_processor: template("A", "</s>", "B", "</s>") } },
    /the template token <s>, text A/,
  ],
  ["post-processors in each other", {
    "tokenizer.json": { ...bpe, post_processor: { type: "Sequence", processors: [{ type: "Sequence" }] } },
  }, /a Sequence in a Sequence/],
  ["a frame of unknown tokens", {
    "tokenizer.json": {
      ...bpe,
      post_processor: template("<s>", "A", "</s>", "B", "</s>"),
      model: { ...bpe.model, vocab: { a: 0, b: 1, ab: 2 } },
      added_tokens: [],
    },
  }, /no unknown token "<unk>"/],
  ["vocab.txt without special tokens", { "vocab.txt": "a\nb\n" }, /no unknown token "\[UNK\]"/],
  [
    "a setting of another type",
    { "vocab.txt": "a\n", "tokenizer_config.json": { do_lower_case: "yes" } },
    /do_lower_case/,
  ],
  [
    "added tokens that are none",
    { "vocab.txt": VOCABULARY, "added_tokens.json": { "[X]": "7" } },
    /added_tokens\.json: the id of/,
  ],
  ["vocab.json without special tokens", slow("a b\n", { a: 0, b: 1, ab: 2 }), /no unknown token "<unk>"/],
  ["vocab.json that is a list", slow("", []), /vocab\.json is not a table of tokens and ids/],
  ["an empty line in merges.txt", slow("#version: 0.2\na b\n\n"), /merges\.txt: entry 3 is not two tokens/],
  ["merges.txt of another model", slow("#version: 0.2\na c\n"), /merges\.txt: entry 2 has "ac"/],
  ["merges.txt in Latin-1", slow(new Uint8Array([0x61, 0x20, 0xe9])), /merges\.txt is not UTF-8 text/],
];

Deno.test("folders without a tokenizer that we have are refused with the reason", async () => {
  await withFolders(refusals.map(([, files]) => files), async (folders) => {
    for (const [index, [name, , message]] of refusals.entries()) {
      await assert.rejects(loadTokenizer(folders[index]!), (error) => {
        assert.ok(error instanceof WinnowError && error.kind === "input" && error.remedy !== "", `${name}: ${error}`);
        assert.match(error.message, message, name);
        return true;
      });
    }
  });
});

Deno.test("a file larger than any tokenizer's is not read", async () => {
  await withFolders([{ "vocab.txt": VOCABULARY }], async ([folder]) => {
    await Deno.truncate(join(folder!, "vocab.txt"), 2 ** 40);
    await assert.rejects(loadTokenizer(folder!), /vocab\.txt has 1099511627776 bytes; a tokenizer file has at most/);
  });
});

Deno.test("the case of vocab.txt alone is lowered as transformers does, unless the caller or the files say otherwise", async () => {
  const files = { "vocab.txt": VOCABULARY };
  await withFolders(
    [files, { ...files, "tokenizer_config.json": { do_lower_case: false } }],
    async ([silent, cased]) => {
      const ids = async (
        folder: string,
        lowercase?: boolean,
      ) => [...(await loadTokenizer(folder, lowercase === undefined ? {} : { lowercase })).encode("Été").ids];
      assert.deepEqual(await ids(silent!), [6]);
      assert.deepEqual(await ids(silent!, false), [5]);
      assert.deepEqual(await ids(cased!), [5]);
      assert.deepEqual(await ids(cased!, true), [6]);
      const told = (await loadTokenizer(silent!, { lowercase: false })).files();
      await withFolders([Object.fromEntries(told)], async ([copy]) => assert.deepEqual(await ids(copy!), [5]));
    },
  );
});

Deno.test("a byte-level tokenizer cannot be told to lower the case", async () => {
  await withFolders([{ "tokenizer.json": bpe }, slow("a b\n")], async (folders) => {
    for (const folder of folders) {
      await assert.rejects(loadTokenizer(folder, { lowercase: true }), /cased: it cannot lower the case/);
      assert.equal((await loadTokenizer(folder, { lowercase: false })).encode("ab").ids.length, 1);
    }
  });
});

Deno.test("files come back as they were where they say all that the tokenizer does", async () => {
  const config = '{ "do_lower_case": false }\n';
  const wordPiece = { "vocab.txt": VOCABULARY, "tokenizer_config.json": config };
  await withFolders([wordPiece, slow("#version: 0.2\r\na b\r\n")], async ([words, bytes]) => {
    const text = (content: Uint8Array | undefined) => new TextDecoder().decode(content);
    const files = (await loadTokenizer(words!)).files();
    assert.deepEqual([...files.keys()].sort(), ["tokenizer_config.json", "vocab.txt"]);
    assert.equal(text(files.get("tokenizer_config.json")), config);
    files.get("vocab.txt")!.fill(0);
    assert.equal(text((await loadTokenizer(words!)).files().get("vocab.txt")), VOCABULARY);
    const tokenizer = await loadTokenizer(bytes!);
    assert.equal(text(tokenizer.files().get("merges.txt")), "#version: 0.2\r\na b\r\n");
    tokenizer.files().get("merges.txt")!.fill(0);
    assert.equal(text(tokenizer.files().get("merges.txt")), "#version: 0.2\r\na b\r\n", "a copy each time");
  });
});

Deno.test("tokens with the names of JavaScript's own properties are tokens like others", async () => {
  const names = ["__proto__", "constructor", "toString"];
  const words = VOCABULARY + names.join("\n");
  const json = {
    ...bert,
    normalizer: { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, lowercase: false },
    // The pre-tokenizer takes "__proto__" apart, but an added token is found whole.
    added_tokens: [{ id: 7, content: "__proto__", special: true }],
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      vocab: Object.fromEntries(words.split("\n").map((w, id) => [w, id])),
    },
  };
  const tokens = byteLevelJson([]).model["vocab"] as object;
  const bytes = { ...tokens, constructor: 300, ["__proto__"]: 301 };
  const level = {
    ...bpe,
    pre_tokenizer: byteLevel(),
    model: { ...bpe.model, vocab: bytes, merges: [], ignore_merges: true },
  };
  await withFolders(
    [{ "tokenizer.json": json }, { "vocab.txt": words }, { "tokenizer.json": level }],
    async (folders) => {
      const [fast, slow, byteLevel] = await Promise.all(folders.map((folder) => loadTokenizer(folder)));
      assert.deepEqual([...fast!.encode("__proto__ constructor").ids], [7, 8]);
      assert.deepEqual([...slow!.encode("constructor valueOf").ids], [8, 1]);
      assert.equal(slow!.vocabSize, 10);
      assert.deepEqual([...byteLevel!.encode("constructor").ids], [300]);
      assert.deepEqual(byteLevel!.piece(301), { text: "__proto__", startsWord: false });
    },
  );
});
