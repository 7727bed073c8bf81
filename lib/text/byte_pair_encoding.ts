/**
 * Byte-pair encoding of a word: begin with its bytes and join neighbours, always the pair that stands first in the list
 * of merges, the leftmost of equals. Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units"
 * (2016); Hugging Face's models/bpe. Takes n log n for n bytes.
 */
import { BYTE_CHARACTERS } from "./byte_alphabet.ts";
import { rememberWords } from "./word_cache.ts";

/** A merge: ids of left and right, and of what they become. */
export interface Merge {
  left: number;
  right: number;
  joined: number;
}

/** How the vocabulary is read beside the merges. */
export interface BytePairOptions {
  /** Id for bytes that the vocabulary lacks; such bytes are left out when it is undefined. */
  unkId: number | undefined;
  /** Whether neighbouring unknown bytes are one token. */
  fuseUnknown: boolean;
  /** Whether a word that the vocabulary has whole is not cut. */
  ignoreMerges: boolean;
}

/** The tokens of one word. A character whose bytes fall into several tokens is in the range of each. */
export interface WordTokens {
  readonly ids: readonly number[];
  /** Where each token starts, in UTF-16 units of the word. */
  readonly starts: readonly number[];
  /** Where each token ends (exclusive). */
  readonly ends: readonly number[];
}

/** First byte of a character in UTF-8, by the number of its bytes, without the bits of the character. */
const LEAD = [0, 0, 0xc0, 0xe0, 0xf0];

/**
 * The function that cuts a well-formed word into tokens.
 *
 * @param merges in order; of two that join the same pair the later counts
 */
export function bytePairEncoder(
  vocabulary: ReadonlyMap<string, number>,
  merges: readonly Merge[],
  options: BytePairOptions,
): (word: string) => WordTokens {
  const { unkId, fuseUnknown, ignoreMerges } = options;
  const byteIds = BYTE_CHARACTERS.map((character) => vocabulary.get(character));
  const ranks = new Map(merges.map(({ left, right }, rank) => [pairKey(left, right), rank]));

  return rememberWords((word) => {
    const capacity = 3 * word.length; // a UTF-16 unit is three bytes at most
    const symbols = {
      ids: new Int32Array(capacity),
      starts: new Int32Array(capacity),
      ends: new Int32Array(capacity),
    };
    let count = 0, unknownBefore = false, name = "";
    for (let start = 0; start < word.length;) {
      const codePoint = word.codePointAt(start)!;
      const end = start + (codePoint > 0xffff ? 2 : 1);
      const bytes = codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
      for (let i = 0; i < bytes; i++) {
        const bits = codePoint >> 6 * (bytes - 1 - i);
        const byte = i === 0 ? LEAD[bytes]! | bits : 0x80 | bits & 0x3f;
        if (ignoreMerges) name += BYTE_CHARACTERS[byte]!;
        const id = byteIds[byte];
        if (id === undefined && unkId === undefined) continue;
        if (id === undefined && fuseUnknown && unknownBefore) {
          symbols.ends[count - 1] = end;
          continue;
        }
        unknownBefore = id === undefined;
        symbols.ids[count] = id ?? unkId!;
        symbols.starts[count] = start;
        symbols.ends[count] = end;
        count++;
      }
      start = end;
    }
    const whole = ignoreMerges ? vocabulary.get(name) : undefined;
    if (whole !== undefined) return { ids: [whole], starts: [0], ends: [word.length] };
    return joined(symbols, count, merges, ranks);
  });
}

function pairKey(left: number, right: number): number {
  return left * 2 ** 25 + right;
}

/** Joins symbols by rank, in place, and gives back those that remain. */
function joined(
  { ids, starts, ends }: { ids: Int32Array; starts: Int32Array; ends: Int32Array },
  count: number,
  merges: readonly Merge[],
  ranks: ReadonlyMap<number, number>,
): WordTokens {
  const before = new Int32Array(count), after = new Int32Array(count);
  const heap = minHeap(2 * count);
  const consider = (left: number, right: number) => {
    const rank = ranks.get(pairKey(ids[left]!, ids[right]!));
    // Rank first, position second; the sum is exact: a rank has 24 bits and a position 29.
    if (rank !== undefined) heap.push(rank * 2 ** 29 + left);
  };
  for (let i = 0; i < count; i++) {
    before[i] = i - 1;
    after[i] = i + 1;
  }
  for (let i = 0; i + 1 < count; i++) consider(i, i + 1);
  const GONE = -1;
  for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
    const rank = Math.floor(top / 2 ** 29), left = top % 2 ** 29;
    const right = after[left]!;
    if (ids[left] === GONE || right === count) continue;
    const { joined } = merges[rank]!;
    // The pair may have changed since it was considered; as in the library it is what they become that counts.
    const now = ranks.get(pairKey(ids[left]!, ids[right]!));
    if (now === undefined || merges[now]!.joined !== joined) continue;
    ids[left] = joined;
    ends[left] = ends[right]!;
    ids[right] = GONE;
    const next = after[left] = after[right]!;
    if (next < count) before[next] = left;
    if (before[left]! >= 0) consider(before[left]!, left);
    if (next < count) consider(left, next);
  }
  const result = { ids: [] as number[], starts: [] as number[], ends: [] as number[] };
  for (let i = 0; i < count; i = after[i]!) {
    result.ids.push(ids[i]!);
    result.starts.push(starts[i]!);
    result.ends.push(ends[i]!);
  }
  return result;
}

/** A heap of numbers, the least on top, for `capacity` of them at a time. */
function minHeap(capacity: number) {
  const items = new Float64Array(capacity);
  let size = 0;
  return {
    push(item: number): void {
      let at = size++;
      while (at > 0) {
        const parent = (at - 1) >> 1;
        if (items[parent]! <= item) break;
        items[at] = items[parent]!;
        at = parent;
      }
      items[at] = item;
    },
    pop(): number | undefined {
      if (size === 0) return undefined;
      const top = items[0]!, item = items[--size]!;
      let at = 0;
      for (;;) {
        let child = 2 * at + 1;
        if (child >= size) break;
        if (child + 1 < size && items[child + 1]! < items[child]!) child++;
        if (items[child]! >= item) break;
        items[at] = items[child]!;
        at = child;
      }
      items[at] = item;
      return top;
    },
  };
}
