/**
 * `delete`: words are left out; random deletion of EDA (Wei and Zou, EMNLP 2019), at a fixed number of words rather than
 * a probability each. Clauses with a negation stay whole, and at least half of the words of a passage.
 */
import type { Edit } from "./edits.ts";
import { type AugmentationMethod, operationMethod, type Passage, type WordOperation } from "./method.ts";

/** Leaves words out. */
export const deleteWords: WordOperation = (passage, count) => {
  const edits: Edit[] = [];
  const deleted = new Set<number>();
  const { words, random } = passage;
  const most = Math.min(count, Math.floor(words.length / 2));
  for (const i of random.shuffle(words.map((_, index) => index))) {
    if (edits.length >= most) break;
    // The first two share the space between them.
    const range = i < 2 && deleted.has(1 - i) ? undefined : deletableRange(passage, i);
    if (!range) continue;
    deleted.add(i);
    edits.push({ ...range, text: "" });
  }
  return edits;
};

/**
 * A word with the space before it, or after it at the beginning; nothing where quotes or brackets hold it, which would
 * be left empty.
 */
function deletableRange({ text, words, start: first, end: last }: Passage, i: number) {
  const { start, end, fixed, negated } = words[i]!;
  if (fixed || negated) return undefined;
  const before = text.slice(first, start), after = text.slice(end, last);
  if (!/^(?:$|[\s.,!?;:…])/u.test(after)) return undefined;
  if (before === "") return { start, end: end + /^[ \t]*/.exec(after)![0].length };
  const space = /[ \t]*$/.exec(before)![0].length;
  return space === 0 || space === before.length ? undefined : { start: start - space, end };
}

/** See the top of this file. */
export const deletion: AugmentationMethod = operationMethod(deleteWords);
