"""Makes tests/golden/head_ops.safetensors + head_ops.json: the ops that heads, poolings and couplings are made of.

    python tests/peers/golden_head_ops.py            writes the files
    python tests/peers/golden_head_ops.py --check    computes them again and compares with the committed files

The form is that of golden_ops.py: float32 inputs, float64 results, `d<name>` the gradient for the upstream `dy`. Texts are
of lengths with a fully padded one among them; widths are both multiples of 4 and not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from golden_ops import Book, Tensors, differentiate, normal, publish

# A comparison allows four times the error of PyTorch in float32; no case here needs more than the least that is allowed.
TOLERANCE = 1e-5

# Texts by their numbers of tokens, and the width: odd and even, one text of one token, more tokens than a workgroup.
SHAPES = (((5, 0, 3), 7, 13), ((6, 4), 6, 24), ((1,), 1, 5), ((70,), 70, 4))


def case(
    book: Book, name: str, op: str, note: str, function: Callable[..., Tensor], inputs: Tensors,
    wanted: tuple[str, ...] | None = None, **attributes: object,
) -> None:  # fmt: skip
    """Adds one case: y, and the gradients of `wanted` (all float inputs unless given) for a random upstream gradient."""
    wanted = wanted or tuple(key for key, value in inputs.items() if value.is_floating_point())
    dy = normal(*function(**inputs).shape)
    outputs = differentiate(function, inputs, wanted, dy)
    if outputs["float32Error"] > TOLERANCE / 4:
        sys.exit(f"{name}: PyTorch's own float32 is off by {outputs['float32Error']}: choose inputs that can be compared.")
    book.add(name, op, note, inputs | {"dy": dy}, outputs, **attributes)


def masks(lengths: tuple[int, ...], tokens: int) -> Tensor:
    """[B, T]: 1 for the first tokens of each text."""
    return (torch.arange(tokens) < torch.tensor(lengths).view(-1, 1)).int()


def activations(book: Book) -> None:
    """Every activation from -10 to 10, where it is nearly flat or zero, and at ±80."""
    x = torch.cat([torch.linspace(-10, 10, 81), torch.tensor([0.0, -0.0, 1e-6, -1e-6, 1e-3, -1e-3])])
    far = torch.tensor([80.0, -80.0, 40.0, -40.0, 20.0, -20.0, 0.5, -0.5])
    functions = {
        "gelu": F.gelu,
        "silu": F.silu,
        "relu": F.relu,
        "leakyrelu": lambda x: F.leaky_relu(x, 0.01),
        "mish": F.mish,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
    }
    for name, function in functions.items():
        for suffix, values in (("", x), ("_far", far)):
            case(
                book, f"activation_{name}{suffix}", "activation", f"torch's {name}", lambda x: function(x),
                {"x": values}, activation=name,
            )  # fmt: skip


def combinations(book: Book) -> None:
    """Sums, products, gates; gates from shut to open."""
    for shape in ((3, 5, 4), (3, 7), (1, 1)):

        def pair() -> Tensors:
            return {"a": normal(*shape), "b": normal(*shape)}

        name = "x".join(map(str, shape))
        case(book, f"add_{name}", "add", "a + b", lambda a, b: a + b, pair())
        case(book, f"multiply_{name}", "multiply", "a * b", lambda a, b: a * b, pair())
        case(book, f"scale_{name}", "scale", "factor * x", lambda x: -0.7 * x, {"x": normal(*shape)}, factor=-0.7)
        gates = {"z": normal(*shape, scale=4)}
        if gates["z"].numel() > 2:
            gates["z"].view(-1)[:2] = torch.tensor([80.0, -80.0])
        case(
            book, f"gate_{name}", "gate", "sigmoid(z) * a + (1 - sigmoid(z)) * b",
            lambda a, b, z: torch.sigmoid(z) * a + torch.sigmoid(-z) * b, pair() | gates,
        )  # fmt: skip


def columns(book: Book) -> None:
    """torch.cat and torch.narrow along the last dimension."""
    for name, rows, widths in (("odd", (3, 5), (3, 4, 6)), ("even", (5,), (8, 4)), ("many", (1,), (1, 2, 3, 4, 5))):
        inputs = {f"x{i}": normal(*rows, width) for i, width in enumerate(widths)}
        case(
            book, f"concat_{name}", "concat", "torch.cat(xs, -1)", lambda **xs: torch.cat(list(xs.values()), -1),
            inputs,
        )  # fmt: skip
    for shape, start, count in (((3, 5, 12), 4, 8), ((4, 13), 3, 6), ((1, 1), 0, 1), ((3, 8), 0, 5), ((2, 9), 8, 1)):
        case(
            book, f"slice_{shape[-1]}_{start}_{count}", "slice", "x.narrow(-1, start, count)",
            lambda x: x.narrow(-1, start, count), {"x": normal(*shape)}, start=start, count=count,
        )  # fmt: skip


def broadcasts(book: Book) -> None:
    """One vector per text for each of its tokens."""
    for rows, tokens, width in ((3, 7, 13), (2, 5, 24), (1, 1, 3), (1, 70, 4)):
        case(
            book, f"broadcast_tokens_{rows}_{tokens}_{width}", "broadcastTokens", "x[:, None].expand(-1, T, -1)",
            lambda x: x[:, None].expand(-1, tokens, -1), {"x": normal(rows, width)}, tokens=tokens,
        )  # fmt: skip


def weighted_sums(book: Book) -> None:
    """Learned scalars, raw and by softmax; 13 tensors as the states of a BERT, and more elements than one partial sum."""
    for count, shape in ((2, (3, 5, 24)), (3, (2, 7, 13)), (1, (1, 1)), (13, (1, 3, 8)), (1, (1, 2, 1025))):
        for softmax in (False, True):
            inputs = {f"x{i}": normal(*shape) for i in range(count)} | {"weights": normal(count)}

            def mix(weights: Tensor, **xs: Tensor) -> Tensor:
                factors = torch.softmax(weights, 0) if softmax else weights
                return sum(factor * x for factor, x in zip(factors, xs.values()))

            # The one weight of a softmax over one has no gradient.
            case(
                book, f"weighted_{'mean' if softmax else 'sum'}_{count}_{shape[-1]}", "weightedSum",
                "softmax(weights) or weights", mix, inputs, softmax=softmax,
            )  # fmt: skip


def max_pools(book: Book) -> None:
    """The largest real token; equal ones share nothing, the first has the gradient; a fully padded row gives 0."""

    def pool(x: Tensor, mask: Tensor) -> Tensor:
        values = x.masked_fill(mask[..., None] == 0, -torch.inf).max(dim=1).values
        return torch.where(mask.any(dim=1)[:, None], values, 0.0)

    for lengths, tokens, width in SHAPES:
        x = normal(len(lengths), tokens, width) - 2
        if tokens > 2:
            x[0, 1:3] = x[0, 1:3].round()
            x[0, 2, :3] = x[0, 1, :3] = 5.0
        name = f"pool_max_{len(lengths)}_{tokens}_{width}"
        case(book, name, "pool", "ties go to the first", pool, {"x": x, "mask": masks(lengths, tokens)}, pooling="max")
    inputs = {"x": normal(2, 5, 7), "mask": masks((5, 0), 5)}
    for pooling in ("cls", "mean"):

        def of(x: Tensor, mask: Tensor) -> Tensor:
            weights = mask[..., None].to(x.dtype)
            return x[:, 0] if pooling == "cls" else (x * weights).sum(1) / weights.sum(1).clamp(min=1)

        case(book, f"pool_{pooling}_7", "pool", "a width that is no multiple of 4", of, inputs, pooling=pooling)


def probabilities(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax of [B, T] over real tokens; 0 where there is none."""
    lowest = torch.finfo(scores.dtype).min
    return torch.softmax(scores.masked_fill(mask == 0, lowest), dim=1) * mask


