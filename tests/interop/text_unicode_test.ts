import assert from "node:assert/strict";
import { bertNormalizer } from "../../lib/text/bert_normalizer.ts";
import { forEachWord } from "../../lib/text/bert_pre_tokenizer.ts";
import { forEachByteLevelWord } from "../../lib/text/byte_level_pre_tokenizer.ts";
import { askPython } from "../support/python.ts";

type Row = [point: number, clean: string, chinese: string, accents: string, lower: string, kind: string];

/** Planes 0 and 1, the ends of the ideographs, and of the planes that hold nothing or private use. */
const RANGES = [[0, 0x20010], [0x2a6d0, 0x2a710], [0x2b730, 0x2b930], [0x2cea0, 0x2ceb0], [0x2f7f0, 0x2fa30]];
RANGES.push([0x323a0, 0x32400], [0xdfff0, 0xe0200], [0xeffff, 0xf0010], [0x10fff0, 0x10ffff]);

Deno.test("every assigned code point is normalized and split as by the Python package tokenizers", async () => {
  const rows = await askPython<Row[]>("text_tokenizers.py", ["unicode"], { ranges: RANGES });
  const off = { cleanText: false, handleChineseChars: false, stripAccents: false, lowercase: false };
  const normalizers = [
    bertNormalizer({ ...off, cleanText: true }),
    bertNormalizer({ ...off, handleChineseChars: true }),
    bertNormalizer({ ...off, stripAccents: true }),
    bertNormalizer({ ...off, lowercase: true }),
  ];
  const differences: string[] = [];
  for (const [point, ...expected] of rows) {
    const text = `a${String.fromCodePoint(point)}b`;
    const forms = normalizers.map((normalize) => normalize(text).text.slice(1, -1));
    const words: string[] = [];
    forEachWord(text, 0, text.length, (start, end) => words.push(text.slice(start, end)));
    const actual = [...forms, { 1: "other", 2: "space", 3: "punctuation" }[words.length]];
    if (actual.join("|") !== expected.join("|")) differences.push(`U+${point.toString(16)}: ${actual} not ${expected}`);
  }
  assert.ok(rows.length > 130_000);
  assert.deepEqual(differences, []);
});

Deno.test("every assigned code point is a letter, a number, whitespace or other as in byte-level BPE of tokenizers", async () => {
  const expected = await askPython<string>("text_tokenizers.py", ["words"], { ranges: RANGES });
  const differences: string[] = [];
  let index = 0;
  for (
    const point of RANGES.flatMap(([first, last]) => Array.from({ length: last! - first! + 1 }, (_, i) => first! + i))
  ) {
    if (point >= 0xd800 && point < 0xe000) continue;
    const character = String.fromCodePoint(point);
    const words: string[] = [];
    const text = `a${character}1${character}!${character}!`;
    forEachByteLevelWord(text, (start, end) => words.push(text.slice(start, end)));
    const joins = [["a" + character, "L"], [`${character}1${character}`, "N"], [`${character}1`, "S"]];
    joins.push(["1" + character, "N"], [`${character}!${character}!`, "O"]);
    const kind = joins.find(([word]) => words.includes(word!))?.[1] ?? "S";
    if (kind !== expected[index]) differences.push(`U+${point.toString(16)}: ${kind} not ${expected[index]}`);
    index++;
  }
  assert.equal(index, expected.length);
  assert.ok(index > 130_000);
  assert.deepEqual(differences, []);
});
