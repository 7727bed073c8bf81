"""One training step of a dual agent with a large embedding table.

    python tests/peers/large_table.py < request.json > answer.json

Request: {"folder", "batch", "out", "criteria", "pooling", "rows", "optimizer"}: a folder with config.json and
model.safetensors (encoder and heads), a batch (names of docs/numerics.md), and the rows of the word table to return.
Answer: {"loss", "gradientNorm", "otherRows"}: the norm before clipping, and the largest magnitude in the word table's
gradient outside `rows`. `out` gets grad.NAME and after.NAME of every parameter; of the word table, only `rows`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from dual_agent import Batch, DualAgent, adamw, encoder_from_config, losses

WORDS = "embeddings.word_embeddings.weight"


def main() -> None:
    request = json.load(sys.stdin)
    torch.set_num_threads(2)
    folder = Path(request["folder"])
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = DualAgent(encoder_from_config(config), request["criteria"], request["pooling"]).eval()
    stored = load_file(folder / "model.safetensors")
    parameters = model.canonical_parameters()
    if stored.keys() != parameters.keys():
        raise SystemExit(f"Expected the tensors {sorted(parameters)} but found {sorted(stored)}.")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(stored.pop(name))

    batch = Batch.of(load_file(request["batch"]))
    loss = losses(model(batch), batch, 1.0, 0.5).total
    loss.backward()
    rows = torch.tensor(request["rows"])

    def part(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return (tensor[rows] if name == WORDS else tensor).detach().clone().contiguous()

    tensors = {f"grad.{name}": part(name, parameter.grad) for name, parameter in parameters.items()}
    others = torch.ones(parameters[WORDS].shape[0], dtype=torch.bool)
    others[rows] = False
    other_rows = max(piece.abs().max().item() for piece in parameters[WORDS].grad[others].split(8192))

    settings = request["optimizer"]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings["maxGradNorm"])
    adamw(
        parameters,
        settings["learningRate"],
        settings["weightDecay"],
        (settings["beta1"], settings["beta2"]),
        settings["epsilon"],
    ).step()
    tensors |= {f"after.{name}": part(name, parameter) for name, parameter in parameters.items()}
    save_file(tensors, request["out"])
    json.dump({"loss": loss.item(), "gradientNorm": norm.item(), "otherRows": other_rows}, sys.stdout)


if __name__ == "__main__":
    main()