def attention_pools(book: Book) -> None:
    """Scores of about 1, and of some tens, close together and apart."""
    for lengths, tokens, width in SHAPES:
        for shift, spread in ((0.0, 1.0), (60.0, 4.0)) if width == 13 else ((0.0, 1.0),):
            inputs = {
                "x": normal(len(lengths), tokens, width),
                "scores": normal(len(lengths), tokens, 1, scale=spread, shift=shift),
                "mask": masks(lengths, tokens),
            }
            case(
                book, f"attention_pool_{len(lengths)}_{tokens}_{width}" + ("_large" if shift else ""),
                "attentionPool", "softmax of scores over real tokens",
                lambda x, scores, mask: (probabilities(scores[..., 0], mask)[..., None] * x).sum(1), inputs,
            )  # fmt: skip


def token_attentions(book: Book) -> None:
    """One query per text; keys wider than a workgroup, values of another width than keys."""
    for lengths, tokens, width in (*SHAPES, ((4, 2), 4, 150)):
        rows = len(lengths)
        inputs = {
            "query": normal(rows, width),
            "keys": normal(rows, tokens, width),
            "values": normal(rows, tokens, 6 if width == 13 else width),
            "mask": masks(lengths, tokens),
        }
        case(
            book, f"token_attention_{rows}_{tokens}_{width}", "tokenAttention", "scale 1/sqrt(C)",
            lambda query, keys, values, mask: (
                probabilities((keys @ query[..., None])[..., 0] * query.shape[1] ** -0.5, mask)[..., None] * values
            ).sum(1), inputs,
        )  # fmt: skip


