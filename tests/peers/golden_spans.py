"""Makes tests/golden/spans.safetensors + spans.json: span scores, the losses against several gold spans, the best spans.

    python tests/peers/golden_spans.py            writes the files
    python tests/peers/golden_spans.py --check    computes them again and compares with the committed files

Losses are `torch.nn.functional.cross_entropy` with class probabilities and `binary_cross_entropy_with_logits`, row by row
over the spans that exist; the best spans are found by trying them all. The format is that of golden_ops.py.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from golden_ops import Book, differentiate, normal, publish, stream

CRITERIA = 3


def spans_of(tags: list[int]) -> list[tuple[int, int]]:
    """First and last token of every gold span: a B and the I's behind it."""
    spans = []
    for start, tag in enumerate(tags):
        if tag == 1:
            end = start
            while end + 1 < len(tags) and tags[end + 1] == 2:
                end += 1
            spans.append((start, end))
    return spans


def gold(lengths: tuple[int, ...], tokens: int) -> Tensor:
    """Tags [B, T, K]: criterion 0 has no span, 1 has one where there is room, 2 has several, neighbours among them."""
    tags = torch.zeros(len(lengths), tokens, CRITERIA, dtype=torch.int32)
    for text, length in enumerate(lengths):
        if length > 3:
            start = int(stream.integers(1, length - 2))
            end = int(stream.integers(start, length - 1))
            tags[text, start, 1] = 1
            tags[text, start + 1 : end + 1, 1] = 2
        for start in range(1, length - 1, 3):
            tags[text, start, 2] = 1
            if stream.integers(0, 2) and start + 1 < length - 1:
                tags[text, start + 1, 2] = 2
    return tags


def inputs_of(lengths: tuple[int, ...], tokens: int) -> dict[str, Tensor]:
    """Tags, limits and weights; text 0 has no weight for criterion 1."""
    weight = torch.ones(len(lengths), CRITERIA)
    weight[0, 1] = 0
    weight[[length == 0 for length in lengths]] = 0
    return {"tags": gold(lengths, tokens), "limits": torch.tensor(lengths), "weight": weight}


def entropy(logits: Tensor, targets: list[int]) -> Tensor:
    """Cross-entropy of one row whose targets share the probability."""
    share = torch.zeros_like(logits)
    for target in targets:
        share[target] += 1 / len(targets)
    return F.cross_entropy(logits[None], share[None])


def boundary_loss(logits: Tensor, tags: Tensor, limits: Tensor, weight: Tensor) -> Tensor:
    """The mean over weighted pairs of the mean of both boundaries."""
    total = logits.sum() * 0
    for text, criterion in weight.nonzero().tolist():
        length = int(limits[text])
        spans = spans_of(tags[text, :length, criterion].tolist()) or [(0, 0)]
        for boundary in (0, 1):
            row = logits[text, :length, 2 * criterion + boundary]
            total = total + weight[text, criterion] * entropy(row, [span[boundary] for span in spans]) / 2
    return total / weight.sum().clamp(min=1)


def span_grid_loss(scores: Tensor, tags: Tensor, limits: Tensor, weight: Tensor, band: int) -> Tensor:
    """One softmax over all spans of a text; scores [B, T, K·band]."""
    total = scores.sum() * 0
    for text, criterion in weight.nonzero().tolist():
        length = int(limits[text])
        places = [(i, l) for i in range(length) for l in range(band) if i + l < length]
        row = torch.stack([scores[text, i, criterion * band + l] for i, l in places])
        spans = spans_of(tags[text, :length, criterion].tolist()) or [(0, 0)]
        targets = [places.index((start, min(end - start, band - 1))) for start, end in spans]
        total = total + weight[text, criterion] * entropy(row, targets)
    return total / weight.sum().clamp(min=1)


def sentence_loss(logits: Tensor, segments: Tensor, tags: Tensor, weight: Tensor) -> Tensor:
    """Mean BCE over the sentences of each weighted pair; logits [B, S, K]."""
    total = logits.sum() * 0
    for text, criterion in weight.nonzero().tolist():
        present = sorted({s for s in segments[text].tolist() if 0 <= s < logits.shape[1]})
        labels = [bool((tags[text, :, criterion][segments[text] == s] > 0).any()) for s in present]
        row = logits[text, present, criterion]
        if present:
            loss = F.binary_cross_entropy_with_logits(row, torch.tensor(labels, dtype=row.dtype))
            total = total + weight[text, criterion] * loss
    return total / weight.sum().clamp(min=1)


def band_scores(q: Tensor, e: Tensor, ends: Tensor, band: int) -> Tensor:
    """[B, T, K·band]; 0 where the span would leave the row."""
    texts, tokens, size = e.shape
    criteria = ends.shape[2] // 2
    product = torch.einsum("bikd,bjd->bikj", q.view(texts, tokens, criteria, size), e)
    product = product + ends[:, :, 0::2].unsqueeze(-1) + ends[:, :, 1::2].transpose(1, 2).unsqueeze(1)
    rows = [
        torch.stack(
            [product[:, i, :, i + l] if i + l < tokens else torch.zeros_like(product[:, i, :, 0]) for l in range(band)], -1
        )
        for i in range(tokens)
    ]
    return torch.stack(rows, 1).reshape(texts, tokens, criteria * band)


