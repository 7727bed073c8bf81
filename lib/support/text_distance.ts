/** How far apart two words are, to offer the name that a typing mistake meant. */

/**
 * Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours, each counting 1.
 * (Damerau 1964; the restricted form of Boytsov 2011, section 2.2.)
 */
export function textDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(previous[j]! + 1, row[j - 1]! + 1, substitution);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, beforePrevious[j - 2]! + 1);
      }
      row.push(best);
    }
    [beforePrevious, previous] = [previous, row];
  }
  return previous[b.length]!;
}

/** The nearest candidate, or undefined where none is near: at most a third of the word's letters may differ. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  // Distance costs the product of the lengths: a word longer than any name is no misspelt name.
  if (word.length > 200) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = textDistance(word, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}
