/** Each method on sentences where one can say what must come out. */
import assert from "node:assert/strict";
import type { AugmentationMethodName } from "../../lib/data/augmentation/registry.ts";
import { augmentExamples } from "../../lib/data/augmentation/augment.ts";
import type { AugmentationServices } from "../../lib/data/augmentation/method.ts";
import { always, pieceTokenizer, post, scriptedSuggester, services } from "../support/augmentation.ts";

/** What a method makes of a whole text, over many seeds. */
async function results(
  method: AugmentationMethodName,
  text: string,
  given: AugmentationServices = services(),
  wordRate = 0.1,
): Promise<Set<string>> {
  const found = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const { examples } = await augmentExamples([post("p", text, [text])], always(method, seed, wordRate), given);
    for (const example of examples) found.add(example.text);
  }
  return found;
}

const only = async (method: AugmentationMethodName, text: string, expected: string[], given?: AugmentationServices) =>
  assert.deepEqual([...await results(method, text, given)].sort(), expected.toSorted());

Deno.test("augmentation: synonym keeps inflection, capitals and articles, and leaves stop words alone", async () => {
  await only("synonym", "The movies", ["The films"]);
  await only("synonym", "MOVIES!", ["FILMS!"]);
  await only("synonym", "An automobile is here", ["A car is here", "A motorcar is here", "An auto is here"]);
  await only("synonym", "Not what I would have been", []);
});

Deno.test("augmentation: swap exchanges two words of one clause and keeps the beginning's capital", async () => {
  await only("swap", "Now sleep", ["Sleep now"]);
  await only("swap", "cats, dogs", []);
  await only("swap", "not happy but sad", []);
  assert.ok((await results("swap", "cats like dogs, I do not")).has("dogs like cats, I do not"));
});

Deno.test("augmentation: delete takes a word with its space and leaves clauses with a negation whole", async () => {
  await only("delete", "so very tired", ["so very", "so tired", "very tired"]);
  await only("delete", "tired", []);
  await only("delete", "sad now, cannot sleep", ["sad, cannot sleep", "now, cannot sleep"]);
  await only("delete", '"sad" (tired)', []);
});

Deno.test("augmentation: char_perturb makes one mistake inside of a word of four letters or more", async () => {
  const found = await results("char_perturb", "the cat is tired");
  assert.ok(found.size > 10);
  for (const text of found) assert.match(text, /^the cat is t[a-z]{2,4}d$/);
  assert.ok(found.has("the cat is tierd") && found.has("the cat is tird") && found.has("the cat is tirred"));
  assert.ok(["tited", "tured", "tored", "tirwd"].some((typo) => found.has(`the cat is ${typo}`)), [...found].join());
  await only("char_perturb", "日本語 हिन्दी 👍👍👍👍 can't dont", []);
  const chants = await results("char_perturb", "chant");
  assert.ok(chants.size > 5 && !chants.has("cant"));
});

Deno.test("augmentation: eda does one of its four operations", async () => {
  const found = [...await results("eda", "the movies begin")];
  assert.ok(found.includes("the films begin"), "replacement");
  assert.ok(found.some((text) => /^the (?:start|commence) movies begin$/.test(text)), "insertion");
  assert.ok(found.includes("begin movies the"), "swap");
  assert.ok(found.includes("the movies"), "deletion");
});

Deno.test("augmentation: insert puts whole words that the model suggests between words", async () => {
  const { suggester, asked } = scriptedSuggester("masked_lm");
  const tokenizer = pieceTokenizer();
  const given = { ...services(), suggestions: () => Promise.resolve({ suggester, tokenizer }) };
  await only("insert", "so tired", ["so really tired", "so deeply tired", "so quietly tired", "so weary tired"], given);
  const [tired, so] = ["tired", "so"].map((word) => tokenizer.encode(word).ids[0]!);
  assert.deepEqual([...asked[0]!.ids], [tokenizer.clsId, so, tokenizer.maskId, tired, tokenizer.sepId]);
  assert.equal(asked[0]!.position, 2);
  await only("insert", "cannot sleep well", [], given);
  await only("insert", "an idea", ["a really idea", "a deeply idea", "a quietly idea", "a weary idea"], given);
});

Deno.test("augmentation: insert asks for the neighbours of a word that has a meaning where there is no head", async () => {
  const { suggester, asked } = scriptedSuggester("embedding");
  const tokenizer = pieceTokenizer();
  const given = { ...services(), suggestions: () => Promise.resolve({ suggester, tokenizer }) };
  await only("insert", "so tired", ["so deeply tired", "so quietly tired", "so weary tired"], given); // "really" has none
  assert.deepEqual([...asked[0]!.ids], [tokenizer.clsId, tokenizer.encode("tired").ids[0]!, tokenizer.sepId]);
  assert.equal(asked[0]!.position, 1);
  await only("insert", "tired of it", [], given);
  await only("insert", "oh Claudia", [], given);
});

