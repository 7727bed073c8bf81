import assert from "node:assert/strict";
import fc from "fast-check";
import { bertNormalizer } from "../../lib/text/bert_normalizer.ts";
import { BYTE_CHARACTERS } from "../../lib/text/byte_alphabet.ts";
import { byteLevelTokenizer } from "../../lib/text/byte_level_tokenizer.ts";
import { ROBERTA_SPECIAL_TOKENS, specialToken } from "../../lib/text/special_tokens.ts";
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

/** A byte-level BPE with random merges, each of two tokens that are there before it. */
const byteLevel = fc.record({
  merges: fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }),
  addPrefixSpace: fc.boolean(),
  useRegex: fc.boolean(),
}).map(({ merges, addPrefixSpace, useRegex }) => {
  // Bytes of the texts first, so that the merges have something to join.
  const frequent = [...new TextEncoder().encode("a \u0301漢👍.É\ufffd")].map((byte) => BYTE_CHARACTERS[byte]!);
  const tokens = [...new Set([...frequent, ...BYTE_CHARACTERS])];
  const pairs = merges.map(([left, right], index) => {
    const known = frequent.length + index;
    const pick = (n: number) => n % known < frequent.length ? n % known : 256 + n % known - frequent.length;
    tokens.push(tokens[pick(left)]! + tokens[pick(right)]!);
    return [pick(left), pick(right)] as const;
  });
  const names = [...new Set([...tokens, ...Object.values(ROBERTA_SPECIAL_TOKENS)])];
  const vocabulary = new Map(names.map((token, id) => [token, id]));
  const tokenizer = (trims: boolean[]) =>
    byteLevelTokenizer({
      vocabulary,
      merges: pairs.map(([left, right]) => ({
        left: vocabulary.get(tokens[left]!)!,
        right: vocabulary.get(tokens[right]!)!,
        joined: vocabulary.get(tokens[left]! + tokens[right]!)!,
      })),
      unknown: undefined,
      fuseUnknown: false,
      ignoreMerges: false,
      addPrefixSpace,
      useRegex,
      trims,
      special: ROBERTA_SPECIAL_TOKENS,
      pairSeparators: 2,
      addedTokens: Object.values(ROBERTA_SPECIAL_TOKENS).map(specialToken),
    }, () => new Map());
  return { names, addPrefixSpace, plain: tokenizer([]), trimmed: tokenizer([addPrefixSpace]) };
});

Deno.test("byte-level tokens give back the text, their ranges ascend and cover all that is not blank", () => {
  fc.assert(
    fc.property(text, byteLevel, (original, { names, addPrefixSpace, plain, trimmed }) => {
      const { ids, offsets } = plain.encode(original);
      const bytes = new TextEncoder().encode(original);
      const expected = [...bytes].map((byte) => BYTE_CHARACTERS[byte]!).join("");
      const prefix = addPrefixSpace && original !== "" && !original.startsWith(" ") ? "Ġ" : "";
      assert.equal([...ids].map((id) => names[id]).join(""), prefix + expected);

      const shorter = trimmed.encode(original);
      assert.deepEqual(shorter.ids, ids);
      const covered = new Set<number>();
      for (let i = 0; i < ids.length; i++) {
        const start = offsets[2 * i]!, end = offsets[2 * i + 1]!;
        assert.ok(start < end && end <= original.length);
        if (i > 0) assert.ok(start >= offsets[2 * i - 2]! && end >= offsets[2 * i - 1]!);
        const trimmedStart = shorter.offsets[2 * i]!, trimmedEnd = shorter.offsets[2 * i + 1]!;
        assert.ok(start <= trimmedStart && trimmedStart <= trimmedEnd && trimmedEnd <= end);
        for (let unit = trimmedStart; unit < trimmedEnd; unit++) covered.add(unit);
      }
      for (let unit = 0; unit < original.length; unit++) {
        assert.ok(original[unit] === " " || covered.has(unit), `unit ${unit} of ${JSON.stringify(original)}`);
      }
    }),
    { numRuns: 300 },
  );
});
