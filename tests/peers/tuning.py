"""What peft and PyTorch make of the tuning modes: gradients, ten losses, weights after them, and adapters read back.

    python tests/peers/tuning.py < calls.json > answers.json

Calls are [[command, request], ...] and answers a list; folders are those that `encoder_families.py make` writes.

train:   {"folder", "batch", "out", "criteria", "pooling", "tuning", "lambdas", "optimizer"} -> {"trainable", "losses"}
         puts random heads on the encoder, freezes or adapts it as `tuning` says (the configuration's keys), and writes to
         `out` what is trained before (NAME), `grad.NAME`, and `after.NAME` after ten AdamW steps on one batch. Adapters
         start with peft's A and a random B, since with B = 0 the gradient of A is 0.
hidden:  {"folder", "batch", "out", "adapter"} -> {"missing", "unexpected"} writes `hidden`, the last hidden state of
         AutoModel, with a folder given as `adapter` under a peft.PeftModel
refused: {"folder"} -> what AutoModel says to a folder, or null where it takes it
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, PreTrainedModel

from dual_agent import Batch, DualAgent, adamw, encode, encoder_from_folder, losses

STEPS = 10
TARGETS = {
    "query": r"attention\.(self\.query|q_lin)",
    "key": r"attention\.(self\.key|k_lin)",
    "value": r"attention\.(self\.value|v_lin)",
    "attention_output": r"attention\.(output\.dense|out_lin)",
    "intermediate": r"intermediate\.dense|ffn\.lin1",
    "output": r"output\.dense|ffn\.lin2",
}
LAYER = r"(?:encoder|transformer)\.layer\.(\d+)\."


def layer_of(name: str) -> int:
    """The layer that a parameter or module belongs to; -1 for the embeddings."""
    found = re.match(LAYER, name)
    return int(found[1]) if found else -1


def adapted(encoder: PreTrainedModel, tuning: dict) -> list[str]:
    """The full names of the modules with adapters."""
    pattern = re.compile(LAYER + "(?:" + "|".join(TARGETS[target] for target in tuning["lora_targets"]) + ")")
    return [
        name
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and pattern.fullmatch(name) and layer_of(name) >= tuning["freeze_layers"]
    ]


def tuned(encoder: PreTrainedModel, tuning: dict) -> nn.Module:
    """The encoder with `requires_grad` as the mode has it, for LoRA within peft."""
    mode, lowest = tuning["mode"], tuning["freeze_layers"]
    if mode == "lora":
        config = LoraConfig(
            r=tuning["lora_rank"],
            lora_alpha=tuning["lora_alpha"],
            lora_dropout=tuning["lora_dropout"],
            target_modules=adapted(encoder, tuning),
        )
        return get_peft_model(encoder, config)
    for name, parameter in encoder.named_parameters():
        layer = layer_of(name)
        if mode == "bitfit":
            parameter.requires_grad = name.endswith(".bias") and (lowest == 0 or layer >= lowest)
        else:
            parameter.requires_grad = layer >= lowest
    return encoder


def own_name(name: str) -> str:
    """As peft writes it to files."""
    return name.removeprefix("encoder.").replace(".default.", ".")


def train(folder: str, batch: str, out: str, criteria: int, pooling: str, tuning: dict, lambdas: list, optimizer: dict):
    """Gradients and ten steps."""
    torch.manual_seed(1)
    encoder, _ = encoder_from_folder(Path(folder))
    model = DualAgent(tuned(encoder, tuning), criteria, pooling).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    trainable = {own_name(name): each for name, each in model.named_parameters() if each.requires_grad}
    tensors = {name: parameter.detach().clone() for name, parameter in trainable.items()}
    inputs = Batch.of(load_file(batch))
    step = adamw(
        trainable, optimizer["learningRate"], optimizer["weightDecay"], tuple(optimizer["betas"]), optimizer["eps"]
    )
    curve = []
    for index in range(STEPS):
        step.zero_grad()
        loss = losses(model(inputs), inputs, *lambdas).total
        loss.backward()
        if index == 0:
            tensors |= {f"grad.{name}": parameter.grad.clone() for name, parameter in trainable.items()}
        curve.append(loss.item())
        nn.utils.clip_grad_norm_(trainable.values(), optimizer["maxGradNorm"])
        step.step()
    tensors |= {f"after.{name}": parameter.detach().clone() for name, parameter in trainable.items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out)
    return {"trainable": sorted(trainable), "losses": curve}


def hidden(folder: str, batch: str, out: str, adapter: str | None = None):
    """The last hidden state."""
    encoder, account = encoder_from_folder(Path(folder))
    if adapter:
        encoder = PeftModel.from_pretrained(encoder, adapter)
        names = {own_name(name) for name in encoder.state_dict() if "lora_" in name}
        stored = set(load_file(Path(adapter) / "adapter_model.safetensors"))
        account = {"missing_keys": sorted(names - stored), "unexpected_keys": sorted(stored - names)}
    inputs = load_file(batch)
    with torch.no_grad():
        state = encode(encoder.eval(), *(inputs[name].long() for name in ("ids", "mask", "types"))).last_hidden_state
    save_file({"hidden": state.contiguous()}, out)
    return {"missing": account["missing_keys"], "unexpected": account["unexpected_keys"]}


def refused(folder: str):
    """The message of AutoModel."""
    try:
        AutoModel.from_pretrained(folder)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def main() -> None:
    torch.set_num_threads(2)
    commands = {each.__name__: each for each in (train, hidden, refused)}
    json.dump([commands[name](**request) for name, request in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
