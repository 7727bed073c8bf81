"""Writes tests/golden/flax_*: tiny checkpoints by transformers' own Flax models, beside the same weights as safetensors.

transformers dropped Flax in version 5, so that the files are kept and this needs a Python of its own:
pip install transformers==4.44.2 flax==0.8.5 jax==0.4.30 jaxlib==0.4.30 "numpy<2" "scipy<1.13"

1. <Python of requirements.txt> tests/peers/golden_flax.py pytorch
2. <Python with Flax>           tests/peers/golden_flax.py flax

BERT is float32 in one file, RoBERTa bfloat16 in one file, DistilBERT float32 in shards.
"""

import sys
from pathlib import Path

GOLDEN = Path(__file__).parent.parent / "golden"
SIZES = {"vocab_size": 23, "max_position_embeddings": 11}
BERT = {**SIZES, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
DISTILBERT = {**SIZES, "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 12}


def write_pytorch():
    import torch
    import transformers as t

    torch.manual_seed(1)
    models = {
        "bert": t.BertForPreTraining(t.BertConfig(**BERT)),
        "roberta": t.RobertaForMaskedLM(t.RobertaConfig(**BERT, type_vocab_size=1)).to(torch.bfloat16),
        "distilbert": t.DistilBertForMaskedLM(t.DistilBertConfig(**DISTILBERT)),
    }
    for name, model in models.items():
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter))
        model.save_pretrained(GOLDEN / f"flax_{name}")


def write_flax():
    import transformers as t

    classes = {
        "bert": t.FlaxBertForPreTraining,
        "roberta": t.FlaxRobertaForMaskedLM,
        "distilbert": t.FlaxDistilBertForMaskedLM,
    }
    for name, kind in classes.items():
        folder = GOLDEN / f"flax_{name}"
        model = kind.from_pretrained(folder)
        model.save_pretrained(folder, max_shard_size="3KB" if name == "distilbert" else "10GB")
        for leftover in ("config.json", "generation_config.json"):
            (folder / leftover).unlink(missing_ok=True)


{"pytorch": write_pytorch, "flax": write_flax}[sys.argv[1]]()
