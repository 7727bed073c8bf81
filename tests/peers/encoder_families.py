"""Encoders of the three families: small checkpoints in each file format, and what transformers computes of them.

    python tests/peers/encoder_families.py < calls.json > answers.json

Calls are [[command, request], ...] and answers a list, since starting transformers takes longer than any of these:

make:       {"folder", "model_type", "config", "seed", "format", "oldNames", "tied"} -> {"names"} writes config.json,
            a tokenizer (WordPiece, or byte-level BPE for RoBERTa) and the weights of a masked language model as safetensors, pytorch_model.bin or flax_model.msgpack;
            the same seed gives the same numbers in every format
reference:  {"folder", "batch", "out", "criteria", "pooling"} -> {"loss"} reads the batch (names of docs/numerics.md), adds
            random heads to the encoder and writes heads, hidden states and gradients of the joint loss to `out`
masked_lm:  {"folder", "rows": [{"ids", "position"}], "maskId", "count"} -> [[[id, logit], ...], ...]
neighbours: {"folder", "ids", "count"} -> [[[id, cosine], ...], ...], the token itself left out
defaults:   {"model_type"} -> the configuration that transformers makes of a config.json with nothing but the type
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel

from dual_agent import Batch, DualAgent, is_norm, losses

def write_tokenizer(folder: Path, model_type: str, size: int) -> None:
    """Special tokens first, then all that any text needs, then filler: vocab.txt, or vocab.json and merges.txt."""
    if model_type == "roberta":
        merges = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("i", "n"), ("Ġ", "I")]
        words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
        words += [left + right for left, right in merges]
        config = {"tokenizer_class": "RobertaTokenizer"}
    else:
        letters = [chr(code) for code in range(33, 127)]
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
        config = {"do_lower_case": True}
    words += [f"filler{index}" for index in range(size - len(words))]
    if model_type == "roberta":
        ids = {word: index for index, word in enumerate(words)}
        (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
        lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def randomise(model: PreTrainedModel, seed: int) -> None:
    """Numbers whose gradients are not tiny: LayerNorm weights near 1, every bias non-zero."""
    stream = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = stream.standard_normal(tuple(parameter.shape))
            if is_norm(name) and name.endswith(".weight"):
                values = 1 + 0.2 * noise
            else:
                values = (0.1 if name.endswith("bias") else 0.15) * noise
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))


def old_name(name: str) -> str:
    """LayerNorm's parameters as checkpoints of 2018 have them."""
    return re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", re.sub(r"LayerNorm\.weight$", "LayerNorm.gamma", name))


def flax_tree(state: dict[str, Tensor]) -> dict:
    """The nested arrays that transformers' Flax models kept: kernels turned round, tables and norms by other names."""
    tree: dict = {}
    for name, tensor in state.items():
        *modules, last = name.split(".")
        value = tensor.numpy()
        if last == "weight" and modules[-1].endswith("_embeddings"):
            last = "embedding"
        elif last == "weight" and is_norm(name):
            last = "scale"
        elif last == "weight":
            last, value = "kernel", value.T
        node = tree
        for module in modules:
            node = node.setdefault(module, {})
        node[last] = np.ascontiguousarray(value)
    return tree


def write_flax(path: Path, state: dict[str, Tensor]) -> None:
    """flax.serialization.msgpack_serialize: an array is extension 1, holding shape, type and bytes."""
    import msgpack

    def array(value: np.ndarray) -> msgpack.ExtType:
        return msgpack.ExtType(1, msgpack.packb((value.shape, value.dtype.name, value.tobytes()), use_bin_type=True))

    path.write_bytes(msgpack.packb(flax_tree(state), default=array, strict_types=True))


def make(folder: str, model_type: str, config: dict, seed: int, format: str, oldNames: bool = False, tied: bool = True):
    """A masked language model in one of the formats."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    found = AutoConfig.for_model(model_type, **config, tie_word_embeddings=tied)
    model = AutoModelForMaskedLM.from_config(found)
    randomise(model, seed)
    state = model.state_dict()
    if tied and format != "pytorch":  # torch.save keeps both names of a tied tensor, with one storage; the others one
        tied_keys = model.all_tied_weights_keys
        state = {name: tensor for name, tensor in state.items() if name not in tied_keys}
    if oldNames:
        state = {old_name(name): tensor for name, tensor in state.items()}
    found.architectures = [type(model).__name__]
    found.save_pretrained(place)
    write_tokenizer(place, model_type, found.vocab_size)
    if format == "safetensors":
        save_file(state, place / "model.safetensors", metadata={"format": "pt"})
    elif format == "pytorch":
        torch.save(state, place / "pytorch_model.bin")
    else:
        write_flax(place / "flax_model.msgpack", state)
    return {"names": sorted(state)}


def load(folder: str) -> PreTrainedModel:
    """The masked language model of a folder in float32, with eager attention."""
    model, info = AutoModelForMaskedLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
    )
    if info["missing_keys"]:
        raise SystemExit(f"{folder} lacks {sorted(info['missing_keys'])}")
    return model.eval()


def reference(folder: str, batch: str, out: str, criteria: int, pooling: str):
    """Hidden states and gradients of the dual agent on the encoder."""
    torch.manual_seed(1)
    encoder = load(folder).base_model
    model = DualAgent(encoder, criteria, pooling).eval()
    inputs = Batch.of(load_file(batch))
    output = model(inputs)
    loss = losses(output, inputs, 1.0, 0.7).total
    loss.backward()
    tensors = {f"hidden.{layer}": hidden for layer, hidden in enumerate(output.hidden)}
    for name, parameter in model.canonical_parameters().items():
        tensors[f"grad.{name}"] = parameter.grad
        if name.startswith(("criteria_head", "evidence_head")):
            tensors[name] = parameter
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, out)
    return {"loss": loss.item()}


def best(scores: Tensor, count: int) -> list[list[float]]:
    """[id, score] of the highest."""
    values, ids = scores.topk(count)
    return [[int(index), value] for index, value in zip(ids.tolist(), values.tolist())]


def masked_lm(folder: str, rows: list[dict], maskId: int, count: int):
    """Logits at the masked token, one text at a time, so that no padding is needed."""
    model = load(folder)
    answers = []
    for row in rows:
        ids = torch.tensor([row["ids"]])
        ids[0, row["position"]] = maskId
        with torch.no_grad():
            answers.append(best(model(input_ids=ids).logits[0, row["position"]], count))
    return answers


def neighbours(folder: str, ids: list[int], count: int):
    """Cosine of word embeddings, by numpy in float64."""
    table = load(folder).get_input_embeddings().weight.detach().numpy().astype(np.float64)
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    answers = []
    for index in ids:
        cosines = torch.from_numpy(unit @ unit[index])
        cosines[index] = -2
        answers.append(best(cosines, count))
    return answers


def defaults(model_type: str):
    """The class's own values."""
    return AutoConfig.for_model(model_type).to_dict()


def main() -> None:
    torch.set_num_threads(2)
    commands = {each.__name__: each for each in (make, reference, masked_lm, neighbours, defaults)}
    json.dump([commands[name](**request) for name, request in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
