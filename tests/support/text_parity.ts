/** Our tokens beside those of the Python package tokenizers. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Tokenizer } from "../../lib/text/tokenizer.ts";

/** Tokens of one text as tests/peers/text_tokenizers.py gives them; offsets count code points. */
export type PeerEncoding = [ids: number[], offsets: [start: number, end: number][]];

/** File name → bytes, text, or what becomes JSON. */
export type Files = Readonly<Record<string, Uint8Array | string | object>>;

/** Writes tokenizers' files into a temporary folder each for the time of `use`. */
export async function withFolders<T>(tokenizers: readonly Files[], use: (folders: string[]) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    const folders = tokenizers.map((_, index) => join(folder, String(index)));
    for (const [index, files] of tokenizers.entries()) {
      await Deno.mkdir(folders[index]!);
      for (const [name, content] of Object.entries(files)) {
        const path = join(folders[index]!, name);
        if (content instanceof Uint8Array) await Deno.writeFile(path, content);
        else await Deno.writeTextFile(path, typeof content === "string" ? content : JSON.stringify(content));
      }
    }
    return await use(folders);
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

/** Fails with the first differences unless ids and offsets are equal for every text. */
export function assertEqualTokens(tokenizer: Tokenizer, texts: readonly string[], peer: readonly PeerEncoding[]): void {
  assert.equal(peer.length, texts.length);
  let differences = 0, report = "";
  texts.forEach((text, index) => {
    const [ids, codePointOffsets] = peer[index]!;
    const positions = unitPositions(text);
    const offsets = codePointOffsets.flatMap(([start, end]) => [positions[start]!, positions[end]!]);
    const encoding = tokenizer.encode(text);
    const equal = same(encoding.ids, ids) && same(encoding.offsets, offsets);
    if (equal || differences++ >= 8) return;
    report += `\n${JSON.stringify(text)} ${
      escaped(text)
    }\n  ${encoding.ids} | ${encoding.offsets}\n  ${ids} | ${offsets}`;
  });
  assert.equal(
    differences,
    0,
    `${differences} of ${texts.length} texts differ (ours, theirs):${report.slice(0, 8000)}`,
  );
}

function same(a: Uint32Array, b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