Deno.test("augmentation: insert shows the model the text around the evidence", async () => {
  const { suggester, asked } = scriptedSuggester("masked_lm");
  const tokenizer = pieceTokenizer();
  const given = { ...services(), suggestions: () => Promise.resolve({ suggester, tokenizer }) };
  const text = "Yesterday. I feel tired. Tomorrow!";
  await augmentExamples([post("p", text, ["feel tired"])], always("insert"), given);
  const ids = (part: string) => [...tokenizer.encode(part).ids];
  assert.deepEqual([...asked[0]!.ids].slice(1, -1), [...ids("Yesterday. I feel"), 3, ...ids("tired. Tomorrow!")]);
  const long = `${"word ".repeat(500)}feel tired${" word".repeat(500)}`;
  await augmentExamples([post("p", long, ["feel tired"])], always("insert"), given);
  assert.equal(asked[1]!.ids.length, 2 + 60 + 1 + 60);
  assert.equal(asked[1]!.ids[asked[1]!.position], 3);
});

Deno.test("augmentation: back_translation takes sentences one by one and keeps what it may not lose", async () => {
  const given = (translate: (text: string) => string) => services({ translate });
  const asked: string[] = [];
  const text = 'I am "sad" 😭. I can\'t sleep!\nSee http://t.co/a now… 123. Fine';
  await results(
    "back_translation",
    text,
    given((sentence) => {
      asked.push(sentence);
      return sentence;
    }),
  );
  assert.deepEqual([...new Set(asked)], ['I am "sad" 😭.', "I can't sleep!", "See http://t.co/a now…", "Fine"]);
  await only(
    "back_translation",
    "I am sad. I sleep.",
    ["I am unhappy. I sleep."],
    given((s) => s.replace("sad", "unhappy")),
  );
  const refused: [string, string][] = [
    ["I cannot sleep", "I can sleep"], //                  the negation
    ["I sleep", "I do not sleep"],
    ["I am sad 😭", "I am sad"], //                        an emoji
    ["ask @you now", "ask you now"], //                    a name
    ["I sleep", "I ".repeat(60)], //                       astray
    ["I sleep all day long and all of the night, too, and wake up tired", "..."],
    ["I sleep", " I  sleep "], //                          nothing but spaces
  ];
  for (const [sentence, translation] of refused) await only("back_translation", sentence, [], given(() => translation));
  await only("back_translation", "I sleep", ["I am asleep"], given(() => " I am\n asleep "));
});

Deno.test("augmentation: nested and touching evidence of several criteria stays in place", async () => {
  const text = "Well. I am so tired all day and cannot sleep. Yes, the movies begin! Bye";
  const outer = "I am so tired all day and cannot sleep.", inner = "cannot sleep", touching = " Yes, the movies begin!";
  const source = post("p", text, [outer], [inner, touching], []);
  for (const method of ["synonym", "delete", "char_perturb", "eda", "back_translation"] as const) {
    const { examples: [copy] } = await augmentExamples([source], always(method, 3), services());
    const parts = copy!.allEvidence.map((spans) => spans.map(({ start, end }) => copy!.text.slice(start, end)));
    const [a, b, c] = parts.flat();
    assert.ok(
      copy!.text.startsWith(`Well. ${a}`) && copy!.text.endsWith(`${c} Bye`) && copy!.text.includes(a! + c!),
      method,
    );
    assert.ok(a!.includes(b!) && /\bcannot \S+$/.test(b!) && a!.endsWith(`${b}.`), `${method}: ${b}`);
    assert.deepEqual(parts.map(({ length }) => length), [1, 2, 0]);
    assert.deepEqual(copy!.evidence.map((span) => span?.status), ["exact", "exact", undefined]);
  }
});

Deno.test("augmentation: what is drawn, made and left is counted, and ids do not clash", async () => {
  const posts = [
    post("a", "the movies begin", ["the movies begin"]),
    post("a#synonym", "the movies begin", ["the movies begin"]),
    post("b", "123 456", ["123 456"]),
    post("c", "the movies begin", []),
  ];
  const { examples, counts, hash } = await augmentExamples(posts, always("synonym"), services());
  assert.deepEqual(examples.map(({ postId }) => postId), ["a#synonym#2", "a#synonym#synonym"]);
  assert.deepEqual(counts, { candidates: 3, made: 2, unchanged: 1, byMethod: { synonym: { made: 2, unchanged: 1 } } });
  assert.match(hash, /^[0-9a-f]{64}$/);
  const other = await augmentExamples(posts, always("synonym", 2), services());
  assert.notEqual(other.hash, hash);
  for (const none of [{ methods: [] }, { prob: 0 }]) {
    const { counts } = await augmentExamples(posts, { ...always("swap"), ...none }, services());
    assert.deepEqual(counts, { candidates: 3, made: 0, unchanged: 0, byMethod: {} });
  }
});
