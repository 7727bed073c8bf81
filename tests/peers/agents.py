"""What stands behind the encoder, in PyTorch: poolings, couplings, criteria heads, evidence heads and their losses.

    python tests/peers/agents.py FOLDER   reads FOLDER/cases.json and FOLDER/CASE.safetensors, writes FOLDER/CASE.out.safetensors

A case holds the parameters under their checkpoint names (`parameter.NAME`), the hidden states of two layers (`state.0`,
`state.1` [B, T, C]) and a batch. Written back are the logits, both losses and by autograd in float64 the gradient of every
parameter and state for the sum of both losses. Nothing here shares code with the kernels: modules of torch.nn, the package
pytorch-crf, and cross_entropy over spans that are listed one by one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

import golden_crf
from dual_agent import boundaries, pool, span_loss
from golden_spans import sentence_loss, span_grid_loss

ACTIVATIONS = {
    "gelu": F.gelu, "silu": F.silu, "relu": F.relu, "leakyrelu": F.leaky_relu, "mish": F.mish, "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}  # fmt: skip
EPSILON = 1e-5


class Agents:
    """The two agents of one case."""

    def __init__(self, case: dict, tensors: dict[str, Tensor]) -> None:
        self.case = case
        self.p = {k.removeprefix("parameter."): v for k, v in tensors.items() if k.startswith("parameter.")}
        self.states = [tensors["state.0"], tensors["state.1"]]
        self.t = tensors
        self.act = ACTIVATIONS[case["activation"]]

    def dense(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.p[f"{name}.weight"], self.p[f"{name}.bias"])

    def norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.p[f"{name}.weight"], self.p[f"{name}.bias"], EPSILON)

    def pooled(self, kind: str, states: list[Tensor], name: str) -> Tensor:
        """[B, C] of [B, T, C]."""
        mask, x = self.t["mask"], states[-1]
        if kind in ("cls", "mean"):
            return pool(x, mask, kind)
        # A text without tokens has no maximum and no attention: it is pooled to 0.
        filled = (mask.sum(dim=1, keepdim=True) > 0).to(x.dtype)
        mask = mask + (1 - filled)
        if kind == "max":
            return x.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(dim=1) * filled
        if kind == "attention":
            scores = self.dense(f"{name}.score", torch.tanh(self.dense(f"{name}.hidden", x))).squeeze(-1)
            weights = torch.softmax(scores.masked_fill(mask == 0, float("-inf")), dim=1)
            return torch.einsum("bt,btc->bc", weights, x) * filled
        weights = torch.softmax(self.p[f"{name}.mix"], dim=0)
        before = states[-2] if len(states) > 1 else x
        return pool(weights[0] * before + weights[1] * x, self.t["mask"], "mean")

    def combined(self, a: Tensor, b: Tensor) -> Tensor:
        method = self.case["coupling"]["method"]
        if method == "concat":
            return self.dense("coupling.projection", torch.cat([a, b], dim=-1))
        if method == "add":
            return a + b
        if method == "mean":
            return (a + b) / 2
        if method in ("weighted_sum", "weighted_mean"):
            w = self.p["coupling.weights"]
            w = torch.softmax(w, dim=0) if method == "weighted_mean" else w
            return w[0] * a + w[1] * b
        gate = torch.sigmoid(self.dense("coupling.gate", torch.cat([a, b], dim=-1)))
        return gate * a + (1 - gate) * b

    def seen(self) -> tuple[Tensor, Tensor]:
        """What criteria head and evidence head read."""
        tokens = self.states[-1]
        c = self.pooled(self.case["pooling"], self.states, "criteria_pooling")
        coupling = self.case["coupling"]
        if coupling is None:
            return c, tokens
        stream = self.act(self.dense("coupling.evidence", tokens))
        if coupling["method"] == "cross_attention":
            q, k, v = (self.dense(f"coupling.{n}", x) for n, x in (("query", c), ("key", stream), ("value", stream)))
            mask = self.t["mask"].bool().unsqueeze(1)
            attended = F.scaled_dot_product_attention(q.unsqueeze(1), k, v, attn_mask=mask).squeeze(1)
            z = self.norm("coupling.norm", c + self.dense("coupling.output", attended))
            return z, stream + z.unsqueeze(1)
        if coupling["poolBeforeCombination"]:
            z = self.combined(c, self.pooled(coupling["pooling"], [stream], "coupling.pooling"))
            return z, stream + z.unsqueeze(1)
        joint = self.combined(c.unsqueeze(1).expand_as(stream), stream)
        return self.pooled(coupling["pooling"], [joint], "coupling.pooling"), joint

    def criteria(self, x: Tensor) -> Tensor:
        kind, name = self.case["criteriaHead"], "criteria_head"
        if kind in ("linear", "multi_sample_dropout"):
            return self.dense(name, x)
        inner = self.act(self.dense(f"{name}.hidden", x))
        if kind == "gated":
            inner = inner * torch.sigmoid(self.dense(f"{name}.gate", x))
        if kind == "mlp_residual":
            inner = self.norm(f"{name}.norm", x + self.dense(f"{name}.back", inner))
        return self.dense(f"{name}.output", inner)

    def evidence(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and loss."""
        kind, name, t = self.case["evidenceHead"], "evidence_head", self.t
        tags, limits, weight = t["tags"].long(), t["limits"].long(), t["spanWeight"]
        if kind.startswith("start_end"):
            if kind == "start_end_linear":
                logits = self.dense(name, x)
            else:
                logits = self.dense(f"{name}.output", self.act(self.dense(f"{name}.hidden", x)))
            start, end = (share.to(logits.dtype) for share in boundaries(tags))
            return logits, span_loss(logits, t["mask"], start, end, weight)
        if kind == "biaffine":
            band = self.case["maxSpanTokens"]
            q = self.dense(f"{name}.form", self.act(self.dense(f"{name}.start", x)))
            e = self.act(self.dense(f"{name}.end", x))
            ends = self.dense(f"{name}.ends", x)
            texts, tokens, size = e.shape
            product = torch.einsum("bikd,bjd->bikj", q.view(texts, tokens, -1, size), e)
            product = product + ends[:, :, 0::2].unsqueeze(-1) + ends[:, :, 1::2].transpose(1, 2).unsqueeze(1)
            padded = F.pad(product, (0, band))
            index = torch.arange(tokens).view(-1, 1) + torch.arange(band)
            logits = padded.gather(3, index.view(1, tokens, 1, band).expand(texts, tokens, ends.shape[2] // 2, band))
            inside = (index < tokens).view(1, tokens, 1, band)
            logits = torch.where(inside, logits, 0.0).reshape(texts, tokens, -1)
            return logits, span_grid_loss(logits, tags, limits, weight, band)
        if kind == "bio_crf":
            emissions = self.dense(f"{name}.emission", x)
            return emissions, golden_crf.loss(emissions, self.p[f"{name}.crf"], tags, limits, weight)
        segments = t["sentences"].long()
        count = max(1, -(-x.shape[1] // 4))
        member = F.one_hot(segments.clamp(-1, count) + 1, count + 2)[:, :, 1:-1].to(x.dtype)  # [B, T, S]
        means = torch.einsum("bts,btc->bsc", member, x) / member.sum(1).clamp(min=1).unsqueeze(-1)
        logits = self.dense(f"{name}.output", self.act(self.dense(f"{name}.hidden", means)))
        return logits, sentence_loss(logits, segments, tags, weight)


def run(case: dict, stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Logits, losses and gradients of one case."""
    tensors = {name: value.double() for name, value in stored.items()}
    leaves = {name: tensors[name].requires_grad_() for name in tensors if name.startswith(("parameter.", "state."))}
    agents = Agents(case, tensors)
    c, tokens = agents.seen()
    criteria_logits = agents.criteria(c)
    evidence_logits, evidence = agents.evidence(tokens)
    labels, rows = tensors["labels"], tensors["sampleWeight"]
    per_row = F.binary_cross_entropy_with_logits(criteria_logits, labels, reduction="none").sum(dim=1)
    criteria = (per_row * rows).sum() / (labels.shape[1] * rows.sum())
    gradients = torch.autograd.grad(criteria + evidence, list(leaves.values()), allow_unused=True)
    out = {"criteriaLogits": criteria_logits, "evidenceLogits": evidence_logits, "losses": torch.stack([criteria, evidence])}
    for (name, leaf), gradient in zip(leaves.items(), gradients):
        out[f"d.{name}"] = torch.zeros_like(leaf) if gradient is None else gradient
    return {name: value.detach().float().contiguous() for name, value in out.items()}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for case in json.loads((folder / "cases.json").read_text()):
        results = run(case, load_file(folder / f"{case['name']}.safetensors"))
        save_file(results, folder / f"{case['name']}.out.safetensors")