def segment_means(book: Book) -> None:
    """Sentences: some tokens of none (-1), a segment without tokens, a text without segments, a number beyond the last."""
    rows = {
        "odd": ([[-1, 0, 0, 1, 1, 1, -1], [-1] * 7, [-1, 0, 2, 2, 3, 4, -1]], 13, 4),
        "even": ([[0, 0, 1, -1, 1, 2]], 8, 5),
        "one": ([[0]], 3, 1),
        "long": ([[-1] + [i // 9 for i in range(68)] + [-1]], 4, 8),
    }
    for name, (segments, width, count) in rows.items():
        indices = torch.tensor(segments, dtype=torch.int32)

        def mean(x: Tensor, segments: Tensor) -> Tensor:
            member = (segments[:, None] == torch.arange(count)[:, None]).to(x.dtype)  # [B, S, T]
            return member @ x / member.sum(2, keepdim=True).clamp(min=1)

        inputs = {"x": normal(*indices.shape, width), "segments": indices}
        case(book, f"segment_mean_{name}", "segmentMean", "-1: no segment", mean, inputs, count=count)


def token_products(book: Book) -> None:
    """Every token against one vector of its text, and the tokens' sum by weights, of which some are 0."""
    for rows, tokens, width in ((3, 7, 13), (2, 6, 24), (1, 1, 1), (1, 70, 4)):
        size = f"{rows}_{tokens}_{width}"
        case(
            book, f"token_dot_{size}", "tokenDot", "scale * q·k",
            lambda query, keys: -1.5 * keys @ query[..., None],
            {"query": normal(rows, width), "keys": normal(rows, tokens, width)}, scale=-1.5,
        )  # fmt: skip
        weights = normal(rows, tokens, 1)
        weights[:, 1::3] = 0
        case(
            book, f"token_sum_{size}", "tokenSum", "(weights * x).sum(1)", lambda x, weights: (weights * x).sum(1),
            {"x": normal(rows, tokens, width), "weights": weights},
        )  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    book = Book()
    for section in (
        activations, combinations, columns, broadcasts, weighted_sums, max_pools, attention_pools, token_attentions,
        segment_means, token_products,
    ):  # fmt: skip
        section(book)
    publish(book, "head_ops")


if __name__ == "__main__":
    main()
