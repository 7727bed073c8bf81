"""Makes tests/golden/ops.safetensors + ops.json: small references for each op, forward and backward.

    python tests/peers/golden_ops.py            writes the files
    python tests/peers/golden_ops.py --check    computes them again and compares with the committed files

Inputs are float32; PyTorch computes in float64 and the results are rounded to float32, so a reference carries no
rounding of its own. Tensor `<case>.<name>`: inputs keep their name, `d<name>` is the gradient of that input for the
upstream gradient `dy`. ops.json tells what each case is, its attributes and which tensors go in and come out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from dual_agent import adamw, criteria_loss, pool, span_loss

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
LIMIT = 1e-6

Tensors = dict[str, Tensor]
stream = np.random.default_rng(2)


def normal(*shape: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """Float32 normal numbers."""
    return torch.from_numpy((shift + scale * stream.standard_normal(shape)).astype(np.float32))


class Book:
    """Collects the cases."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self.cases: list[dict] = []

    def add(self, name: str, op: str, note: str, inputs: Tensors, outputs: Tensors, **attributes: object) -> None:
        """Stores one case; float64 results are rounded to float32."""
        errors = [outputs.pop(key).item() for key in list(outputs) if key.endswith("float32Error")]
        if errors:
            attributes["float32Error"] = max(errors)
        for key, value in (inputs | outputs).items():
            stored = value.detach().to(torch.float32 if value.is_floating_point() else torch.int32)
            self.tensors[f"{name}.{key}"] = stored.contiguous().clone()
        self.cases.append(
            {"name": name, "op": op, "note": note, "inputs": list(inputs), "outputs": list(outputs)} | attributes
        )


def differentiate(function: Callable[..., Tensor], inputs: Tensors, wanted: tuple[str, ...], dy: Tensor) -> Tensors:
    """y = function(**inputs) in float64, and d<name> = the gradient of sum(y * dy) for each wanted input.

    `float32Error` is how far PyTorch in float32 is from that: the largest difference in any of these tensors, relative
    to the tensor's largest element.
    """
    exact, single = (_differentiate(function, inputs, wanted, dy, dtype) for dtype in (torch.float64, torch.float32))
    errors = [(single[name].double() - exact[name]).abs().max() / exact[name].abs().max() for name in exact]
    return exact | {"float32Error": torch.stack(errors).nan_to_num(0).max()}


def _differentiate(
    function: Callable[..., Tensor], inputs: Tensors, wanted: tuple[str, ...], dy: Tensor, dtype: torch.dtype
) -> Tensors:
    leaves = {
        name: value.to(dtype).requires_grad_(name in wanted) if value.is_floating_point() else value.long()
        for name, value in inputs.items()
    }
    y = function(**leaves)
    gradients = torch.autograd.grad(y, [leaves[name] for name in wanted], dy.to(dtype).reshape(y.shape))
    return {"y": y.detach()} | {f"d{name}": gradient for name, gradient in zip(wanted, gradients)}


def layer_norms(book: Book) -> None:
    """torch.nn.functional.layer_norm(x + residual)."""
    shapes = [(5, 32, 0.0), (3, 48, 0.0), (13, 128, 0.0), (2, 384, 0.0), (3, 768, 0.0), (4, 64, 20.0)]
    for rows, width, shift in shapes:
        for eps in (1e-12, 1e-5) if width == 48 else (1e-12,):
            inputs = {
                "x": normal(rows, width, shift=shift),
                "residual": normal(rows, width),
                "weight": normal(width, scale=0.2, shift=1.0),
                "bias": normal(width, scale=0.1),
            }
            dy = normal(rows, width)
            outputs = differentiate(
                lambda x, residual, weight, bias: F.layer_norm(x + residual, (width,), weight, bias, eps),
                inputs, ("x", "residual", "weight", "bias"), dy,
            )  # fmt: skip
            name = f"layer_norm_{width}_{eps:.0e}" + ("_shifted" if shift else "")
            note = "y = LayerNorm(x + residual) * weight + bias" + ("; mean far from 0" if shift else "")
            book.add(name, "layerNorm", note, inputs | {"dy": dy}, outputs, eps=eps)


