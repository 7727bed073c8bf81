"""Ops of an encoder layer in float32: what the engine's ops with storage in 16 bits must come near.

    python tests/peers/half_ops.py < cases.json > answers.json

A case is {"op", "attributes", "inputs": {name: {"shape", "data"}}}, its answer {name: [...]}: "y", and "d<name>" of every
input but "dy" for the upstream gradient dy. Ops:

linear:      y = x·weightᵀ + bias
attention:   qkv = x·weightᵀ + bias; y = (softmax(q·kᵀ / √D)·v)·outᵀ per head, keys where mask is 0 left out
gelu_erf, gelu_tanh, relu: y = f(x·weightᵀ + bias)·outputWeightᵀ + outputBias
layer_norm:  y = LayerNorm(residual + x)·gamma + beta
activate:    y = gelu(x·weightᵀ + bias)
"""

from __future__ import annotations

import json
import sys

import torch
from torch import Tensor
from torch.nn import functional as F

ACTIVATIONS = {
    "gelu_erf": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
}


def attention(t: dict[str, Tensor], heads: int) -> Tensor:
    batch, length, hidden = t["x"].shape
    qkv = F.linear(t["x"], t["weight"], t["bias"]).view(batch, length, 3, heads, hidden // heads)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    keep = t["mask"].bool()[:, None, None, :]
    context = F.scaled_dot_product_attention(query, key, value, attn_mask=keep)
    return F.linear(context.transpose(1, 2).reshape(batch, length, hidden), t["out"])


def run(op: str, t: dict[str, Tensor], attributes: dict) -> Tensor:
    if op == "linear":
        return F.linear(t["x"], t["weight"], t["bias"])
    if op == "activate":
        return F.gelu(F.linear(t["x"], t["weight"], t["bias"]))
    if op == "attention":
        return attention(t, attributes["heads"])
    if op == "layer_norm":
        return F.layer_norm(t["x"] + t["residual"], t["x"].shape[-1:], t["gamma"], t["beta"], 1e-12)
    hidden = ACTIVATIONS[op](F.linear(t["x"], t["weight"], t["bias"]))
    return F.linear(hidden, t["outputWeight"], t["outputBias"])


def answer(case: dict) -> dict[str, list[float]]:
    inputs = {
        name: torch.tensor(value["data"], dtype=torch.float32).view(value["shape"])
        for name, value in case["inputs"].items()
    }
    learned = {name: tensor.requires_grad_() for name, tensor in inputs.items() if name not in ("dy", "mask")}
    y = run(case["op"], inputs, case["attributes"])
    y.backward(inputs["dy"])
    gradients = {f"d{name}": tensor.grad.flatten().tolist() for name, tensor in learned.items()}
    return {"y": y.flatten().tolist()} | gradients


json.dump([answer(case) for case in json.load(sys.stdin)], sys.stdout)
