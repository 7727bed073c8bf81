"""Tokens and offsets as Hugging Face's `tokenizers` gives them. One JSON object in on stdin, one out on stdout.

encode: {"tokenizers": [path of tokenizer.json, ...], "texts": [...]} -> for each [[ids, [[start, end], ...]], ...]
        offsets count code points; added tokens come from the file, special tokens are not put around the text
load:   {"folder": path, "texts": [...]} -> the same for one tokenizer, by transformers' AutoTokenizer
loads:  {"folders": [path, ...], "texts": [...]} -> the same for each folder, where its tokenizer.json is left as saved.json
pairs:  {"folders": [path, ...], "pairs": [[a, b], ...]} -> for each folder and pair [ids, token type ids] with special tokens, by AutoTokenizer
words:  {"ranges": [[first, last], ...]} -> "L", "N", "S" or "O" for each code point but surrogates: how the byte-level pre-tokenizer sees it
windows: {"folder": path, "inputs": [[criterion or null, post, max_length, stride or null], ...]} -> per input its rows as AutoTokenizer frames, cuts and types them: [[ids, types, [[start, end], ...]], ...], without padding; offsets of special tokens and of the criterion are [0, 0]
unicode: {"ranges": [[first, last], ...]} -> for each code point but "|" and surrogates the normal form by each switch of BertNormalizer, and how the pre-tokenizer sees it
"""

import json
import os
import sys


def encodings(tokenizer, texts):
    tokenizer.no_truncation()
    tokenizer.no_padding()
    result = tokenizer.encode_batch(texts, add_special_tokens=False)
    return [[encoding.ids, encoding.offsets] for encoding in result]


def encode(tokenizers, texts):
    from tokenizers import Tokenizer

    return [encodings(Tokenizer.from_file(path), texts) for path in tokenizers]


def load(folder, texts):
    from transformers import AutoTokenizer

    return encodings(AutoTokenizer.from_pretrained(folder).backend_tokenizer, texts)


def loads(folders, texts):
    from transformers import AutoTokenizer

    result = []
    for folder in folders:
        tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
        tokenizer.save(os.path.join(folder, "saved.json"))
        result.append(encodings(tokenizer, texts))
    return result


def pairs(folders, pairs):
    from transformers import AutoTokenizer

    result = []
    for folder in folders:
        encoded = AutoTokenizer.from_pretrained(folder)(pairs, return_token_type_ids=True)
        result.append(list(zip(encoded["input_ids"], encoded["token_type_ids"])))
    return result


def words(ranges):
    from tokenizers.pre_tokenizers import ByteLevel

    pre_tokenizer = ByteLevel(add_prefix_space=False)
    kinds = ""
    for first, last in ranges:
        for point in range(first, last + 1):
            if 0xD800 <= point < 0xE000:
                continue
            # With c between "a", "1" and "!": a letter joins "a", a number "1", another "!", whitespace none of them.
            text = "a" + chr(point) + "1" + chr(point) + "!" + chr(point) + "!"
            found = [offsets for _, offsets in pre_tokenizer.pre_tokenize_str(text)]
            kinds += "L" if (0, 2) in found else "N" if (1, 4) in found else "O" if (3, 7) in found else "S"
    return kinds


def windows(folder, inputs):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    answers = []
    for criterion, post, max_length, stride in inputs:
        # Lists of one: alone, an empty post would be taken for no second text.
        texts = [[post]] if criterion is None else [[criterion], [post]]
        found = tokenizer(
            *texts,
            truncation="only_first" if criterion is None else "only_second",
            max_length=max_length,
            stride=stride or 0,
            return_overflowing_tokens=stride is not None,
            return_offsets_mapping=True,
            return_token_type_ids=True,
        )
        rows = []
        for row, (ids, types, offsets) in enumerate(
            zip(found["input_ids"], found["token_type_ids"], found["offset_mapping"])
        ):
            sequences = found.sequence_ids(row)
            own = [pair if sequence == len(texts) - 1 else [0, 0] for pair, sequence in zip(offsets, sequences)]
            rows.append([ids, types, own])
        answers.append(rows)
    return answers


def unicode(ranges):
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    switches = ["clean_text", "handle_chinese_chars", "strip_accents", "lowercase"]
    normalizers = [BertNormalizer(**{name: name == switch for name in switches}) for switch in switches]
    pre_tokenizer = BertPreTokenizer()
    rows = []
    points = [point for first, last in ranges for point in range(first, last + 1)]
    points = [point for point in points if point != ord("|") and not 0xD800 <= point < 0xE000]
    for start in range(0, len(points), 1000):
        chunk = points[start : start + 1000]
        # A letter on each side, so that nothing is at an edge; "|" stands in no normal form but its own.
        text = "|".join("a" + chr(point) + "b" for point in chunk)
        forms = [[piece[1:-1] for piece in normalizer.normalize_str(text).split("|")] for normalizer in normalizers]
        for index, point in enumerate(chunk):
            words = [word for word, _ in pre_tokenizer.pre_tokenize_str("a" + chr(point) + "b")]
            kind = {1: "other", 2: "space", 3: "punctuation"}[len(words)]
            rows.append([point, *(form[index] for form in forms), kind])
    return rows


request = json.load(sys.stdin)
commands = (encode, load, loads, pairs, words, windows, unicode)
command = {function.__name__: function for function in commands}[sys.argv[1]]
# Far faster than json.dump, which writes value by value.
sys.stdout.write(json.dumps(command(**request)))
