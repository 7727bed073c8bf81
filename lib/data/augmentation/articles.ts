/** "a" and "an" follow the word after them: where an edit changes that word, the article changes too. */
import { applyEdits, type Edit } from "./edits.ts";
import type { Passage } from "./method.ts";
import { plainForm } from "./words.ts";

/** The article for a word: by its first letter, but for the commonest whose sound differs from it. */
function articleFor(word: string): "a" | "an" {
  const plain = plainForm(word);
  if (/^(?:hour|honest|honou?r|heir)/.test(plain)) return "an";
  if (/^(?:uni(?!n|m)|use|usu|eu|one\b|once)/.test(plain)) return "a";
  return /^[aeiou]/.test(plain) ? "an" : "a";
}

/** The word that follows a position with nothing but white space between. */
function wordAfter(text: string, at: number): string | undefined {
  return /^\s+(\p{L}+)/u.exec(text.slice(at, at + 60))?.[1];
}

/** The edits of a passage, and those of articles that no longer agree; articles that never did are left alone. */
export function withArticles(passage: Passage, edits: readonly Edit[]): Edit[] {
  if (edits.length === 0) return [];
  const edited = applyEdits(passage.text, [passage], edits);
  const articles = passage.words.flatMap(({ text, start, end }): Edit[] => {
    const plain = plainForm(text);
    if ((plain !== "a" && plain !== "an") || edits.some((edit) => edit.start < end && start < edit.end)) return [];
    const before = wordAfter(passage.text, end), after = wordAfter(edited.text, edited.position(end));
    if (!before || !after || articleFor(before) !== plain || articleFor(after) === plain) return [];
    return [{ start, end, text: text.startsWith("A") ? `A${articleFor(after).slice(1)}` : articleFor(after) }];
  });
  return [...edits, ...articles];
}
