"""Makes tests/golden/crf.safetensors + crf.json: linear-chain CRFs by the package pytorch-crf and by enumeration.

    python tests/peers/golden_crf.py            writes the files
    python tests/peers/golden_crf.py --check    computes them again and compares with the committed files

One CRF per criterion over the tags O, B, I: the negative log-likelihood, its gradients by autograd, the Viterbi path and its
lead over the path of nothing but O. Short sequences are also enumerated, tag path by tag path, and compared with the
package before anything is written. The format is that of golden_ops.py; `crf` [K, 15] is transitions, start, end.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torchcrf import CRF

from golden_ops import Book, differentiate, normal, publish, stream


def model(crf: Tensor) -> CRF:
    """The package's CRF with the scores [15] of one criterion, differentiable with respect to them."""
    chain = CRF(3, batch_first=True)
    for name in ("transitions", "start_transitions", "end_transitions"):
        delattr(chain, name)
    chain.transitions, chain.start_transitions, chain.end_transitions = crf[:9].view(3, 3), crf[9:12], crf[12:]
    return chain


def score(emissions: Tensor, crf: Tensor, path: tuple[int, ...]) -> Tensor:
    """The score of one path over emissions [T, 3]."""
    total = crf[9 + path[0]] + crf[12 + path[-1]] + sum(emissions[t, tag] for t, tag in enumerate(path))
    return total + sum(crf[3 * before + after] for before, after in zip(path, path[1:]))


def loss(emissions: Tensor, crf: Tensor, tags: Tensor, limits: Tensor, weight: Tensor) -> Tensor:
    """Mean over weighted pairs of -log P(tags); emissions [B, T, 3K]."""
    total = torch.zeros((), dtype=emissions.dtype)
    for text, length in enumerate(limits.tolist()):
        for criterion in range(crf.shape[0]):
            if weight[text, criterion] == 0:
                continue
            chain = model(crf[criterion])
            sequence = emissions[text : text + 1, :length, 3 * criterion : 3 * criterion + 3]
            likelihood = chain(sequence, tags[text : text + 1, :length, criterion])
            total = total - weight[text, criterion] * likelihood
            if length <= 6:
                enumerated(sequence[0], crf[criterion], tags[text, :length, criterion], likelihood)
    return total / weight.sum().clamp(min=1)


def enumerated(emissions: Tensor, crf: Tensor, tags: Tensor, likelihood: Tensor) -> None:
    """The likelihood is what the sum over all 3^T paths gives."""
    if emissions.dtype != torch.float64:
        return
    paths = [score(emissions, crf, path) for path in product(range(3), repeat=len(tags))]
    expected = score(emissions, crf, tuple(tags.tolist())) - torch.logsumexp(torch.stack(paths), 0)
    assert torch.allclose(likelihood.detach(), expected.detach(), rtol=1e-9, atol=1e-9), (likelihood, expected)


def decoded(emissions: Tensor, crf: Tensor, limits: Tensor) -> dict[str, Tensor]:
    """Best tags [B, T, K] and their lead over nothing but O [B, K]."""
    texts, tokens, _ = emissions.shape
    criteria = crf.shape[0]
    tags, margin = torch.zeros(texts, tokens, criteria, dtype=torch.int32), torch.zeros(texts, criteria)
    for text, length in enumerate(limits.tolist()):
        for criterion in range(criteria):
            sequence = emissions[text, :length, 3 * criterion : 3 * criterion + 3].double()
            if length == 0:
                continue
            scores = crf[criterion].double()
            path = tuple(model(scores).decode(sequence[None])[0])
            lead = score(sequence, scores, path) - score(sequence, scores, (0,) * length)
            if length <= 6:
                best = max(product(range(3), repeat=length), key=lambda one: score(sequence, scores, one).item())
                assert best == path, (best, path)
            tags[text, :length, criterion] = torch.tensor(path, dtype=torch.int32)
            margin[text, criterion] = lead
    return {"best": tags, "margin": margin}


def crfs(book: Book) -> None:
    """Lengths from 1 to 130, scores up to ±80, rows without weight or tokens."""
    cases = [
        ("short", (6, 4, 1), 6, 1.0),
        ("empty_row", (5, 0, 2), 5, 1.0),
        ("extreme", (6, 3), 6, 40.0),
        ("long", (130, 97), 130, 2.0),
    ]
    criteria = 2
    for name, lengths, tokens, scale in cases:
        texts = len(lengths)
        emissions = normal(texts, tokens, 3 * criteria, scale=scale).clamp(-80, 80)
        tags = torch.from_numpy(stream.integers(0, 3, (texts, tokens, criteria)))
        tags[0, :, 1] = 0  # no evidence
        weight = torch.ones(texts, criteria)
        weight[1, 0] = 0
        weight[[length == 0 for length in lengths]] = 0
        inputs = {
            "emissions": emissions, "crf": normal(criteria, 15, scale=scale / 2), "tags": tags,
            "limits": torch.tensor(lengths), "weight": weight,
        }  # fmt: skip
        outputs = differentiate(loss, inputs, ("emissions", "crf"), torch.ones(()))
        outputs |= decoded(emissions, inputs["crf"], inputs["limits"])
        book.add(name, "crf", "y = mean over weighted pairs of -log P(tags)", inputs, outputs)


if __name__ == "__main__":
    book = Book()
    crfs(book)
    publish(book, "crf")