def best_spans(score, first: int, end: int, band: int, count: int) -> list[tuple[int, int, float]]:
    """Greedy: the best span that touches none chosen before; earlier start, then shorter, among equals."""
    chosen: list[tuple[int, int, float]] = []
    while len(chosen) < count:
        free = [
            (-score(i, j), i, j)
            for i in range(first, end)
            for j in range(i, min(end, i + band))
            if all(j < start or i > last for start, last, _ in chosen)
        ]
        if not free:
            break
        value, i, j = min(free)
        chosen.append((i, j, -value))
    return chosen


CASES = [("plain", (11, 7, 2), 11, 4), ("empty_row", (6, 0, 9), 9, 3), ("wide", (40, 33), 40, 16), ("band_1", (5, 4), 5, 1)]


def losses(book: Book) -> None:
    """Boundary, span and sentence losses."""
    for name, lengths, tokens, band in CASES:
        targets = inputs_of(lengths, tokens)
        scale = 30.0 if name == "wide" else 3.0
        inputs = {"logits": normal(len(lengths), tokens, 2 * CRITERIA, scale=scale)} | targets
        book.add(
            f"boundary_{name}", "boundaryLoss", "several gold spans or none", inputs,
            differentiate(boundary_loss, inputs, ("logits",), torch.ones(())),
        )  # fmt: skip
        inputs = {"logits": normal(len(lengths), tokens, CRITERIA * band, scale=scale)} | targets
        outputs = differentiate(
            lambda logits, tags, limits, weight: span_grid_loss(logits, tags, limits, weight, band), inputs, ("logits",),
            torch.ones(()),
        )  # fmt: skip
        book.add(f"grid_{name}", "spanGridLoss", "one softmax over all spans", inputs, outputs)
        segments = torch.full((len(lengths), tokens), -1, dtype=torch.int32)
        for text, length in enumerate(lengths):
            for token in range(1, length - 1):
                segments[text, token] = (token - 1) // 3
        inputs = {"logits": normal(len(lengths), 4, CRITERIA, scale=scale), "segments": segments}
        inputs |= {"tags": targets["tags"], "weight": targets["weight"]}
        book.add(
            f"sentence_{name}", "sentenceLoss", "three tokens a sentence; what lies past the fourth is left out", inputs,
            differentiate(sentence_loss, inputs, ("logits",), torch.ones(())),
        )  # fmt: skip


def scores(book: Book) -> None:
    """The biaffine band."""
    for texts, tokens, size, band in ((2, 9, 8, 4), (1, 5, 12, 7), (3, 1, 4, 2)):
        inputs = {
            "q": normal(texts, tokens, CRITERIA * size), "e": normal(texts, tokens, size),
            "ends": normal(texts, tokens, 2 * CRITERIA),
        }  # fmt: skip
        dy = normal(texts, tokens, CRITERIA * band)
        for row in range(tokens):  # what is past the row has no derivative
            dy.view(texts, tokens, CRITERIA, band)[:, row, :, max(0, tokens - row) :] = 0
        outputs = differentiate(
            lambda q, e, ends: band_scores(q, e, ends, band), inputs, ("q", "e", "ends"), dy
        )
        book.add(f"band_{texts}_{tokens}_{size}", "bandScores", "", inputs | {"dy": dy}, outputs, band=band)


def decoded(book: Book) -> None:
    """The best spans; halves make equal scores."""
    for name, lengths, tokens, band in CASES:
        for grid in (False, True):
            count, begins = 4, torch.tensor([1] + [min(3, length) for length in lengths[1:]])
            logits = (normal(len(lengths), tokens, CRITERIA * band if grid else 2 * CRITERIA) * 2).round() / 2
            spans = torch.zeros(len(lengths), CRITERIA, 1 + 3 * count)
            for text, length in enumerate(lengths):
                for k in range(CRITERIA):
                    def score(i: int, j: int) -> float:
                        if grid:
                            return float(logits[text, i, k * band + j - i])
                        return float(logits[text, i, 2 * k] + logits[text, j, 2 * k + 1])

                    found = best_spans(score, int(begins[text]), length - 1, band, count)
                    spans[text, k, 0] = score(0, 0) if length else 0.0
                    for n in range(count):
                        first, last, value = found[n] if n < len(found) else (0, 0, 0.0)
                        spans[text, k, 1 + 3 * n : 4 + 3 * n] = torch.tensor([first, last, value])
            inputs = {"logits": logits, "begins": begins, "limits": torch.tensor(lengths)}
            book.add(
                f"top_{name}_{'grid' if grid else 'ends'}", "topSpans", "null score, then first, last, score", inputs,
                {"spans": spans}, grid=grid, band=band, count=count,
            )  # fmt: skip


if __name__ == "__main__":
    book = Book()
    losses(book)
    scores(book)
    decoded(book)
    publish(book, "spans")
