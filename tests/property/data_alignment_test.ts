import assert from "node:assert/strict";
import fc from "fast-check";
import { normaliseText, sentenceAligner } from "../../lib/data/alignment.ts";

const SPACES = [" ", "  ", "\n", "\r\n\n", "\t", "\u00a0", "\u2003 "];
const SINGLE = ["'", "’", "‘", "`", "´"];
const DOUBLE = ['"', "“", "”", "„", "«"];
const DASHES = ["-", "--", "–", "—", "‑"];
const LETTERS = ["a", "I", "cry", "Zoë", "e\u0301", "ß", "ﬁ", "…", ".", "한", "日本", "Σ", "ς", "İ", "ﾊﾟ", "½"];
const EMOJI = ["😭", "👨‍👩‍👧", "🤷🏽‍♀️", "❤️", "🇩🇪", "soft\u00adhyphen", "\u200b"];
const token = fc.constantFrom(...SPACES, ...SINGLE, ...DOUBLE, ...DASHES, ...LETTERS, ...EMOJI);
const tokens = fc.array(token, { minLength: 1, maxLength: 60 });

const normal = (text: string) => normaliseText(text).text.trim();

Deno.test("alignment: a stretch of a text, mangled, comes back as a range of equal normalised text", () => {
  fc.assert(
    fc.property(tokens, fc.nat(), fc.nat(), fc.infiniteStream(fc.nat()), (parts, from, count, choices) => {
      const pick = (options: string[]) => options[choices.next().value! % options.length]!;
      const start = from % parts.length;
      const cut = parts.slice(start, start + 1 + count % parts.length);
      const mangled = cut.map((part) => {
        const family = [SPACES, SINGLE, DOUBLE, DASHES].find((options) => options.includes(part));
        if (family) return pick(family);
        return pick([part, part.normalize("NFD"), part.normalize("NFKC"), part.toUpperCase(), "\u2060" + part]);
      }).join("");
      const text = parts.join("");
      const alignment = sentenceAligner(text)(mangled);
      fc.pre(normal(mangled) !== "");
      assert.ok(alignment.status !== "not_found", JSON.stringify({ text, mangled }));
      assert.equal(normal(text.slice(alignment.start, alignment.end)), normal(mangled));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("alignment: any substring is found exactly, at its first place", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", minLength: 1 }), fc.nat(), fc.nat(), (text, from, count) => {
      const cut = text.slice(from % text.length).slice(0, 1 + count % text.length).trim();
      const alignment = sentenceAligner(text)(cut);
      if (cut === "") return assert.equal(alignment.status, "not_found");
      const start = text.indexOf(cut);
      const repeated = text.indexOf(cut, start + cut.length) >= 0;
      assert.deepEqual(alignment, { status: "exact", start, end: start + cut.length, repeated });
    }),
  );
});

Deno.test("normalising: ranges of the index map ascend and lie in the original", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (original) => {
      const { text, starts, ends } = normaliseText(original);
      assert.deepEqual([starts.length, ends.length], [text.length, text.length]);
      for (let unit = 0; unit < text.length; unit++) {
        assert.ok(starts[unit]! < ends[unit]! && ends[unit]! <= original.length);
        assert.ok(unit === 0 || starts[unit]! >= starts[unit - 1]!);
      }
    }),
  );
});
