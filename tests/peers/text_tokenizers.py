"""Tokens and offsets as Hugging Face's `tokenizers` gives them. One JSON object in on stdin, one out on stdout.

encode: {"tokenizer": path of tokenizer.json, "texts": [...]} -> [[ids, [[start, end], ...]], ...]
        offsets count code points; added tokens come from the file, special tokens are not put around the text
load:   {"folder": path, "texts": [...]} -> the same, by transformers' AutoTokenizer
windows: {"folder": path, "inputs": [[criterion or null, post, max_length, stride or null], ...]} -> per input its rows as AutoTokenizer frames, cuts and types them: [[ids, types, [[start, end], ...]], ...], without padding; offsets of special tokens and of the criterion are [0, 0]
unicode: {"ranges": [[first, last], ...]} -> for each code point but "|" and surrogates the normal form by each switch of BertNormalizer, and how the pre-tokenizer sees it
"""

import json
import sys


def encodings(tokenizer, texts):
    tokenizer.no_truncation()
    tokenizer.no_padding()
    result = tokenizer.encode_batch(texts, add_special_tokens=False)
    return [[encoding.ids, encoding.offsets] for encoding in result]


def encode(tokenizer, texts):
    from tokenizers import Tokenizer

    return encodings(Tokenizer.from_file(tokenizer), texts)


def load(folder, texts):
    from transformers import AutoTokenizer

    return encodings(AutoTokenizer.from_pretrained(folder).backend_tokenizer, texts)


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
command = {"encode": encode, "load": load, "windows": windows, "unicode": unicode}[sys.argv[1]]
json.dump(command(**request), sys.stdout)
