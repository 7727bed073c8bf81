"""The cases of golden_model.py: shapes, masks and weightings that have broken encoders before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dual_agent import is_norm


@dataclass(frozen=True)
class Case:
    """One golden file. `lengths` are the real tokens of each row; 0 is a fully padded row."""

    name: str
    description: str
    seed: int
    config: dict
    criteria: int
    pooling: str
    tokens: int
    lengths: tuple[int, ...]
    weight_std: float
    segment_rows: tuple[int, ...] = ()  # rows whose second half has token type 1
    unlabelled_rows: tuple[int, ...] = ()  # real rows with sampleWeight 0
    evidence: bool = True  # False: spanWeight 0 everywhere
    pad_id_inside: bool = False  # the padding id at a real position: padding_idx still blocks its gradient
    after_stride: int = 1  # the parameters after ten steps are stored flat[::stride]
    lambda_class: float = 1.0
    lambda_span: float = 0.7
    weight_decay: float = 0.01

    @property
    def optimizer(self) -> dict:
        """AdamW with two warmup steps and ten steps in all."""
        return {
            "learningRate": 1e-3,
            "betas": [0.9, 0.999],
            "eps": 1e-8,
            "weightDecay": self.weight_decay,
            "maxGradNorm": 1.0,
            "schedule": "constant",
            "warmupSteps": 2,
            "steps": 10,
        }


def _config(hidden: int, layers: int, heads: int, ffn: int, vocab: int, positions: int, act: str, eps: float) -> dict:
    return {
        "model_type": "bert",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        "type_vocab_size": 2,
        "hidden_act": act,
        "layer_norm_eps": eps,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": 0,
    }


def _distilbert(dim: int, layers: int, heads: int, ffn: int, vocab: int, positions: int, act: str) -> dict:
    return {
        "model_type": "distilbert",
        "dim": dim,
        "n_layers": layers,
        "n_heads": heads,
        "hidden_dim": ffn,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        "activation": act,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "sinusoidal_pos_embds": False,
        "pad_token_id": 0,
    }


def _roberta(**config: int | float | str) -> dict:
    """RoBERTa: one token type, positions counted from the padding id 1."""
    return _config(**config) | {"model_type": "roberta", "type_vocab_size": 1, "pad_token_id": 1}


CASES = (
    Case(
        name="bert_odd_cls",
        description="odd length, head size 8, one real row left out of the criteria loss",
        seed=11,
        config=_config(32, 2, 4, 64, 97, 24, "gelu", 1e-12),
        criteria=5,
        pooling="cls",
        tokens=13,
        lengths=(13, 9, 4),
        weight_std=0.2,
        segment_rows=(1,),
        unlabelled_rows=(2,),
    ),
    Case(
        name="bert_single_mean",
        description="batch 1, tanh GELU, mean pooling, three heads of 16, no padding at all, weight decay 0.1",
        seed=12,
        config=_config(48, 2, 3, 80, 61, 7, "gelu_pytorch_tanh", 1e-5),
        criteria=9,
        pooling="mean",
        tokens=7,
        lengths=(7,),
        weight_std=0.15,
        after_stride=7,
        weight_decay=0.1,  # with 0.01, ten steps without decay would look right within the tolerance
    ),
    Case(
        name="bert_padded_mean",
        description="one fully padded row, lengths from 2 to 19, mean pooling, token types, three layers, head size 32",
        seed=13,
        config=_config(64, 3, 2, 96, 83, 32, "gelu", 1e-12),
        criteria=9,
        pooling="mean",
        tokens=19,
        lengths=(19, 0, 2, 11),
        weight_std=0.12,
        segment_rows=(0, 3),
        after_stride=7,
    ),
    Case(
        name="bert_wide_cls",
        description="head size 64, 33 tokens (one past a tile of 32), token id 0 at a real position",
        seed=14,
        config=_config(128, 1, 2, 96, 71, 40, "gelu", 1e-12),
        criteria=3,
        pooling="cls",
        tokens=33,
        lengths=(33, 18),
        weight_std=0.1,
        segment_rows=(1,),
        pad_id_inside=True,
        after_stride=7,
    ),
    Case(
        name="bert_no_evidence",
        description="no weighted evidence pair: the span loss is 0 and the evidence head's gradient exactly 0",
        seed=15,
        config=_config(24, 1, 3, 40, 31, 8, "gelu", 1e-12),
        criteria=4,
        pooling="cls",
        tokens=5,
        lengths=(5, 3),
        weight_std=0.2,
        evidence=False,
    ),
    Case(
        name="roberta_padded_mean",
        description="RoBERTa: positions from pad + 1, the padding id inside a text, a fully padded row, all positions used",
        seed=16,
        config=_roberta(hidden=48, layers=2, heads=3, ffn=80, vocab=89, positions=19, act="gelu", eps=1e-5),
        criteria=5,
        pooling="mean",
        tokens=17,
        lengths=(17, 0, 9, 4),
        weight_std=0.15,
        pad_id_inside=True,
        after_stride=3,
    ),
    Case(
        name="roberta_tanh_cls",
        description="RoBERTa: tanh GELU, CLS, head size 32, more rows in the position table than tokens",
        seed=17,
        config=_roberta(hidden=64, layers=1, heads=2, ffn=96, vocab=71, positions=40, act="gelu_new", eps=1e-5),
        criteria=4,
        pooling="cls",
        tokens=11,
        lengths=(11, 6),
        weight_std=0.12,
        after_stride=3,
    ),
    Case(
        name="distilbert_odd_cls",
        description="DistilBERT: no token types, head size 8, odd length, three layers",
        seed=18,
        config=_distilbert(24, 3, 3, 40, 79, 16, "gelu"),
        criteria=5,
        pooling="cls",
        tokens=13,
        lengths=(13, 8, 3),
        weight_std=0.2,
        segment_rows=(1,),  # the batch says so, the model does not look
    ),
    Case(
        name="distilbert_relu_mean",
        description="DistilBERT: ReLU, masked mean, a fully padded row, the padding id inside a text",
        seed=19,
        config=_distilbert(64, 2, 2, 96, 67, 24, "relu"),
        criteria=3,
        pooling="mean",
        tokens=19,
        lengths=(19, 0, 7),
        weight_std=0.12,
        pad_id_inside=True,
        after_stride=3,
    ),
)


def make_weights(case: Case, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Random weights whose gradients are not tiny: LayerNorm weights near 1, every bias non-zero."""
    stream = np.random.default_rng(case.seed)
    weights = {}
    for name, shape in shapes.items():
        if is_norm(name) and name.endswith(".weight"):
            values = 1 + 0.2 * stream.standard_normal(shape)
        elif name.endswith(".bias"):
            values = 0.1 * stream.standard_normal(shape)
        else:
            values = case.weight_std * stream.standard_normal(shape)
        weights[name] = torch.from_numpy(values.astype(np.float32))
    return weights


