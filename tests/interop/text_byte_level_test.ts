import assert from "node:assert/strict";
import { join } from "node:path";
import { BYTE_CHARACTERS } from "../../lib/text/byte_alphabet.ts";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import {
  addedTokenEntry,
  byteLevel,
  byteLevelJson,
  byteLevelVocabulary,
  ROBERTA_SPECIAL,
  robertaProcessing,
} from "../support/byte_level_files.ts";
import { askPython, dataFile } from "../support/python.ts";
import { assertEqualTokens, type PeerEncoding, withFolders } from "../support/text_parity.ts";
import { comments, nastyTexts, tweets } from "../support/text_samples.ts";

const read = (name: string) => Deno.readTextFile(dataFile("tokenizers", "roberta-base", name));
const merges = (await read("merges.txt")).split("\n").slice(1, 5_001);
const base = byteLevelJson(merges);
const vocab = byteLevelVocabulary(merges), size = Object.keys(vocab).length;
const roberta = (addPrefixSpace: boolean, trimOffsets: boolean) =>
  robertaProcessing(vocab, addPrefixSpace, trimOffsets);

const item = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
const text = (id: string) => ({ Sequence: { id, type_id: 0 } });
const template = {
  type: "TemplateProcessing",
  single: [item("<s>"), text("A"), item("</s>")],
  pair: [item("<s>"), text("A"), item("</s>"), text("B"), item("</s>")],
  special_tokens: Object.fromEntries(["<s>", "</s>"].map((id) => [id, { id, ids: [vocab[id]], tokens: [id] }])),
};

/** A vocabulary without some of the bytes; some merges join one pair twice, others become the same token. */
const small = [...ROBERTA_SPECIAL, ...BYTE_CHARACTERS.filter((_, byte) => byte < 0x80 || byte % 4 !== 1)];
small.push(..."th the Ġt Ġthe he aaa aa aaaa ðŁ ĠĠ ĠĠĠ __proto__ _p".split(" "));
const smallVocab = Object.fromEntries(small.map((token, id) => [token, id]));
const smallMerges = "h e,t h,t he,Ġ t,Ġt he,h e,aa a,a a,a aa,aa aa,ð Ł,Ġ Ġ,ĠĠ Ġ,_ p".split(",")
  .map((merge) => merge.split(" "));
const smallModel = { ...base.model, unk_token: "<unk>", vocab: smallVocab, merges: smallMerges };

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
    added_tokens: [
      ...base.added_tokens,
      addedTokenEntry("Zoë", size + 0, { normalized: true }),
      addedTokenEntry("<l>", size + 1, { lstrip: true }),
      addedTokenEntry("<r>", size + 2, { rstrip: true }),
      addedTokenEntry("don", size + 3, { single_word: true }),
      addedTokenEntry("Ġ▁", size + 4, { lstrip: true, rstrip: true, normalized: true }),
    ],
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
