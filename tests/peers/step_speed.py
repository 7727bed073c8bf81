"""The step benchmark's model in PyTorch, as an engine that takes turns with the others (bench/peers/protocol.ts).

    python tests/peers/step_speed.py SHAPE train|forward [--device cpu|cuda] [--threads 2]
    python tests/peers/step_speed.py SHAPE export FILE.onnx

SHAPE is the JSON of bench/peers/encoder_model.ts, whose weights and batch this file makes again: transformers' BertModel
with PyTorch's fused attention, both heads on it, float32 throughout (no TF32), and the fused AdamW. A line on stdin is a
number of steps; the answer has the loss of the last, the milliseconds and the peak memory. `export` writes the forward
pass with its losses as ONNX: ids [B, T] → criteria_logits [B, K], evidence_logits [B, T, 2K], loss [].
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel

from dual_agent import DualAgent, adamw


def mixed(values: np.ndarray) -> np.ndarray:
    """32 mixed bits of each number: MurmurHash3's finalizer."""
    x = values.astype(np.uint32)
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def name_seed(name: str) -> int:
    """FNV-1a of a name."""
    hashed = 0x811C9DC5
    for character in name:
        hashed = ((hashed ^ ord(character)) * 0x01000193) & 0xFFFFFFFF
    return hashed


def weights(name: str, shape: torch.Size) -> Tensor:
    """The elements of a parameter, bit by bit those of encoder_model.ts."""
    places = np.arange(shape.numel(), dtype=np.uint64) + np.uint64(name_seed(name))
    shares = (mixed(places & np.uint64(0xFFFFFFFF)) >> 8).astype(np.float64) / 2**24 - 0.5
    centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
    return torch.from_numpy((centre + 0.16 * shares).astype(np.float32)).reshape(shape)


class Objective(nn.Module):
    """The two agents with their joint loss on the one batch."""

    def __init__(self, shape: dict):
        super().__init__()
        config = AutoConfig.for_model(
            "bert",
            vocab_size=shape["vocab"],
            hidden_size=shape["hidden"],
            num_hidden_layers=shape["layers"],
            num_attention_heads=shape["heads"],
            intermediate_size=shape["ffn"],
            max_position_embeddings=max(512, shape["length"]),
            hidden_act="gelu",
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            layer_norm_eps=1e-12,
        )
        encoder = AutoModel.from_config(config, attn_implementation="sdpa", add_pooling_layer=False)
        self.agent = DualAgent(encoder, shape["criteria"], "cls")
        with torch.no_grad():
            for name, parameter in self.agent.canonical_parameters().items():
                parameter.copy_(weights(name, parameter.shape))
        batch, length, criteria = shape["batch"], shape["length"], shape["criteria"]
        pairs = np.arange(batch * criteria)
        starts = 1 + mixed(2_000_000 + pairs) % (length - 1)
        ends = np.minimum(length - 1, starts + mixed(3_000_000 + pairs) % 4)
        labels = mixed(1_000_000 + pairs) % 2
        ids = 1 + mixed(np.arange(batch * length)) % (shape["vocab"] - 1)
        self.register_buffer("ids", torch.from_numpy(ids.astype(np.int64)).reshape(batch, length))
        self.register_buffer("labels", torch.from_numpy(labels.astype(np.float32)).reshape(batch, criteria))
        boundaries = np.stack([starts, ends], axis=-1).astype(np.int64).reshape(batch, 2 * criteria)
        self.register_buffer("boundaries", torch.from_numpy(boundaries))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        last = self.agent.encoder(input_ids=ids).last_hidden_state
        criteria_logits = self.agent.criteria_head(last[:, 0])
        evidence_logits = self.agent.evidence_head(last)  # [B, T, 2K]
        criteria_loss = F.binary_cross_entropy_with_logits(criteria_logits, self.labels)
        span_loss = F.cross_entropy(evidence_logits, self.boundaries)  # the classes are the tokens, axis 1
        return criteria_logits, evidence_logits, criteria_loss + span_loss


def peak_resident_bytes() -> int:
    """Largest resident set of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def cpu_milliseconds() -> float:
    """CPU time of this process, all threads together."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return 1e3 * (used.ru_utime + used.ru_stime)


def serve(objective: Objective, mode: str, device: str) -> None:
    """Answers every number of steps on stdin until it ends."""
    objective.to(device)
    if mode == "train":
        parameters = objective.agent.canonical_parameters()
        optimizer = adamw(parameters, learning_rate=1e-4, weight_decay=0.01, betas=(0.9, 0.999), eps=1e-8, fused=True)

    def step() -> Tensor:
        if mode == "forward":
            with torch.inference_mode():
                return objective(objective.ids)[2]
        loss = objective(objective.ids)[2]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(json.dumps({"device": name}), flush=True)
    for line in sys.stdin:
        start, before = time.perf_counter(), cpu_milliseconds()
        loss = None
        for _ in range(int(line)):
            loss = step()
        value = loss.item()  # waits for a GPU
        if device == "cuda":
            torch.cuda.synchronize()
        milliseconds = 1e3 * (time.perf_counter() - start)
        cpu = cpu_milliseconds() - before
        allocated = torch.cuda.max_memory_allocated() if device == "cuda" else 0
        answer = {
            "loss": value,
            "milliseconds": milliseconds,
            "cpuMilliseconds": cpu,
            "peakBytes": peak_resident_bytes(),
            "gpuBytes": allocated,
        }
        print(json.dumps(answer), flush=True)


def export(objective: Objective, path: str) -> None:
    """Writes the forward pass as ONNX."""
    torch.onnx.export(
        objective.eval(),
        (objective.ids,),
        path,
        input_names=["ids"],
        output_names=["criteria_logits", "evidence_logits", "loss"],
        external_data=False,
        verbose=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", type=json.loads)
    parser.add_argument("mode", choices=("train", "forward", "export"))
    parser.add_argument("file", nargs="?")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_float32_matmul_precision("highest")
    torch.manual_seed(0)
    objective = Objective(arguments.shape)
    if arguments.mode != "export":
        serve(objective, arguments.mode, arguments.device)
    elif arguments.file:
        export(objective, arguments.file)
    else:
        parser.error("export needs a FILE")


if __name__ == "__main__":
    main()
