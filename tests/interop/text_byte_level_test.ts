import assert from "node:assert/strict";
import { join } from "node:path";
import { BYTE_CHARACTERS } from "../../lib/text/byte_alphabet.ts";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import { askPython, dataFile } from "../support/python.ts";
import { assertEqualTokens, type PeerEncoding, withFolders } from "../support/text_parity.ts";
import { comments, nastyTexts, tweets } from "../support/text_samples.ts";

const read = (name: string) => Deno.readTextFile(dataFile("tokenizers", "roberta-base", name));
const merges = (await read("merges.txt")).split("\n").slice(1, 5_001);
const special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];
const tokens = [...special, ...BYTE_CHARACTERS, ...merges.map((merge) => merge.replace(" ", ""))];
const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));

const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
const addedTokens = (...more: object[]) => [
  ...special.map((content) => ({ ...flags, id: vocab[content], content, lstrip: content === "<mask>" })),
  ...more,
];
const model = { type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: "", end_of_word_suffix: "" };
const roberta = (addPrefixSpace: boolean, trimOffsets: boolean) => ({
  type: "RobertaProcessing",
  sep: ["</s>", vocab["</s>"]],
  cls: ["<s>", vocab["<s>"]],
  trim_offsets: trimOffsets,
  add_prefix_space: addPrefixSpace,
});
const byteLevel = (addPrefixSpace: boolean, trimOffsets: boolean, useRegex = true) => ({
  type: "ByteLevel",
  add_prefix_space: addPrefixSpace,
  trim_offsets: trimOffsets,
  use_regex: useRegex,
});
const item = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
const text = (id: string) => ({ Sequence: { id, type_id: 0 } });
const template = {
  type: "TemplateProcessing",
  single: [item("<s>"), text("A"), item("</s>")],
  pair: [item("<s>"), text("A"), item("</s>"), text("B"), item("</s>")],
  special_tokens: Object.fromEntries(["<s>", "</s>"].map((id) => [id, { id, ids: [vocab[id]], tokens: [id] }])),
};
const base = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: addedTokens(),
  normalizer: null,
  pre_tokenizer: byteLevel(false, true),
  post_processor: roberta(false, true) as object | null,
  decoder: byteLevel(true, true),
  model: { ...model, vocab, merges } as object,
};

/** A vocabulary without some of the bytes; some merges join one pair twice, others become the same token. */
const small = [...special];
small.push(
  ...BYTE_CHARACTERS.filter((_, byte) => byte < 0x80 || byte % 4 !== 1),
  "th",
  "the",
  "Ġt",
  "Ġthe",
  "he",
  "aaa",
);
small.push("aa", "aaaa", "ðŁ", "ĠĠ", "ĠĠĠ", "__proto__", "_p");
const smallVocab = Object.fromEntries(small.map((token, id) => [token, id]));
Object.defineProperty(smallVocab, "__proto__", { value: small.indexOf("__proto__"), enumerable: true });
const smallMerges = [
  "h e",
  "t h",
  "t he",
  "Ġ t",
  "Ġt he",
  "h e",
  "aa a",
  "a a",
  "a aa",
  "aa aa",
  "ð Ł",
  "Ġ Ġ",
  "ĠĠ Ġ",
  "_ p",
]
  .map((merge) => merge.split(" "));
const smallModel = { ...model, unk_token: "<unk>", vocab: smallVocab, merges: smallMerges };

const tokenizers: Record<string, object> = {
  "as RoBERTa has it": base,
  "a space before the text": { ...base, pre_tokenizer: byteLevel(true, true), post_processor: roberta(true, true) },
  "a space before the text that trimming does not know of": { ...base, pre_tokenizer: byteLevel(true, true) },
  "a space that trimming expects in vain": { ...base, post_processor: roberta(true, true) },
  "offsets with blanks": { ...base, post_processor: roberta(false, false) },
  "offsets with a blank put there": {
    ...base,
    pre_tokenizer: byteLevel(true, true),
    post_processor: roberta(true, false),
  },
  "no words": { ...base, pre_tokenizer: byteLevel(false, true, false) },
  "a template": { ...base, post_processor: template },
  "no post-processor": { ...base, post_processor: null },
  "only trimming": { ...base, post_processor: byteLevel(false, true) },
  "trimming, then a template": {
    ...base,
    post_processor: { type: "Sequence", processors: [byteLevel(true, true), template, byteLevel(false, true)] },
  },
  "added tokens": {
    ...base,
    added_tokens: addedTokens(
      { ...flags, id: tokens.length + 0, content: "Zoë", normalized: true },
      { ...flags, id: tokens.length + 1, content: "<l>", lstrip: true },
      { ...flags, id: tokens.length + 2, content: "<r>", rstrip: true },
      { ...flags, id: tokens.length + 3, content: "don", single_word: true },
      { ...flags, id: tokens.length + 4, content: "Ġ▁", lstrip: true, rstrip: true, normalized: true },
    ),
  },
  "unknown bytes": { ...base, model: smallModel },
  "unknown bytes fused": { ...base, model: { ...smallModel, fuse_unk: true } },
  "words that are tokens": { ...base, model: { ...smallModel, ignore_merges: true } },
};

Deno.test("byte-level BPE with other settings equals the Python package tokenizers", async (t) => {
  const pieces = [
    "Zoë",
    "<l>",
    "  <l>",
    "<r> ",
    "don",
    " don't",
    "Ġ▁",
    " <mask> ",
    "<mask>👍",
    "the aaaaa",
    " ",
    "__proto__",
  ];
  const nasty = nastyTexts(800, 5);
  const mixed = nasty.slice(0, 300).map((text, i) =>
    pieces.map((piece, k) => (i + k * k) % 5 < 2 ? piece : "").join("") + text
  );
  const texts = [
    ...tweets(100),
    ...comments(100),
    ...nasty,
    ...mixed,
    "",
    " ",
    "  ",
    "\n",
    "👍",
    " 👍",
    "the aaaaaaa aaaaa",
  ];
  const files = Object.values(tokenizers).map((json) => ({ "tokenizer.json": json }));
  await withFolders(files, async (folders) => {
    const paths = folders.map((folder) => join(folder, "tokenizer.json"));
    const peers = await askPython<PeerEncoding[][]>("text_tokenizers.py", ["encode"], { tokenizers: paths, texts });
    for (const [index, name] of Object.keys(tokenizers).entries()) {
      await t.step(name, async () => {
        const tokenizer = await loadTokenizer(folders[index]!);
        assertEqualTokens(tokenizer, texts, peers[index]!);
        assert.equal(tokenizer.pairSeparators, /template/.test(name) ? 1 : 2);
      });
    }
  });
});
