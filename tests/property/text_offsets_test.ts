import assert from "node:assert/strict";
import fc from "fast-check";
import { bertNormalizer } from "../../lib/text/bert_normalizer.ts";
import { buildWordPieceVocabulary } from "../../lib/text/vocabulary.ts";
import { wordPieceTokenizer } from "../../lib/text/word_piece_tokenizer.ts";

const text = fc.string({
  unit: fc.oneof(fc.constantFrom("a", "É", " ", "\u0301", "漢", "👍", "."), binary()),
  maxLength: 40,
});

function binary() {
  return fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)); // lone surrogates, too
}

Deno.test("normalized units point into the original, in ascending order", () => {
  fc.assert(fc.property(text, fc.boolean(), fc.boolean(), (original, stripAccents, lowercase) => {
    const normalize = bertNormalizer({ cleanText: true, handleChineseChars: true, stripAccents, lowercase });
    const { text, starts, ends } = normalize(original);
    assert.equal(starts.length, text.length);
    assert.equal(ends.length, text.length);
    for (let i = 0; i < text.length; i++) {
      assert.ok(starts[i]! < ends[i]! && ends[i]! <= original.length && ends[i]! - starts[i]! <= 2);
      if (i > 0) assert.ok(starts[i]! >= starts[i - 1]!);
    }
  }));
});

Deno.test("tokens do not overlap, and no character of the corpus is unknown", () => {
  fc.assert(
    fc.property(fc.array(text, { maxLength: 5 }), (texts) => {
      const vocabulary = buildWordPieceVocabulary(texts, 100_000);
      const tokenizer = wordPieceTokenizer(vocabulary, { lowercase: true });
      for (const original of texts) {
        const { ids, offsets } = tokenizer.encode(original);
        assert.equal(offsets.length, 2 * ids.length);
        for (let i = 0; i < ids.length; i++) {
          const start = offsets[2 * i]!, end = offsets[2 * i + 1]!;
          assert.ok(start < end && end <= original.length);
          if (i > 0) assert.ok(start >= offsets[2 * i - 1]! || start === offsets[2 * i - 2]!);
          assert.notEqual(ids[i], tokenizer.unkId, "every character of the corpus is known");
        }
      }
    }),
    { numRuns: 60 },
  );
});
