"""The dual agent in PyTorch: the definition that the WGSL engine must equal.

Encoder: transformers' BertModel, RobertaModel or DistilBertModel (eager attention, no pooler). Criteria agent: pooling, dropout, Linear(C, K). Evidence
agent: dropout, Linear(C, 2K) on every token; column 2k is the start logit of criterion k, column 2k + 1 its end logit.
Shapes: B rows, T tokens, C hidden units, K criteria.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

BATCH_INTEGERS = ("ids", "mask", "types", "spanStart", "spanEnd")
BATCH_FLOATS = ("labels", "sampleWeight", "spanWeight")


@dataclass(frozen=True)
class Batch:
    """One padded batch, named as in the batch files (see docs/numerics.md)."""

    ids: Tensor  # [B, T] token ids
    mask: Tensor  # [B, T] 1 = real token, 0 = padding
    types: Tensor  # [B, T] token type ids
    labels: Tensor  # [B, K] 0 or 1
    sampleWeight: Tensor  # [B] 1 = the row counts in the criteria loss
    spanStart: Tensor  # [B, K] token index, 0 = null span at CLS; or [B, T, K] the share of each token
    spanEnd: Tensor  # [B, K] token index of the last token, inclusive; or [B, T, K] the share of each token
    spanWeight: Tensor  # [B, K] 1 = the pair counts in the span loss

    @staticmethod
    def of(tensors: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> Batch:
        """A batch from stored tensors, whatever their integer or float width; `tags` stand for several spans."""
        if "tags" in tensors:
            start, end = boundaries(tensors["tags"])
            tensors = tensors | {"spanStart": torch.zeros(1), "spanEnd": torch.zeros(1)}
            return replace(Batch.of({k: v for k, v in tensors.items() if k != "tags"}, dtype), spanStart=start, spanEnd=end)
        missing = [name for name in (*BATCH_INTEGERS, *BATCH_FLOATS) if name not in tensors]
        if missing:
            raise SystemExit(f"The batch lacks the tensors {', '.join(missing)}; it has {', '.join(sorted(tensors))}.")
        return Batch(
            **{name: tensors[name].to(torch.int64) for name in BATCH_INTEGERS},
            **{name: tensors[name].to(dtype) for name in BATCH_FLOATS},
        )


@dataclass(frozen=True)
class Losses:
    """Scalars; total = lambda_class * criteria + lambda_span * span."""

    total: Tensor
    criteria: Tensor
    span: Tensor


@dataclass(frozen=True)
class Output:
    """What one forward pass yields."""

    hidden: tuple[Tensor, ...]  # after the embeddings and after every layer, each [B, T, C]
    criteria_logits: Tensor  # [B, K]
    evidence_logits: Tensor  # [B, T, 2K], before the mask


class DualAgent(nn.Module):
    """Encoder with both heads."""

    def __init__(self, encoder: PreTrainedModel, criteria: int, pooling: str, head_dropout: float = 0.0):
        super().__init__()
        if pooling not in ("cls", "mean"):
            raise SystemExit(f"Expected pooling to be cls or mean but found {pooling!r}.")
        hidden = encoder.config.hidden_size
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(head_dropout)
        self.criteria_head = nn.Linear(hidden, criteria)
        self.evidence_head = nn.Linear(hidden, 2 * criteria)

    def forward(self, batch: Batch) -> Output:
        encoded = encode(self.encoder, batch.ids, batch.mask, batch.types)
        last = encoded.last_hidden_state
        pooled = pool(last, batch.mask, self.pooling)
        return Output(
            hidden=encoded.hidden_states,
            criteria_logits=self.criteria_head(self.dropout(pooled)),
            evidence_logits=self.evidence_head(self.dropout(last)),
        )

    def canonical_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters under the names of a Winnow checkpoint: the encoder's own, and the heads' with their prefix."""
        # The encoder itself holds a submodule called `encoder`: only the first component is ours to drop.
        return {name.removeprefix("encoder."): parameter for name, parameter in self.named_parameters()}


def encode(encoder: PreTrainedModel, ids: Tensor, mask: Tensor, types: Tensor):
    """The encoder's output with all hidden states; token types go to models that tell them apart."""
    typed = {"token_type_ids": types} if getattr(encoder.config, "type_vocab_size", 0) > 1 else {}
    return encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True, **typed)


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """[B, T, C] → [B, C]: token 0, or the mean over real tokens (a fully padded row gives 0)."""
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def criteria_loss(logits: Tensor, labels: Tensor, sample_weight: Tensor) -> Tensor:
    """BCE with logits, summed over weighted rows and all K, over K times the number of weighted rows."""
    per_row = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(dim=1)
    return (per_row * sample_weight).sum() / (logits.shape[1] * sample_weight.sum().clamp(min=1))


