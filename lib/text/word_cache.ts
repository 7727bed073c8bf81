/** A memory of words already cut: natural text repeats its words, hostile text must not fill the memory. */

/** Longer words hardly come again. */
const MAX_UNITS_PER_WORD = 64;

/** UTF-16 units of all the words remembered; about 100,000 words of natural text. */
const MAX_UNITS = 2 ** 20;

/** V8 keeps a slice of at least this length as a reference to the whole text it was cut from. */
const SLICE_UNITS = 13;

/** The function with its results remembered by word, and all forgotten when they grow too many. */
export function rememberWords<T>(cut: (word: string) => T): (word: string) => T {
  const remembered = new Map<string, T>();
  let units = 0;
  return (word) => {
    let pieces = remembered.get(word);
    if (pieces === undefined) {
      pieces = cut(word);
      if (word.length <= MAX_UNITS_PER_WORD) {
        if (units + word.length > MAX_UNITS) {
          remembered.clear();
          units = 0;
        }
        // A copy of its own, so that the cache does not keep the text alive.
        remembered.set(word.length < SLICE_UNITS ? word : word.split("").join(""), pieces);
        units += word.length;
      }
    }
    return pieces;
  };
}
