/** The files that carry a WordPiece tokenizer to Python's `transformers` and `tokenizers`. */

/**
 * vocab.txt, tokenizer.json and tokenizer_config.json of a BERT tokenizer with the usual special tokens.
 *
 * @param vocabulary tokens in id order, the five special tokens of BERT among them
 */
export function tokenizerFiles(vocabulary: readonly string[], lowercase: boolean): Map<string, Uint8Array> {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const id = (token: string) => vocabulary.indexOf(token);
  const frame = (token: string, type: number) => ({ SpecialToken: { id: token, type_id: type } });
  const sequence = (name: "A" | "B", type: number) => ({ Sequence: { id: name, type_id: type } });
  const special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content) => ({
      id: id(content),
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })).sort((a, b) => a.id - b.id),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single: [frame("[CLS]", 0), sequence("A", 0), frame("[SEP]", 0)],
      pair: [frame("[CLS]", 0), sequence("A", 0), frame("[SEP]", 0), sequence("B", 1), frame("[SEP]", 1)],
      special_tokens: Object.fromEntries(
        ["[CLS]", "[SEP]"].map((token) => [token, { id: token, ids: [id(token)], tokens: [token] }]),
      ),
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocabulary.map((token, index) => [token, index])),
    },
  };
  const config = {
    tokenizer_class: "BertTokenizer",
    do_lower_case: lowercase,
    strip_accents: null,
    tokenize_chinese_chars: true,
    pad_token: "[PAD]",
    unk_token: "[UNK]",
    cls_token: "[CLS]",
    sep_token: "[SEP]",
    mask_token: "[MASK]",
  };
  return new Map([
    ["vocab.txt", bytes(vocabulary.map((token) => token + "\n").join(""))],
    ["tokenizer.json", bytes(JSON.stringify(tokenizer))],
    ["tokenizer_config.json", bytes(JSON.stringify(config, null, 2))],
  ]);
}
