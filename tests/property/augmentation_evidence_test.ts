/** Augmentation changes evidence and nothing else, whatever the text and however the evidence lies in it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { AUGMENTATION_METHODS } from "../../lib/data/augmentation/registry.ts";
import { augmentExamples } from "../../lib/data/augmentation/augment.ts";
import type { CharacterSpan, Example } from "../../lib/data/dataset.ts";
import { always, post, services } from "../support/augmentation.ts";

const WORDS = [
  "I",
  "feel",
  "a",
  "tired",
  "Hated",
  "sleeping",
  "children",
  "an",
  "idea",
  "hours",
  "don't",
  "NEVER",
  "cant",
];
const FUNNY = [
  "not",
  "no",
  "😭",
  "👨‍👩‍👧",
  "été",
  "e\u0301",
  "日本語",
  "#tag",
  "@you",
  "http://t.co/aB",
  "don’t",
  "&amp;",
  "note",
];
const MARKS = [" ", " ", " ", " ", "  ", "\n", ", ", ". ", "! ", "", "\u00a0", "(", ")", '"', "-", "…"];
const texts = fc.array(fc.tuple(fc.constantFrom(...WORDS, ...FUNNY), fc.constantFrom(...MARKS)), {
  minLength: 1,
  maxLength: 30,
}).map((parts) => parts.flat().join(""));

/** Up to three criteria with up to three spans each, anywhere: overlapping, nested, touching, at the ends. */
const posts: fc.Arbitrary<Example> = texts.chain((text) => {
  const span = fc.tuple(fc.nat(text.length), fc.nat(text.length)).map(([a, b]): CharacterSpan => ({
    start: Math.min(a, b, text.length - 1),
    end: Math.max(a, b, 1),
  })).filter(({ start, end }) => start < end);
  const whole = fc.constant({ start: 0, end: text.length });
  return fc.array(fc.array(fc.oneof({ weight: 3, arbitrary: span }, whole), { maxLength: 3 }), {
    minLength: 1,
    maxLength: 3,
  })
    .map((criteria) => post("p", text, ...criteria));
});
const seeds = fc.nat(1_000_000);

/** The parts of a text outside of some spans. */
function outside(text: string, spans: readonly CharacterSpan[]): string[] {
  const sorted = spans.toSorted((a, b) => a.start - b.start);
  const gaps: string[] = [];
  let at = 0;
  for (const { start, end } of sorted) {
    if (start > at || gaps.length === 0) gaps.push(text.slice(at, Math.max(at, start)));
    at = Math.max(at, end);
  }
  return [...gaps, text.slice(at)];
}

/** The order in which starts and ends follow one another, equal ones together. */
function order(spans: readonly CharacterSpan[]): number[] {
  const places = [...new Set(spans.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  return spans.flatMap(({ start, end }) => [places.indexOf(start), places.indexOf(end)]);
}

const NEGATIONS = /(?<![\p{L}\p{M}\p{N}])(?:not|no|never|cant|don['’]t)(?![\p{L}\p{M}\p{N}])/giu;

for (const method of AUGMENTATION_METHODS) {
  Deno.test(`augmentation: ${method} changes evidence only, and spans follow`, async () => {
    await fc.assert(
      fc.asyncProperty(
        posts,
        seeds,
        fc.constantFrom("masked_lm" as const, "embedding" as const),
        async (example, seed, source) => {
          const before = structuredClone(example);
          const { examples } = await augmentExamples([example], always(method, seed, 0.3), services({ source }));
          assert.deepEqual(example, before, "the original is left alone");
          const [copy] = examples;
          fc.pre(copy !== undefined);
          const spans = example.allEvidence.flat(), moved = copy.allEvidence.flat();
          assert.deepEqual(outside(copy.text, moved), outside(example.text, spans));
          assert.deepEqual(order(moved), order(spans), "no span is emptied, none passes another");
          const isBlank = (text: string, { start, end }: CharacterSpan) => text.slice(start, end).trim() === "";
          moved.forEach((span, i) => assert.equal(isBlank(copy.text, span), isBlank(example.text, spans[i]!)));
          assert.deepEqual(copy.labels, example.labels);
          copy.evidence.forEach((span, k) => assert.deepEqual(span, copy.allEvidence[k]![0] ?? null));
          assert.ok(copy.text.isWellFormed());
          assert.deepEqual(copy.text.match(NEGATIONS), example.text.match(NEGATIONS), "negations stay");
          const { edits, originalText, sourceId } = copy.augmentation!;
          assert.equal(originalText, example.text);
          assert.equal(sourceId, example.postId);
          let rebuilt = "", at = 0;
          for (const edit of edits) {
            rebuilt += originalText.slice(at, edit.before.start) + copy.text.slice(edit.after.start, edit.after.end);
            at = edit.before.end;
          }
          assert.equal(rebuilt + originalText.slice(at), copy.text, "the record tells the changes");
        },
      ),
      { numRuns: 300 },
    );
  });
}

Deno.test("augmentation: the copies depend on seed and post alone, not on other posts or their order", async () => {
  const many = fc.array(posts, { minLength: 2, maxLength: 12 })
    .map((list) => list.map((example, i) => ({ ...example, postId: `p${i}` })));
  const byId = (list: readonly Example[]) => list.toSorted((a, b) => a.postId < b.postId ? -1 : 1);
  await fc.assert(
    fc.asyncProperty(many, seeds, async (list, seed) => {
      const options = { methods: AUGMENTATION_METHODS, prob: 0.5, wordRate: 0.1, seed };
      const whole = await augmentExamples(list, options, services());
      const again = await augmentExamples(list, { ...options, methods: AUGMENTATION_METHODS.toReversed() }, services());
      assert.deepEqual(again, whole);
      const reversed = await augmentExamples(list.toReversed(), options, services());
      assert.deepEqual(byId(reversed.examples), byId(whole.examples));
      const half = await augmentExamples(list.slice(1), options, services());
      assert.deepEqual(half.examples, whole.examples.filter(({ augmentation }) => augmentation!.sourceId !== "p0"));
    }),
    { numRuns: 60 },
  );
});
