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

/** Emoji of several code points: skin tones, families, flags, keycaps, tag sequences, variation selectors. */
const EMOJI = [..."👍💩😀❤✈☺🏳🏴👩👨👧🤝🫶🏽🏿🇩🇪🇫🇷#*7", "\u200d", "\ufe0f", "\ufe0e", "\u20e3", "👍🏽", "👩‍❤️‍💋‍👨", "🏳️‍🌈", "👨‍👩‍👧‍👦"];
EMOJI.push("🇪🇸", "7️⃣", "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}", "🧑🏿‍🚀");

/** Whitespace by Unicode, and what only looks like it. */
const SPACES = [
  ..." \t\n\r\u000b\u000c\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a",
];
SPACES.push(
  ..."\u2028\u2029\u202f\u205f\u3000\u200b\u2060\ufeff\u180e\u001c\u001f\u0000",
  " ",
  " ",
  "  ",
  "x",
  "1",
  "!",
  "Ġ",
  "▁",
);

/** Digits and numbers of many scripts. */
const NUMBERS = [..."0123456789٠١٩۵०९০௧๓໔༣၄០᠕᭐０９𝟘𝟿𞥐½¾Ⅷⅻ²₅①⑳㊿〇零五万𐄡༪৴፲ㆌ", ".", ",", " ", "-", "th", "%"];

/** What GPT-2's words are cut at, and near misses. */
const CONTRACTIONS = [
  "'s",
  "'t",
  "'re",
  "'ve",
  "'m",
  "'ll",
  "'d",
  "'S",
  "'T",
  "'RE",
  "'LL",
  "’s",
  "’t",
  "'",
  "''",
  "'x",
  "'r",
  "'l",
];
CONTRACTIONS.push("I", "don", "they", "we", "it", "1", "é", "漢", " ", " ", "!", '"', "s", "'\u0301s", "'ſ", "'ſ");

/** CJK of all kinds: unified, compatibility and rare ideographs, kana, jamo that combine and those that do not. */
const CJK = [
  ..."漢字中国語文豈更塞丽㐀㒨𠀀𪛖𫝀𫠝𬺰𰀀〇々〆ヶ。、「」ひらがなカタカナｶﾞﾌﾟゔヷ각한글뷁힣ㄱㅏㅎㆎ",
  "\u1100\u1161\u11a8",
  "\u1112",
  "\u1175",
];
CJK.push("\ua960\ud7b0\ud7cb", "か\u3099", "は\u309a", "ffi", " ", "ＡＢｃ", "㍿", "㌖", "⿰", "\u302e", "邉\u{e0101}");

/** Special tokens of the families, and what is nearly one. */
const SPECIAL = [
  "<s>",
  "</s>",
  "<pad>",
  "<unk>",
  "<mask>",
  "[CLS]",
  "[SEP]",
  "[MASK]",
  "[PAD]",
  "[UNK]",
  "<Mask>",
  "<mask",
  "mask>",
];
SPECIAL.push("<<mask>>", "[SEP", "[sep]", "< s>", " ", "  ", "\t", "\u00a0", "\n", "word", "é", "👍", ".", "Ġ", "##s");

const LETTERS = [..."etaoinshrdlucmfwypvbgkjqxzETAOIN", "é", "ß", "Ж", "ω", "م", "ह", "ก", "𝒳", "ǅ", "ŉ", "İ", "ﬃ"];

const MARKS = [
  0x300,
  0x483,
  0x591,
  0x610,
  0x64b,
  0x6d6,
  0x900,
  0xe31,
  0xf71,
  0x1ab0,
  0x1dc0,
  0x20d0,
  0x302a,
  0xfe20,
  0x1d165,
];

/** `count` different texts out of everything that goes wrong in tokenizers; the same for the same seed. */
export function nastyTexts(count: number, seed = 1): string[] {
  const random = randomStream(seed, "nasty texts");
  const times = (most: number, make: () => string) => {
    let text = "";
    for (let left = random.integer(most); left > 0; left--) text += make();
    return text;
  };
  const anything = () => String.fromCodePoint(scalar(random.integer(0x110000)));
  const recipes: (() => string)[] = [
    () => {
      const choice = random.uniform();
      if (choice < 0.8) return random.pick(MORSELS);
      if (choice < 0.9) return String.fromCodePoint(scalar(random.integer(0x3000)));
      if (choice < 0.95) return String.fromCodePoint(0x300 + random.integer(0x70)).repeat(1 + random.integer(3));
      return anything();
    },
    () => random.pick(EMOJI),
    () => random.pick(LETTERS) + times(4, () => String.fromCodePoint(random.pick(MARKS) + random.integer(12))),
    () => random.pick(SPACES),
    () => random.pick(NUMBERS),
    () => random.pick(CONTRACTIONS),
    () => random.pick(CJK),
    () => random.pick(SPECIAL),
    () => String.fromCodePoint(random.integer(0xa1)), // control characters among ASCII
    () => random.pick([...LETTERS, "-", " "]), // words
    () => String.fromCodePoint(scalar(random.pick([0xe000, 0x2000, 0x1f000, 0x10000, 0xfe00]) + random.integer(0x700))),
    anything,
  ];
  const text = (index: number): string => {
    if (index % 97 === 0) return random.pick(["é", "a", "漢", "💩", "x\u0301"]).repeat(90 + random.integer(30));
    if (index % 1_499 === 1) {
      const word = random.pick([LETTERS, EMOJI, CJK, ["a"], ["ha"], [..."0123456789"], ["!"], ["\u0301"], [" "], [
        "漢",
      ]]);
      return Array.from({ length: 10_000 + random.integer(2_000) }, () => random.pick(word)).join("");
    }
    const recipe = index % 2 === 0 ? recipes[0]! : random.pick(recipes);
    return times(30, index % 7 === 0 ? () => random.pick(recipes)() : recipe);
  };
  const texts = new Set<string>();
  for (let index = 0; texts.size < count; index++) texts.add(text(index));
  return [...texts];
}

function scalar(codePoint: number): number {
  return codePoint >= 0xd800 && codePoint < 0xe000 ? 0xfffd : codePoint;
}