def make_batch(case: Case) -> dict[str, Tensor]:
    """Inputs and targets under the names of the batch files; every third pair is a null span, some are unweighted."""
    stream = np.random.default_rng(case.seed + 1000)
    rows, tokens, criteria = len(case.lengths), case.tokens, case.criteria
    padding = case.config["pad_token_id"]
    ids = np.full((rows, tokens), padding, np.int32)
    mask = np.zeros((rows, tokens), np.int32)
    types = np.zeros((rows, tokens), np.int32)
    labels = stream.integers(0, 2, (rows, criteria)).astype(np.float32)
    sample_weight = np.array([float(length > 0) for length in case.lengths], np.float32)
    sample_weight[list(case.unlabelled_rows)] = 0
    span_start = np.zeros((rows, criteria), np.int32)
    span_end = np.zeros((rows, criteria), np.int32)
    span_weight = np.zeros((rows, criteria), np.float32)
    for row, length in enumerate(case.lengths):
        # Few distinct ids, so that the embedding gradient sums repeated tokens.
        ids[row, :length] = stream.integers(1, case.config["vocab_size"] // 2, length)
        mask[row, :length] = 1
        if row in case.segment_rows:
            types[row, length // 2 : length] = 1
        if length == 0 or not case.evidence:
            continue
        for criterion in range(criteria):
            span_weight[row, criterion] = float(stream.random() < 0.8)
            if criterion % 3 != 2 and length > 2:
                start, end = sorted(stream.integers(1, length, 2))
                span_start[row, criterion], span_end[row, criterion] = start, end
    if case.pad_id_inside:
        ids[0, 5] = padding
    arrays = {
        "ids": ids,
        "mask": mask,
        "types": types,
        "labels": labels,
        "sampleWeight": sample_weight,
        "spanStart": span_start,
        "spanEnd": span_end,
        "spanWeight": span_weight,
    }
    return {name: torch.from_numpy(values) for name, values in arrays.items()}