def activations(book: Book) -> None:
    """GELU by erf and by tanh from -10 to 10, tanh also where it saturates."""
    x = torch.cat([torch.linspace(-10, 10, 257), torch.tensor([0.0, 1e-6, -1e-6, 1e-3, -1e-3])])
    saturated = torch.cat([x, torch.tensor([50.0, -50.0])])
    functions = {
        "gelu": (x, lambda x: F.gelu(x), "F.gelu(x): x * Phi(x) by erf"),
        "gelu_tanh": (x, lambda x: F.gelu(x, approximate="tanh"), 'F.gelu(x, approximate="tanh")'),
        "tanh": (saturated, torch.tanh, "torch.tanh(x), also at ±50"),
    }
    for name, (values, function, note) in functions.items():
        dy = normal(values.numel())
        outputs = differentiate(function, {"x": values}, ("x",), dy)
        book.add(name, name, note, {"x": values, "dy": dy}, outputs)


def rectified(book: Book) -> None:
    """ReLU, at 0 too, where PyTorch's derivative is 0."""
    x = torch.cat([torch.linspace(-10, 10, 41), torch.tensor([1e-6, -1e-6, -0.0])])
    dy = normal(x.numel())
    outputs = differentiate(lambda x: F.relu(x), {"x": x}, ("x",), dy)
    book.add("relu", "relu", "F.relu(x)", {"x": x, "dy": dy}, outputs)


def linears(book: Book) -> None:
    """torch.nn.functional.linear, sizes that are no multiple of a tile."""
    for rows, inner, outer in ((1, 7, 3), (13, 48, 33), (33, 65, 40)):
        inputs = {"x": normal(rows, inner), "weight": normal(outer, inner, scale=0.2), "bias": normal(outer)}
        dy = normal(rows, outer)
        outputs = differentiate(
            lambda x, weight, bias: F.linear(x, weight, bias), inputs, ("x", "weight", "bias"), dy
        )
        book.add(f"linear_{rows}_{inner}_{outer}", "linear", "y = x Wᵀ + b, W [N, K]", inputs | {"dy": dy}, outputs)


def embeddings(book: Book) -> None:
    """torch.nn.functional.embedding with padding_idx 0: repeated ids add up, row 0 gets no gradient."""
    ids = torch.tensor([[5, 1, 5, 5, 0, 10], [1, 0, 0, 7, 5, 10]])
    inputs = {"ids": ids, "weight": normal(11, 20)}
    dy = normal(2, 6, 20)
    outputs = differentiate(
        lambda ids, weight: F.embedding(ids, weight, padding_idx=0), inputs, ("weight",), dy
    )
    book.add("embedding", "embedding", "padding_idx 0", inputs | {"dy": dy}, outputs, paddingIndex=0)


