/** Input rows as Python's `transformers` makes them: framing of pairs, token types, cutting and windows. */
import assert from "node:assert/strict";
import { materialise } from "../../lib/data/batches.ts";
import { criterionTexts } from "../../lib/data/criterion_texts.ts";
import { type Example, REDSM5_CRITERIA } from "../../lib/data/dataset.ts";
import { encodeExamples } from "../../lib/data/encoding.ts";
import type { EncodingOptions } from "../../lib/data/input_frame.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import { minilmFolder } from "../fixtures/fetch_minilm.ts";
import { askPython } from "../support/python.ts";
import { comments, nastyTexts, tweets } from "../support/text_samples.ts";

type PeerRow = [ids: number[], types: number[], offsets: [start: number, end: number][]];

/** Posts of a few tokens to several hundred, empty ones among them. */
function posts(): string[] {
  const random = randomStream(1, "window posts");
  const sentences = [...tweets(300), ...comments(300), ...nastyTexts(300)];
  return Array.from(
    { length: 60 },
    (_, i) => Array.from({ length: i % 20 }, () => random.pick(sentences)).join(i % 3 === 0 ? "\n" : " "),
  );
}

/** UTF-16 position of each code point of a text, and of its end. */
function unitPositions(text: string): number[] {
  const positions = [0];
  for (const character of text) positions.push(positions.at(-1)! + character.length);
  return positions;
}

const CASES: readonly Pick<EncodingOptions, "format" | "maxLength" | "docStride">[] = [
  { format: "multi_label", maxLength: 64, docStride: null },
  { format: "multi_label", maxLength: 64, docStride: 16 },
  { format: "multi_label", maxLength: 33, docStride: 30 },
  { format: "multi_label", maxLength: 20, docStride: 0 },
  { format: "binary_pairs", maxLength: 64, docStride: null },
  { format: "binary_pairs", maxLength: 64, docStride: 16 },
  { format: "binary_pairs", maxLength: 48, docStride: 0 },
];

Deno.test("rows of BERT equal those of transformers: ids, types, offsets and windows in both formats", async () => {
  const folder = await minilmFolder();
  const tokenizer = await loadTokenizer(folder);
  const texts = posts();
  const criteria = criterionTexts(REDSM5_CRITERIA.slice(0, 2), null);
  const examples = texts.map((text, i): Example => ({
    postId: String(i),
    text,
    labels: new Uint8Array(2),
    evidence: [null, null],
    allEvidence: [[], []],
  }));
  const requests = CASES.flatMap(({ format, maxLength, docStride }) =>
    texts.flatMap((text) =>
      (format === "multi_label" ? [null] : criteria).map((one) => [one?.text ?? null, text, maxLength, docStride])
    )
  );
  const answers = await askPython<PeerRow[][]>("text_tokenizers.py", ["windows"], { folder, inputs: requests });
  let next = 0, windowed = 0;
  for (const one of CASES) {
    const { inputs } = encodeExamples(examples, tokenizer, { ...one, aggregation: "max", criteria });
    const types = inputs.map((_, index) =>
      materialise({ length: one.maxLength, indices: [index] }, inputs, tokenizer.padId).types
    );
    const expected = answers.slice(next, next += texts.length * (one.format === "multi_label" ? 1 : criteria.length));
    assert.equal(inputs.length, expected.flat().length, `rows of ${JSON.stringify(one)}`);
    expected.flat().forEach(([ids, peerTypes, codePoints], i) => {
      const { example: { text }, ids: ownIds, firstToken, offsets, windows } = inputs[i]!;
      if (windows > 1) windowed++;
      const positions = unitPositions(text);
      const own = ids.map((_, token) => {
        const at = 2 * (token - firstToken);
        return at < 0 || at >= offsets.length ? [0, 0] : [offsets[at]!, offsets[at + 1]!];
      });
      assert.deepEqual(
        { ids: [...ownIds], types: [...types[i]!.subarray(0, ids.length)], offsets: own },
        { ids, types: peerTypes, offsets: codePoints.map(([start, end]) => [positions[start]!, positions[end]!]) },
        `${JSON.stringify(one)}, row ${i}: ${JSON.stringify(text)}`,
      );
    });
  }
  assert.ok(windowed > 1000, `${windowed} rows in windows`);
});
