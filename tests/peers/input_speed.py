"""The input pipeline's peer: transformers' fast tokenizer (Rust) on the same texts, as an engine that takes turns.

    python tests/peers/input_speed.py FOLDER [--threads 2]

FOLDER holds a tokenizer and texts.json: {"texts": [...], "max_length": L, "batch": B, "buckets": [...]}. Every line on stdin
asks for a turn: the milliseconds of tokenising all texts with offsets, and of that with special tokens, truncation and
padded batches of NumPy arrays, shorter texts together; the tokens with special tokens, and the sum of place times id.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    # Before the libraries start their threads.
    os.environ |= {"RAYON_NUM_THREADS": str(arguments.threads), "TOKENIZERS_PARALLELISM": "true"}
    import numpy as np
    from transformers import AutoTokenizer

    asked = json.loads((arguments.folder / "texts.json").read_text(encoding="utf-8"))
    texts, length, size, buckets = asked["texts"], asked["max_length"], asked["batch"], asked["buckets"]
    tokenizer = AutoTokenizer.from_pretrained(arguments.folder)

    def batches() -> tuple[list[list[int]], int]:
        encoded = tokenizer(texts, truncation=True, max_length=length, return_offsets_mapping=True)
        rows = encoded["input_ids"]
        members: dict[int, list[int]] = {bucket: [] for bucket in buckets}
        for index, ids in enumerate(rows):
            members[next(bucket for bucket in buckets if bucket >= len(ids))].append(index)
        count = 0
        for bucket, indices in members.items():
            for first in range(0, len(indices), size):
                chosen = {"input_ids": [rows[i] for i in indices[first : first + size]]}
                tokenizer.pad(chosen, padding="max_length", max_length=bucket, return_tensors="np")
                count += 1
        return rows, count

    print(json.dumps({"device": f"CPU, {arguments.threads} threads"}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        encodings = tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
        _ids_and_offsets = [(encoding.ids, encoding.offsets) for encoding in encodings]
        tokenised = time.perf_counter()
        rows, count = batches()
        done = time.perf_counter()
        checksum = sum(int(np.dot(np.arange(len(ids), dtype=np.int64), np.asarray(ids, np.int64))) for ids in rows)
        answer = {
            "tokenise_ms": 1e3 * (tokenised - start),
            "batch_ms": 1e3 * (done - tokenised),
            "tokens": sum(map(len, rows)),
            "batches": count,
            "checksum": checksum,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
