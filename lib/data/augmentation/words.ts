/** The words of an evidence segment, and which of them may be changed. */
import type { CharacterSpan } from "../dataset.ts";

/** A word of a segment; positions are UTF-16 units of the whole text. */
export interface Word extends CharacterSpan {
  readonly text: string;
  /** Number of the clause: a stretch without punctuation inside. */
  readonly clause: number;
  /** Whether its clause has a negation, so that what stands in it and in which order matters. */
  readonly negated: boolean;
  /** Whether nothing may change it: negations, numbers, parts of addresses, names and tags, single letters. */
  readonly fixed: boolean;
}

/** Letters with their marks, and what holds the parts of a word together: "don't", "self-harm". */
const WORD = /[\p{L}\p{N}][\p{L}\p{M}\p{N}\u200c\u200d]*(?:['’‘`´ʼ-][\p{L}\p{N}][\p{L}\p{M}\p{N}\u200c\u200d]*)*/gu;
/** Addresses, @names, #tags, r/forums and HTML entities: one chunk between white space. */
const PROTECTED_CHUNK =
  /:\/\/|^[^\p{L}\p{N}]*(?:www\.|[@#]|\/?[ru]\/)[\p{L}\p{N}_]|[\p{L}\p{N}][@/_][\p{L}\p{N}]|&#?\w+;/iu;
const CLAUSE_BREAK = /[^\p{L}\p{M}\p{N}\s'’"*~^&+\u200c\u200d-]|\n|\s-|-\s|--/u;

/** Words whose presence turns a statement round; with an apostrophe or, as people type, without. */
const NEGATIONS = new Set(
  ("not no never none nobody nothing nowhere neither nor without hardly barely scarcely rarely seldom cannot nope nah " +
    "noone nothin nuthin non lack lacks lacked lacking unable " +
    "aint arent cant couldnt didnt doesnt dont hadnt hasnt havent isnt mightnt mustnt neednt shouldnt wasnt werent " +
    "wont wouldnt").split(" "),
);

/**
 * Words without a meaning of their own: NLTK's English stop words, which EDA leaves alone too, and others as common
 * that would change a sentence's grammar.
 */
const STOP_WORDS = new Set(
  ("i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it " +
    "its itself they them their theirs themselves what which who whom whose this that these those am is are was were " +
    "be been being have has had having do does did doing done a an the and but if or because as until while of at by " +
    "for with about against between into through during before after above below to from up down in out on off over " +
    "under again further then once here there when where why how all any both each few more most other some such only " +
    "own same so than too very s t can will just don should now also would could may might must shall let lets get " +
    "gets got gotten getting go goes going gone went one ones two like im ive id ill youre u ur r y yes yeah ok okay " +
    "oh lol even still ever yet already almost every many much another since though although however maybe perhaps " +
    "really quite rather always today tomorrow yesterday mr mrs ms dr am pm rt via thing things lot lots way kind sort " +
    "bit else per upon within around across along away back well dad mom mum said say says looking coming someone " +
    "somebody sorry night anyone anybody everyone everybody something anything everything people").split(" "),
);

/** The word in lower case with a straight apostrophe. */
export function plainForm(word: string): string {
  return word.toLowerCase().replace(/[’‘`´ʼ]/g, "'");
}

/** Whether a word negates: "not", "can't", "dont", "never-ending". */
export function isNegation(word: string): boolean {
  const plain = plainForm(word);
  return plain.endsWith("n't") || plain.split("-").some((part) => NEGATIONS.has(part) || part.endsWith("n't"));
}

/** How many words of a text negate. */
export function countNegations(text: string): number {
  return [...text.matchAll(WORD)].filter(([word]) => isNegation(word)).length;
}

/** Whether a word is a function word, or too common to stand for a meaning. */
export function isStopWord(word: string): boolean {
  const plain = plainForm(word);
  return STOP_WORDS.has(plain) || plain.includes("'");
}

/** Whether a chunk between white space is an address, a name or a tag, which must stay as it is. */
export function isProtectedChunk(chunk: string): boolean {
  return PROTECTED_CHUNK.test(chunk);
}

/** The words that lie whole inside of a segment. */
export function segmentWords(text: string, segment: CharacterSpan): Word[] {
  const inside = text.slice(segment.start, segment.end);
  const found = [...inside.matchAll(WORD)]
    .map((match) => ({
      text: match[0],
      start: segment.start + match.index,
      end: segment.start + match.index + match[0].length,
    }))
    .filter(({ start, end }) => !isInsideWord(text, start) && !isInsideWord(text, end));
  const clauses: number[] = [];
  found.forEach(({ start }, i) => {
    const between = i === 0 ? "" : text.slice(found[i - 1]!.end, start);
    clauses.push((clauses.at(-1) ?? 0) + (CLAUSE_BREAK.test(between) ? 1 : 0));
  });
  const negatedClauses = new Set(found.flatMap((word, i) => isNegation(word.text) ? [clauses[i]!] : []));
  return found.map((word, i) => ({
    ...word,
    clause: clauses[i]!,
    negated: negatedClauses.has(clauses[i]!),
    fixed: isNegation(word.text) || word.text.length < 2 || /\p{N}/u.test(word.text) ||
      isProtectedChunk(chunkAround(text, word)),
  }));
}

/** Whether a place lies inside of a word: a span that begins or ends there has only a part of it. */
function isInsideWord(text: string, at: number): boolean {
  return /[\p{L}\p{M}\p{N}]['’]?$/u.test(text.slice(Math.max(0, at - 3), at)) &&
    /^['’]?[\p{L}\p{M}\p{N}]/u.test(text.slice(at, at + 3));
}

/** What stands around a word up to the next white space on both sides; 200 units at most, as long addresses have. */
function chunkAround(text: string, { start, end }: CharacterSpan): string {
  const before = /\S*$/u.exec(text.slice(Math.max(0, start - 200), start))![0];
  const after = /^\S*/u.exec(text.slice(end, end + 200))![0];
  return before + text.slice(start, end) + after;
}

/** `word` with the capitals of `like`: "Sad" → "Unhappy", "SAD" → "UNHAPPY". */
export function matchCase(word: string, like: string): string {
  const letters = like.replace(/[^\p{L}]/gu, "");
  if (letters.length > 1 && letters === letters.toUpperCase() && letters !== letters.toLowerCase()) {
    return word.toUpperCase();
  }
  const [first = ""] = like;
  if (first !== first.toLowerCase()) return capitalise(word);
  return word;
}

function capitalise(word: string): string {
  const [first = ""] = word;
  return first.toUpperCase() + word.slice(first.length);
}
