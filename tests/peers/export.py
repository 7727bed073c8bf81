"""Loads an exported model as its card says, with AutoModel and AutoTokenizer.

Reads one JSON object from stdin: folder, batch (safetensors with ids, mask, types), out, texts. Writes the last hidden
state to out as `hidden` and prints the classes, the ids of the texts without special tokens, and the keys that were
missing or unexpected.
"""

from __future__ import annotations

import json
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer


def main() -> None:
    torch.set_num_threads(2)
    request = json.load(sys.stdin)
    folder = request["folder"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model, account = AutoModel.from_pretrained(folder, output_loading_info=True)
    inputs = {name: tensor.long() for name, tensor in load_file(request["batch"]).items()}
    arguments = {"input_ids": inputs["ids"], "attention_mask": inputs["mask"]}
    if getattr(model.config, "type_vocab_size", 0) > 1:
        arguments["token_type_ids"] = inputs["types"]
    with torch.no_grad():
        hidden = model.eval()(**arguments).last_hidden_state
    save_file({"hidden": hidden.float().contiguous()}, request["out"])
    json.dump(
        {
            "classes": [type(model).__name__, type(tokenizer).__name__],
            "ids": [tokenizer(text, add_special_tokens=False)["input_ids"] for text in request["texts"]],
            "missing": sorted(account["missing_keys"]),
            "unexpected": sorted(account["unexpected_keys"]),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
