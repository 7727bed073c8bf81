"""Loads a Winnow checkpoint with transformers and runs one batch through it.

    python tests/peers/load_checkpoint.py CHECKPOINT BATCH.safetensors [--pooling cls|mean] [--out OUT.safetensors]

CHECKPOINT holds config.json and model.safetensors: the encoder under the names of its family in HF, the heads beside it
as criteria_head.* and evidence_head.*. BATCH holds ids, mask, types [B, T]. Keys that the encoder does not know are
fine; an encoder key that the file lacks is not (exit 1).

Prints one JSON object: what was missing or unexpected, and shape, sum, absolute sum and the first numbers of the last
hidden state over real tokens. OUT receives `hidden` [B, T, C] and, where the file has heads, `criteriaLogits` [B, K]
and `evidenceLogits` [B, T, 2K].
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dual_agent import encode, encoder_from_folder, pool


def heads(weights: dict[str, Tensor], hidden: Tensor, mask: Tensor, pooling: str) -> dict[str, Tensor]:
    """The logits of both heads, as far as the file has them."""
    logits = {}
    if "criteria_head.weight" in weights:
        pooled = pool(hidden, mask, pooling)
        logits["criteriaLogits"] = pooled @ weights["criteria_head.weight"].T + weights["criteria_head.bias"]
    if "evidence_head.weight" in weights:
        logits["evidenceLogits"] = hidden @ weights["evidence_head.weight"].T + weights["evidence_head.bias"]
    return logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("batch", type=Path)
    parser.add_argument("--pooling", choices=("cls", "mean"), default="cls")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(2)

    encoder, account = encoder_from_folder(arguments.checkpoint)
    if account["missing_keys"]:
        print(json.dumps(account))
        sys.exit(f"{arguments.checkpoint} lacks {', '.join(account['missing_keys'])}.")
    batch = {name: tensor.long() for name, tensor in load_file(arguments.batch).items() if name in ("ids", "mask", "types")}
    with torch.no_grad():
        encoded = encode(encoder.eval(), batch["ids"], batch["mask"], batch["types"])
        hidden = encoded.last_hidden_state
        weights = load_file(arguments.checkpoint / "model.safetensors")
        logits = heads(weights, hidden, batch["mask"], arguments.pooling)
    real = hidden[batch["mask"] == 1].double()
    if arguments.out:
        tensors = {"hidden": hidden} | logits
        save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, arguments.out)
    print(
        json.dumps(
            account
            | {
                "shape": list(hidden.shape),
                "sum": real.sum().item(),
                "absoluteSum": real.abs().sum().item(),
                "first": real.flatten()[:8].tolist(),
                "outputs": ["hidden", *logits],
            }
        )
    )


if __name__ == "__main__":
    main()
