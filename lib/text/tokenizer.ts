/** What every tokenizer offers, whatever its algorithm. */

/** The tokens of one text, without special tokens around them. */
export interface Encoding {
  /** [T] ids in the vocabulary. */
  readonly ids: Uint32Array;
  /**
   * [T, 2] where each token comes from: start and end (exclusive) in UTF-16 units of the original text, so that
   * `text.slice(offsets[2 * i], offsets[2 * i + 1])` is the piece of text behind token i.
   */
  readonly offsets: Uint32Array;
}

/** What a vocabulary entry stands for in a text. */
export interface Piece {
  /** The characters, without the vocabulary's marks ("##", "Ġ"). */
  readonly text: string;
  /** Whether a word begins with it, rather than goes on. */
  readonly startsWord: boolean;
}

/** Turns text into ids with exact offsets, and knows the special tokens that frame a model's input. */
export interface Tokenizer {
  /** One more than the largest id: the rows that an embedding table needs. */
  readonly vocabSize: number;
  readonly clsId: number;
  readonly sepId: number;
  readonly padId: number;
  readonly unkId: number;
  readonly maskId: number;
  /** Separators between the two texts of a pair: 1 in `[CLS] A [SEP] B [SEP]`, 2 in `<s> A </s></s> B </s>`. */
  readonly pairSeparators: number;
  /** What an id stands for; undefined for special tokens, unused ids and parts of characters. */
  piece(id: number): Piece | undefined;
  /** The tokens of a text. A special token written out in the text, such as "[SEP]", becomes that token. */
  encode(text: string): Encoding;
  /** File name → bytes: what to put beside a checkpoint so that Python's `transformers` loads the same tokenizer. */
  files(): Map<string, Uint8Array>;
}