def poolings(book: Book) -> None:
    """CLS and masked mean; row 1 is fully padded."""
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]])
    for pooling in ("cls", "mean"):
        inputs = {"x": normal(3, 5, 24), "mask": mask}
        dy = normal(3, 24)
        outputs = differentiate(lambda x, mask, kind=pooling: pool(x, mask, kind), inputs, ("x",), dy)
        book.add(f"pool_{pooling}", "pool", "row 1 is fully padded", inputs | {"dy": dy}, outputs, pooling=pooling)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, heads: int, empty: str) -> Tensor:
    """Softmax attention [B, T, H*D] with a key padding mask.

    A row without any real key is a matter of definition: transformers' eager attention adds the lowest finite number to
    every score, which yields the mean of V ("uniform"); a flash kernel more naturally yields 0 ("zero").
    """
    rows, tokens, width = q.shape
    q, k, v = (x.view(rows, tokens, heads, width // heads).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(2, 3) * (width // heads) ** -0.5
    bias = torch.zeros(rows, 1, 1, tokens, dtype=scores.dtype)
    bias = bias.masked_fill(mask.view(rows, 1, 1, tokens) == 0, torch.finfo(scores.dtype).min)
    y = (torch.softmax(scores + bias, dim=-1) @ v).transpose(1, 2).reshape(rows, tokens, width)
    if empty == "zero":
        y = y * (mask.sum(dim=1) > 0).view(rows, 1, 1)
    return y


def attentions(book: Book) -> None:
    """Head sizes 8 to 64, lengths around the tile edges, one fully masked row; scores up to some tens in `peaked`."""
    shapes = [
        ("attention_1", 1, 16, (1,), 1, 1.0),
        ("attention_d8", 2, 8, (5, 0, 3), 5, 1.0),
        ("attention_d16", 3, 16, (17, 4), 17, 1.0),
        ("attention_d32", 2, 32, (33, 20), 33, 1.0),
        ("attention_d64", 1, 64, (37,), 37, 1.0),
        ("attention_peaked", 2, 32, (9, 5), 9, 5.0),
    ]
    for name, heads, size, lengths, tokens, scale in shapes:
        rows = len(lengths)
        mask = (torch.arange(tokens) < torch.tensor(lengths).view(-1, 1)).int()
        inputs = {key: normal(rows, tokens, heads * size, scale=scale) for key in ("q", "k")}
        inputs |= {"v": normal(rows, tokens, heads * size), "mask": mask}
        dy = normal(rows, tokens, heads * size)
        outputs = {}
        for empty, prefix in (("zero", ""), ("uniform", "uniform.")) if 0 in lengths else (("zero", ""),):
            results = differentiate(
                lambda q, k, v, mask, kind=empty: attend(q, k, v, mask, heads, kind), inputs, ("q", "k", "v"), dy
            )
            outputs |= {prefix + key: value for key, value in results.items()}
        book.add(
            name, "attention", "q, k, v [B, T, H*D], scale 1/sqrt(D), key padding mask [B, T]",
            inputs | {"dy": dy}, outputs,
            heads=heads, headSize=size, fullyMaskedRows=[row for row, length in enumerate(lengths) if length == 0],
        )  # fmt: skip


def criteria_losses(book: Book) -> None:
    """BCE with logits up to ±80, weighted rows; the upstream gradient is 1."""
    logits = normal(4, 9, scale=3)
    logits[0, :6] = torch.tensor([80.0, -80.0, 80.0, -80.0, 0.0, 1e-4])
    labels = torch.from_numpy(stream.integers(0, 2, (4, 9)).astype(np.float32))
    labels[0, :6] = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
    for name, weight in (("bce", [1.0, 1, 0, 1]), ("bce_one_row", [0.0, 0, 1, 0]), ("bce_no_row", [0.0, 0, 0, 0])):
        inputs = {"logits": logits, "labels": labels, "sampleWeight": torch.tensor(weight)}
        outputs = differentiate(
            lambda logits, labels, sampleWeight: criteria_loss(logits, labels, sampleWeight), inputs, ("logits",),
            torch.ones(()),
        )  # fmt: skip
        note = "y = sum over weighted rows of BCE / (K * max(weighted rows, 1))"
        book.add(name, "criteriaLoss", note, inputs, outputs)


def span_losses(book: Book) -> None:
    """Start/end cross-entropy over real tokens; the upstream gradient is 1."""
    shapes = [
        ("span", (11, 7, 2), 11, 3.0),
        ("span_large", (9, 6), 9, 1e4),
        ("span_padded_row", (6, 0, 3), 6, 3.0),
        ("span_one_token", (1,), 1, 1.0),
        ("span_no_pair", (5, 3), 5, 1.0),
    ]
    criteria = 3
    for name, lengths, tokens, scale in shapes:
        rows = len(lengths)
        mask = (torch.arange(tokens) < torch.tensor(lengths).view(-1, 1)).int()
        start, end = (torch.zeros(rows, criteria, dtype=torch.int32) for _ in range(2))
        weight = torch.zeros(rows, criteria)
        for row, length in enumerate(lengths):
            if length == 0 or name == "span_no_pair":
                continue
            for criterion in range(criteria):
                weight[row, criterion] = float((row, criterion) != (0, 1))
                if criterion != 2 and length > 1:  # criterion 2 is a null span at CLS
                    first, last = sorted(stream.integers(1, length, 2))
                    start[row, criterion], end[row, criterion] = int(first), int(last)
        inputs = {
            "logits": normal(rows, tokens, 2 * criteria, scale=scale),
            "mask": mask,
            "start": start,
            "end": end,
            "weight": weight,
        }
        outputs = differentiate(span_loss, inputs, ("logits",), torch.ones(()))
        note = "logits [B, T, 2K]: column 2k start, 2k+1 end; y = mean over weighted pairs of (CE + CE) / 2"
        book.add(name, "spanLoss", note, inputs, outputs)


def optimizers(book: Book) -> None:
    """Three steps of torch.optim.AdamW on given gradients; zero, tiny and huge gradient elements."""
    for name, parameter, decay in (("adamw_decay", "w.weight", 0.01), ("adamw_no_decay", "w.bias", 0.0)):
        start = normal(67)
        gradients = normal(3, 67)
        gradients[:, :5] = torch.tensor([0.0, 1e-12, -1e-8, 1e4, -1e-4])
        leaf = torch.nn.Parameter(start.double())
        optimizer = adamw({parameter: leaf}, 1e-2, 0.01, (0.9, 0.999), 1e-8)
        history: dict[str, list[Tensor]] = {"parameter": [], "m": [], "v": []}
        for gradient, rate in zip(gradients, (1e-2, 5e-3, 2e-3)):
            for group in optimizer.param_groups:
                group["lr"] = rate
            leaf.grad = gradient.double()
            optimizer.step()
            history["parameter"].append(leaf.detach().clone())
            history["m"].append(optimizer.state[leaf]["exp_avg"].clone())
            history["v"].append(optimizer.state[leaf]["exp_avg_sq"].clone())
        outputs = {f"{key}s": torch.stack(values) for key, values in history.items()}
        book.add(
            name, "adamw", "row i of each output: after step i + 1 (bias correction counts from 1)",
            {"parameter": start, "gradients": gradients}, outputs,
            betas=[0.9, 0.999], eps=1e-8, weightDecay=decay, learningRates=[1e-2, 5e-3, 2e-3],
        )  # fmt: skip


def clippings(book: Book) -> None:
    """torch.nn.utils.clip_grad_norm_: one norm over all tensors, factor min(1, max / (norm + 1e-6))."""
    for name, scale, maximum in (("clip_large", 3.0, 1.0), ("clip_small", 1e-3, 1.0), ("clip_zero", 0.0, 1.0)):
        inputs = {"a": normal(7, 5, scale=scale), "b": normal(300, scale=scale), "c": normal(1, scale=scale)}
        leaves = [torch.nn.Parameter(torch.zeros_like(value, dtype=torch.float64)) for value in inputs.values()]
        for leaf, gradient in zip(leaves, inputs.values()):
            leaf.grad = gradient.double()
        norm = torch.nn.utils.clip_grad_norm_(leaves, maximum)
        outputs = {"norm": norm} | {f"clipped.{key}": leaf.grad for key, leaf in zip(inputs, leaves)}
        book.add(name, "clipGradNorm", "a, b, c are gradients", inputs, outputs, maxNorm=maximum)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed file, write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    book = Book()
    for section in (
        layer_norms, activations, linears, embeddings, poolings, attentions, criteria_losses, span_losses, optimizers,
        clippings, rectified,
    ):  # fmt: skip
        section(book)
    broken = [name for name, value in book.tensors.items() if not torch.isfinite(value.double()).all()]
    if broken:
        sys.exit(f"Expected finite numbers only but found NaN or infinity in {', '.join(broken)}")
    path = GOLDEN / "ops.safetensors"
    if arguments.check:
        stored = load_file(path)
        if stored.keys() != book.tensors.keys():
            sys.exit(f"The committed file holds other tensors: {sorted(stored.keys() ^ book.tensors.keys())}")
        for name, value in stored.items():
            if not torch.allclose(book.tensors[name].double(), value.double(), rtol=LIMIT, atol=LIMIT):
                sys.exit(f"{name}: the committed file differs; find out what changed.")
        print(f"ops: {len(stored)} tensors agree within {LIMIT}")
        return
    GOLDEN.mkdir(exist_ok=True)
    save_file(book.tensors, path)
    path.with_suffix(".json").write_text(json.dumps({"cases": book.cases}, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(book.cases)} cases, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
