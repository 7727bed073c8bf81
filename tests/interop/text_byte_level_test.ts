import { join } from "node:path";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import { askPython, dataFile } from "../support/python.ts";
import { assertEqualTokens, type PeerEncoding, withFolder } from "../support/text_parity.ts";
import { comments, nastyTexts, tweets } from "../support/text_samples.ts";

const source = (name: string) => Deno.readFile(dataFile("tokenizers", "roberta-base", name));
const roberta = new Map<string, Uint8Array | string | object>([
  ["vocab.json", await source("vocab.json")],
  ["merges.txt", await source("merges.txt")],
  ["config.json", { model_type: "roberta" }],
]);

Deno.test("byte-level BPE: ids and offsets of 20,000 real and 20,000 generated texts equal the Python package's", async () => {
  const texts = [...tweets(10_000), ...comments(10_000), ...nastyTexts(20_000)];
  await withFolder(roberta, async (folder) => {
    const tokenizer = await loadTokenizer(folder);
    const save = join(folder, "saved.json");
    const peer = await askPython<PeerEncoding[]>("text_tokenizers.py", ["load"], { folder, texts, save });
    let now = performance.now();
    assertEqualTokens(tokenizer, texts, peer);
    console.log("ours", performance.now() - now);
    await withFolder(new Map([["tokenizer.json", await Deno.readFile(save)]]), async (saved) => {
      assertEqualTokens(await loadTokenizer(saved), texts, peer);
    });
  });
});
