"""Makes tests/golden/losses.safetensors + losses.json: the criteria losses and their derivatives by PyTorch autograd.

    python tests/peers/golden_losses.py            writes the files
    python tests/peers/golden_losses.py --check    computes them again and compares with the committed files

Built from torch.nn.functional.logsigmoid and powers alone, in float64, so that neither value nor derivative shares a
formula with the kernel. Where PyTorch has the loss itself (`binary_cross_entropy_with_logits` with `pos_weight`), the two
are compared before anything is written. The format is that of golden_ops.py.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from golden_ops import Book, differentiate, normal, publish, stream

CRITERIA = 9


def loss(
    logits: Tensor, labels: Tensor, sampleWeight: Tensor, positiveWeight: Tensor, gamma: Tensor, *,
    alpha: float, smoothing: float, base: float,
) -> Tensor:  # fmt: skip
    """Sum over weighted rows; `gamma` [K] is the focusing factor of each class, `base` the one that was asked for."""
    target = labels * (1 - smoothing) + smoothing / 2
    log_p, log_q = F.logsigmoid(logits), F.logsigmoid(-logits)

    def part(power: Tensor) -> Tensor:
        # exp(γ log q) in place of q**γ: the derivative of 0**γ is NaN.
        positive = positiveWeight * target * torch.exp(power * log_q) * -log_p
        return positive + (1 - target) * torch.exp(power * log_p) * -log_q

    weight = gamma / base if base else torch.ones_like(gamma)
    items = alpha * part(torch.zeros_like(gamma)) + (1 - alpha) * weight * part(gamma)
    return (items * sampleWeight[:, None]).sum() / (CRITERIA * sampleWeight.sum().clamp(min=1))


def check_bce(inputs: dict[str, Tensor]) -> None:
    """The formula above, with alpha 1, is PyTorch's own loss."""
    double = {name: value.double() for name, value in inputs.items()}
    ours = loss(**double, alpha=1.0, smoothing=0.0, base=0.0)
    theirs = F.binary_cross_entropy_with_logits(
        double["logits"], double["labels"], double["sampleWeight"][:, None].expand(-1, CRITERIA), reduction="sum",
        pos_weight=double["positiveWeight"],
    ) / (CRITERIA * double["sampleWeight"].sum())  # fmt: skip
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=0), (ours, theirs)


def criteria_losses(book: Book) -> None:
    """Every form of the criteria loss, with logits up to ±80."""
    ones = torch.ones(CRITERIA)
    weights = torch.linspace(0.25, 12.0, CRITERIA)
    confidence = torch.linspace(0.0, 1.0, CRITERIA)
    forms = {
        "weighted_bce": dict(alpha=1.0, gamma=0.0, smoothing=0.0, positive=weights),
        "smoothed_bce": dict(alpha=1.0, gamma=0.0, smoothing=0.2, positive=ones),
        "focal_1": dict(alpha=0.0, gamma=1.0, smoothing=0.0, positive=ones),
        "focal_2": dict(alpha=0.0, gamma=2.0, smoothing=0.0, positive=ones),
        "focal_5_weighted_smoothed": dict(alpha=0.0, gamma=5.0, smoothing=0.1, positive=weights),
        "hybrid": dict(alpha=0.3, gamma=2.5, smoothing=0.05, positive=weights),
        "adaptive_focal": dict(alpha=0.0, gamma=2.0, smoothing=0.0, positive=ones, confidence=confidence),
        "adaptive_focal_smoothed": dict(alpha=0.0, gamma=1.5, smoothing=0.1, positive=weights, confidence=confidence),
    }
    for name, form in forms.items():
        logits = normal(5, CRITERIA, scale=3)
        logits[0, :6] = torch.tensor([80.0, -80.0, 80.0, -80.0, 0.0, 1e-4])
        labels = torch.from_numpy(stream.integers(0, 2, (5, CRITERIA))).float()
        labels[0, :6] = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
        gamma = form["gamma"] * (2 - form["confidence"]) if "confidence" in form else form["gamma"] * ones
        inputs = {
            "logits": logits, "labels": labels, "sampleWeight": torch.tensor([1.0, 1, 0, 1, 1]),
            "positiveWeight": form["positive"], "gamma": gamma,
        }  # fmt: skip
        check_bce(inputs)
        function = partial(loss, alpha=form["alpha"], smoothing=form["smoothing"], base=form["gamma"])
        outputs = differentiate(function, inputs, ("logits",), torch.ones(()))
        stored = inputs | ({"confidence": form["confidence"]} if "confidence" in form else {})
        del stored["gamma"]
        attributes = {key: form[key] for key in ("alpha", "gamma", "smoothing")}
        book.add(name, "criteriaLoss", "logits up to ±80; row 2 has no weight", stored, outputs, **attributes)


if __name__ == "__main__":
    book = Book()
    criteria_losses(book)
    publish(book, "losses")
