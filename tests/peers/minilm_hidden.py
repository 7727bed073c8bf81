"""Real posts through a real encoder: what transformers says the last hidden state is.

    python tests/peers/minilm_hidden.py MODEL_FOLDER POSTS OUT.safetensors [--limit 20] [--max-length 128]

MODEL_FOLDER holds config.json, model.safetensors and tokenizer.json. POSTS is .json (a list of strings), .txt (one post
a line), .csv (column `text`) or .tsv (first column). With --limit N the posts are taken evenly over the whole file.

OUT holds `ids`, `mask`, `types` int32 [B, T] and `hidden` float32 [B, T, C], all posts padded to the longest; compare
real tokens only. The last line of stdout is JSON: the posts in order, and the shape.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from dual_agent import encode, encoder_from_folder


def read_posts(path: Path, limit: int | None) -> list[str]:
    """The non-empty posts of a file, at most `limit`, spread evenly."""
    if path.suffix == ".json":
        posts = json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            posts = [row["text"] for row in csv.DictReader(file)]
    else:
        lines = path.read_text(encoding="utf-8").split("\n")
        posts = [line.split("\t")[0] if path.suffix == ".tsv" else line for line in lines]
    posts = [post for post in posts if isinstance(post, str) and post.strip()]
    if not posts:
        raise SystemExit(f"{path} holds no post.")
    if limit is None or limit >= len(posts):
        return posts
    return [posts[index * len(posts) // limit] for index in range(limit)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_folder", type=Path)
    parser.add_argument("posts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--max-length", type=int, default=128, help="tokens per post, [CLS] and [SEP] included")
    arguments = parser.parse_args()
    torch.set_num_threads(2)

    posts = read_posts(arguments.posts, arguments.limit)
    tokenizer = Tokenizer.from_file(str(arguments.model_folder / "tokenizer.json"))
    encoder, account = encoder_from_folder(arguments.model_folder)
    if account["missing_keys"]:
        raise SystemExit(f"{arguments.model_folder} lacks {', '.join(account['missing_keys'])}.")
    # tokenizer.json brings its own truncation and padding, which would hide the length that was asked for.
    tokenizer.enable_truncation(arguments.max_length)
    tokenizer.enable_padding(pad_id=encoder.config.pad_token_id)
    encodings = tokenizer.encode_batch(posts)
    tensors = {
        "ids": torch.tensor([encoding.ids for encoding in encodings], dtype=torch.int32),
        "mask": torch.tensor([encoding.attention_mask for encoding in encodings], dtype=torch.int32),
        "types": torch.tensor([encoding.type_ids for encoding in encodings], dtype=torch.int32),
    }
    with torch.no_grad():
        encoded = encode(encoder.eval(), *(tensors[name].long() for name in ("ids", "mask", "types")))
    tensors["hidden"] = encoded.last_hidden_state.contiguous()
    save_file(tensors, arguments.out)
    print(json.dumps({"posts": posts, "shape": list(tensors["hidden"].shape)}))


if __name__ == "__main__":
    main()