def boundaries(tags: Tensor) -> tuple[Tensor, Tensor]:
    """Shares [B, T, K] of starts and ends among the gold spans in tags [B, T, K]; CLS has it all where there is none.

    0 is outside, 1 the first token of a span, 2 a later one.
    """
    tags = tags.to(torch.int64)
    following = torch.cat([tags[:, 1:], torch.zeros_like(tags[:, :1])], dim=1)
    shares = []
    for marks in (tags == 1, (tags > 0) & (following != 2)):
        marks = marks.to(torch.float32)
        marks[:, 0] += (marks.sum(dim=1) == 0).to(torch.float32)
        shares.append(marks / marks.sum(dim=1, keepdim=True))
    return shares[0], shares[1]


def entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Summed cross-entropy of rows [N, T] against token indices [N] or shares [N, T]; -inf logits have no share."""
    if target.dim() == 1:
        return F.cross_entropy(logits, target, reduction="sum")
    return -torch.where(target > 0, target * F.log_softmax(logits, dim=-1), 0.0).sum()


def span_loss(logits: Tensor, mask: Tensor, start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    """Mean over weighted pairs (b, k) of (CE(start) + CE(end)) / 2; 0 when no pair is weighted.

    Padding is excluded by -inf. Unweighted pairs are left out before the softmax, since a fully padded row has no
    token to normalise over and would give NaN.
    """
    rows, criteria = weight.nonzero(as_tuple=True)
    excluded = logits.masked_fill(mask.unsqueeze(-1) == 0, float("-inf"))  # [B, T, 2K]
    starts = excluded[rows, :, 2 * criteria]  # [pairs, T]
    ends = excluded[rows, :, 2 * criteria + 1]
    if rows.numel() == 0:
        return logits.sum() * 0.0  # a zero that still reaches every parameter
    at = (rows, criteria) if start.dim() == 2 else (rows, slice(None), criteria)
    start_entropy, end_entropy = entropy(starts, start[at]), entropy(ends, end[at])
    return (start_entropy + end_entropy) / 2 / rows.numel()


def losses(output: Output, batch: Batch, lambda_class: float, lambda_span: float) -> Losses:
    """The joint loss of both agents."""
    criteria = criteria_loss(output.criteria_logits, batch.labels, batch.sampleWeight)
    span = span_loss(output.evidence_logits, batch.mask, batch.spanStart, batch.spanEnd, batch.spanWeight)
    return Losses(total=lambda_class * criteria + lambda_span * span, criteria=criteria, span=span)


def decays(name: str) -> bool:
    """Weight decay spares biases and both LayerNorm parameters."""
    return not name.endswith(".bias") and not is_norm(name)


def is_norm(name: str) -> bool:
    """Whether a parameter is a LayerNorm's, by BERT's or DistilBERT's name for it."""
    return "LayerNorm" in name or "layer_norm" in name


def adamw(
    parameters: dict[str, nn.Parameter],
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    eps: float,
    fused: bool | None = None,
) -> torch.optim.AdamW:
    """torch.optim.AdamW with the two groups of `decays`; `fused` as there."""
    groups = [
        {"params": [p for name, p in parameters.items() if decays(name)], "weight_decay": weight_decay},
        {"params": [p for name, p in parameters.items() if not decays(name)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=eps, fused=fused)


def no_pooler(config: PreTrainedConfig) -> dict:
    """The argument that leaves the pooler out; DistilBERT has none."""
    return {} if config.model_type == "distilbert" else {"add_pooling_layer": False}


def encoder_from_config(config: dict) -> PreTrainedModel:
    """An encoder with eager attention and no pooler, from HF config.json terms."""
    found = AutoConfig.for_model(**config)
    return AutoModel.from_config(found, attn_implementation="eager", **no_pooler(found))


def encoder_from_folder(folder: Path, overrides: dict | None = None) -> tuple[PreTrainedModel, dict]:
    """A pretrained encoder in float32, with transformers' own account of missing and unexpected keys."""
    if not (folder / "config.json").is_file():
        raise SystemExit(f"{folder} has no config.json.")
    config = AutoConfig.from_pretrained(folder)
    for key, value in (overrides or {}).items():
        setattr(config, key, value)
    encoder, info = AutoModel.from_pretrained(
        folder,
        config=config,
        **no_pooler(config),
        attn_implementation="eager",
        dtype=torch.float32,
        output_loading_info=True,
    )
    account = {key: sorted(str(item) for item in info.get(key, ())) for key in ("missing_keys", "unexpected_keys")}
    return encoder, account


def load_heads(model: DualAgent, path: Path) -> None:
    """Sets criteria_head.* and evidence_head.* from a safetensors file; other tensors in it are ignored."""
    stored = load_file(path)
    parameters = model.canonical_parameters()
    with torch.no_grad():
        for name in ("criteria_head.weight", "criteria_head.bias", "evidence_head.weight", "evidence_head.bias"):
            if name not in stored:
                raise SystemExit(f"{path} lacks the tensor {name}.")
            if stored[name].shape != parameters[name].shape:
                raise SystemExit(
                    f"{path}: expected {name} to have the shape {list(parameters[name].shape)} "
                    f"but found {list(stored[name].shape)}."
                )
            parameters[name].copy_(stored[name])
