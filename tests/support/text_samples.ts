/** Texts for the tokenizer tests: real ones from the shared data, and nasty ones made from a seed. */
import { parse } from "csv-parse/sync";
import { randomStream } from "../../lib/support/rng.ts";
import { dataFile } from "./python.ts";

/** The first `count` tweets. */
export function tweets(count: number): string[] {
  const rows: { text: string }[] = parse(Deno.readTextFileSync(dataFile("tweet_sentiment", "train.csv")), {
    columns: true,
    to: count,
  });
  return rows.map((row) => row.text);
}

/** The first `count` Reddit comments of GoEmotions. */
export function comments(count: number): string[] {
  const lines = Deno.readTextFileSync(dataFile("goemotions", "train.tsv")).split("\n").slice(0, count);
  return lines.map((line) => line.split("\t")[0]!);
}

const MORSELS = [
  ..."abcXYZ012 .,!?'\"-_$+<=>^`|~#@&%*()[]{}/\\:;\t\n\r\u0000\u0001\u0007\u000b\u000c\u0085\u00a0\u00ad",
  ..."éÉñüßẞİıŞǅﬁΣςσάΆЁйѐÅÅ각한글뷁ひがギプ漢字豈塞丽㐀𠀀𫠠𫤠💩👍🏽👩‍👩‍👧‍👦🇪🇸✈️☺︎∑№™½²ªº",
  ..."\u0300\u0301\u0308\u0323\u0327\u0345\u0344\u0f73\u0f71\u0f72\u302e\u1b44\u0bcd\u0e49\u3099\u20dd\u05b0\u0651\u0670",
  ..."\u200b\u200c\u200d\u200e\u2028\u2029\u2060\ufeff\ufffd\ue000\u{e0001}\u{10ffff}\u0378\u3000\u1680\u180e\u202f",
  "the ",
  "ing",
  "Café",
  "naïve",
  "don't",
  "http://t.co/aB1",
  "[SEP]",
  "[CLS]",
  "[MASK]",
  "[sep]",
  "##ing",
  " ",
  "  ",
  "\r\n",
  "١٢٣",
  "हिन्दी",
  "ไทย",
  "עִבְרִית",
  "العَرَبِيَّة",
];

/** `count` texts out of everything that goes wrong in tokenizers; the same for the same seed. */
export function nastyTexts(count: number, seed = 1): string[] {
  const random = randomStream(seed, "nasty texts");
  return Array.from({ length: count }, (_, index) => {
    if (index % 97 === 0) return random.pick(["é", "a", "漢", "💩", "x\u0301"]).repeat(90 + random.integer(30));
    let text = "";
    for (let left = random.integer(30); left > 0; left--) {
      const choice = random.uniform();
      if (choice < 0.8) text += random.pick(MORSELS);
      else if (choice < 0.9) text += String.fromCodePoint(scalar(random.integer(0x3000)));
      else if (choice < 0.95) text += String.fromCodePoint(0x300 + random.integer(0x70)).repeat(1 + random.integer(3));
      else text += String.fromCodePoint(scalar(random.integer(0x110000)));
    }
    return text;
  });
}

function scalar(codePoint: number): number {
  return codePoint >= 0xd800 && codePoint < 0xe000 ? 0xfffd : codePoint;
}
