/**
 * `char_perturb`: typing errors inside of words. A neighbouring key, two letters the wrong way round, one missing, one
 * twice: the natural and synthetic noise of Belinkov and Bisk, "Synthetic and natural noise both break neural machine
 * translation" (ICLR 2018), and the edits of Pruthi et al., "Combating adversarial misspellings with robust word
 * recognition" (ACL 2019), who as here leave short words and the first and last letter alone.
 */
import type { RandomStream } from "../../support/rng.ts";
import type { Edit } from "./edits.ts";
import { type AugmentationMethod, operationMethod, type WordOperation } from "./method.ts";
import { isNegation } from "./words.ts";

/** Fewest letters of a word that is changed. */
const MIN_LETTERS = 4;
/** Alphabets in which one letter is one character; elsewhere a change could break a syllable. */
const ALPHABETIC = /^[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}]+$/u;

/** Rows of a QWERTY keyboard, each with how far it is set in, in keys. */
const KEYBOARD: readonly [string, number][] = [["qwertyuiop", 0], ["asdfghjkl", 0.25], ["zxcvbnm", 0.75]];
const KEYS = KEYBOARD.flatMap(([row, indent], y) => [...row].map((key, x) => ({ key, x: x + indent, y })));
const NEIGHBOURS = new Map(
  KEYS.map(({ key, x, y }) => [
    key,
    KEYS.filter((other) => other.key !== key && Math.abs(other.y - y) <= 1 && Math.abs(other.x - x) <= 1)
      .map((other) => other.key),
  ]),
);

/** The letters of a word with one mistake at an inner letter, or undefined where the kind of mistake does not apply. */
type Mistake = (letters: readonly string[], at: number, random: RandomStream) => string[] | undefined;

const MISTAKES: readonly Mistake[] = [
  function neighbouringKey(letters, at, random) {
    const letter = letters[at]!;
    const keys = NEIGHBOURS.get(letter.toLowerCase());
    if (!keys) return undefined;
    const key = random.pick(keys);
    return letters.with(at, letter === letter.toLowerCase() ? key : key.toUpperCase());
  },
  function transposed(letters, at) {
    const next = letters[at + 1]!;
    if (at + 2 >= letters.length || next === letters[at]) return undefined;
    return letters.with(at, next).with(at + 1, letters[at]!);
  },
  (letters, at) => letters.toSpliced(at, 1), // missing
  (letters, at) => letters.toSpliced(at, 0, letters[at]!), // twice
];

/** A word with one typing error, or undefined where it is too short or of another script. */
function mistype(word: string, random: RandomStream): string | undefined {
  const letters = [...word];
  if (letters.length < MIN_LETTERS || !ALPHABETIC.test(word)) return undefined;
  const at = 1 + random.integer(letters.length - 2);
  for (const mistake of random.shuffle(MISTAKES)) {
    const changed = mistake(letters, at, random)?.join("");
    // "chant" must not become "cant".
    if (changed !== undefined && !isNegation(changed)) return changed;
  }
  return undefined;
}

/** Mistypes words. */
export const mistypeWords: WordOperation = (passage, count) => {
  const edits: Edit[] = [];
  for (const word of passage.random.shuffle(passage.words)) {
    if (edits.length >= count) break;
    const changed = word.fixed ? undefined : mistype(word.text, passage.random);
    if (changed === undefined) continue;
    edits.push({ start: word.start, end: word.end, text: changed });
  }
  return edits;
};

/** See the top of this file. */
export const charPerturb: AugmentationMethod = operationMethod(mistypeWords);
