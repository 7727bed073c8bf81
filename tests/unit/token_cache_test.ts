/** Tokens kept on disk: the same as made anew, whatever is wrong with the files. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { tokeniseText } from "../../lib/data/encoding.ts";
import { cachedTokens, keepTokens } from "../../lib/study/token_cache.ts";
import type { SplitDataset } from "../../lib/study/data_source.ts";
import { diskFileSystem } from "../../lib/support/file_system.ts";
import type { Tokenizer } from "../../lib/text/tokenizer.ts";
import { wordTokenizer } from "../fixtures/word_tokenizer.ts";
import { withFolder } from "../support/commands.ts";
import { flipByte } from "../support/damage.ts";

const TEXTS = ["I can't sleep. Nothing is fun!", "", "今天很累 😴 so heavy; so heavy.", "One. Two? Three."];

/** A tokenizer that counts what it is asked. */
function counted(files = "a") {
  const words = wordTokenizer();
  let asked = 0;
  return {
    encode(text: string) {
      asked++;
      return words.encode(text);
    },
    files: () => new Map([["vocab.txt", new TextEncoder().encode(files)]]),
    get asked() {
      return asked;
    },
  };
}

const filesIn = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => join(folder, name)).sort();
const numbering = counted();
const expected = TEXTS.map((text) => tokeniseText(text, numbering));

Deno.test("tokens: made once, then read; other texts and other tokenizers have files of their own", async () => {
  await withFolder(async (root) => {
    const folder = join(root, "data", "tokens"), words = wordTokenizer();
    const same = { ...counted(), encode: words.encode };
    const first = await cachedTokens(folder, same, TEXTS);
    assert.deepEqual(first, TEXTS.map((text) => tokeniseText(text, words)));
    assert.equal(filesIn(folder).length, 1);
    const silent = counted();
    assert.deepEqual(await cachedTokens(folder, silent, TEXTS), first);
    assert.equal(silent.asked, 0);
    for (
      const [tokenizer, texts] of [[counted("b"), TEXTS], [counted(), TEXTS.toReversed()], [
        counted(),
        [TEXTS.join("")],
      ]] as const
    ) {
      await cachedTokens(folder, tokenizer, texts);
      assert.equal(tokenizer.asked, texts.length);
    }
    assert.equal(filesIn(folder).length, 4);
  });
});

Deno.test("tokens: a damaged file counts as none and is written anew", async () => {
  await withFolder(async (folder) => {
    await cachedTokens(folder, counted(), TEXTS);
    const [path] = filesIn(folder) as [string];
    const whole = await Deno.readFile(path);
    const damages = [
      () => flipByte(path),
      () => Deno.truncate(path, 40),
      () => Deno.truncate(path, whole.length - 1),
      () => Deno.truncate(path, 0),
      () => Deno.writeFile(path, new Uint8Array(whole.length)),
      () => Deno.writeFile(path, new Uint8Array(100_000).fill(255)),
    ];
    for (const damage of damages) {
      await damage();
      const tokenizer = counted();
      assert.deepEqual(await cachedTokens(folder, tokenizer, TEXTS), expected);
      assert.equal(tokenizer.asked, TEXTS.length);
      assert.deepEqual(await Deno.readFile(path), whole);
    }
  });
});

Deno.test("tokens: a file system that refuses costs the cache and nothing else", async () => {
  await withFolder(async (folder) => {
    const refuse = () => Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" }));
    for (const call of ["open", "makeFolder", "openForReading", "rename", "syncFolder"] as const) {
      const fs = { ...diskFileSystem, [call]: refuse };
      assert.deepEqual(await cachedTokens(join(folder, call), counted(), TEXTS, fs), expected, call);
    }
  });
});

Deno.test("tokens are kept of large data only, where text of posts lies", async () => {
  await withFolder(async (experiments) => {
    const splitsOf = (posts: number) => {
      const examples = Array.from({ length: posts }, (_, i) => ({ text: `${i}. ${"heavy days ".repeat(1000)}` }));
      return { splits: { train: examples, validation: examples.slice(0, 2), test: [] } } as unknown as SplitDataset;
    };
    const config = { paths: { experiments } } as Parameters<typeof keepTokens>[1];
    for (const [posts, isKept] of [[10, false], [400, true]] as const) {
      const known = new Map(), tokenizer = counted() as unknown as Tokenizer & { asked: number };
      await keepTokens(known, config, splitsOf(posts), tokenizer);
      await keepTokens(known, config, splitsOf(posts), tokenizer);
      assert.equal(tokenizer.asked, isKept ? posts : 0);
      assert.equal(known.get(tokenizer).size, isKept ? posts : 0);
    }
    assert.equal(filesIn(join(experiments, "data", "tokens")).length, 1);
  });
});
