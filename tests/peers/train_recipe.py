"""The training recipe of Winnow in PyTorch, on the same batches in the same order.

    python tests/peers/train_recipe.py FOLDER OUT_FOLDER [--max-steps N] [--threads 2]

FOLDER holds
    recipe.json              see below
    init.safetensors         criteria_head.weight [K, C], .bias [K], evidence_head.weight [2K, C], .bias [2K]
    train_00000.safetensors  one batch per file, in the order to be trained: ids, mask, types [B, T], labels [B, K],
    train_00001.safetensors  sampleWeight [B], spanStart, spanEnd, spanWeight [B, K]. A file may also stack several
    ...                      batches of equal shape on a leading axis: ids [S, B, T], ...
    test_00000.safetensors   batches to predict; the targets are not needed

recipe.json: `model_folder` (config.json + model.safetensors), or `config` and `weights` (two files); paths are relative
to FOLDER. `criteria`, `pooling`, `lambda_class`, `lambda_span`, `learning_rate`, `weight_decay`, `betas`, `eps`,
`max_grad_norm`, `warmup_steps`, `total_steps` (optimizer steps), `schedule` (linear, cosine or constant, each as in
transformers: the first step of a warmup has the rate 0), `accumulation_steps`, `hidden_dropout`, `attention_dropout`,
`head_dropout`, `seed` (dropout only), `epochs` (how often the train files are gone through; leave it at 1 when they
already hold every epoch's batches).

Accumulation: the gradient of an optimizer step is the mean over its batches' losses; the last step of an epoch may
have fewer batches.

OUT_FOLDER receives result.json {loss, criteria_loss, span_loss, grad_norm, learning_rate: one number per optimizer
step; steps; seconds} and one predictions_00000.safetensors per test batch: criteriaLogits, criteriaProbabilities
[B, K], evidenceLogits [B, T, 2K] (column 2k start, 2k + 1 end, padding not excluded), and model.safetensors, the
trained weights under the names of a Winnow checkpoint.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from dual_agent import (
    BATCH_FLOATS,
    Batch,
    DualAgent,
    adamw,
    encoder_from_config,
    encoder_from_folder,
    load_heads,
    losses,
)

REQUIRED = ("criteria", "pooling", "learning_rate", "total_steps")
DEFAULTS = {
    "lambda_class": 1.0,
    "lambda_span": 1.0,
    "weight_decay": 0.01,
    "betas": [0.9, 0.999],
    "eps": 1e-8,
    "max_grad_norm": 1.0,
    "warmup_steps": 0,
    "schedule": "linear",
    "accumulation_steps": 1,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "head_dropout": 0.0,
    "seed": 0,
    "epochs": 1,
}
SOURCES = ("model_folder", "config", "weights")


def read_recipe(folder: Path) -> dict:
    """recipe.json with defaults filled in; an unknown key is an error, since a misspelt one would be silently unused."""
    recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    missing = [key for key in REQUIRED if key not in recipe]
    unknown = [key for key in recipe if key not in (*REQUIRED, *DEFAULTS, *SOURCES)]
    if missing:
        raise SystemExit(f"recipe.json lacks {', '.join(missing)}.")
    if unknown:
        raise SystemExit(f"recipe.json has the unknown keys {', '.join(unknown)}.")
    if "model_folder" not in recipe and not ("config" in recipe and "weights" in recipe):
        raise SystemExit("recipe.json names no model: give model_folder, or config and weights.")
    return DEFAULTS | recipe


def build(folder: Path, recipe: dict) -> DualAgent:
    """The pretrained encoder with the initial heads."""
    overrides = {
        "hidden_dropout_prob": recipe["hidden_dropout"],
        "attention_probs_dropout_prob": recipe["attention_dropout"],
    }
    if "model_folder" in recipe:
        encoder, account = encoder_from_folder(folder / recipe["model_folder"], overrides)
        missing = account["missing_keys"]
    else:
        stored = json.loads((folder / recipe["config"]).read_text(encoding="utf-8"))
        encoder = encoder_from_config(stored | overrides)
        missing = encoder.load_state_dict(load_file(folder / recipe["weights"]), strict=False).missing_keys
    if missing:
        raise SystemExit(f"The encoder's weights lack {', '.join(missing)}.")
    model = DualAgent(encoder, recipe["criteria"], recipe["pooling"], recipe["head_dropout"])
    load_heads(model, folder / "init.safetensors")
    return model


def read_batches(folder: Path, prefix: str) -> Iterator[dict[str, Tensor]]:
    """Batches in the order of their file names, stacked files unrolled."""
    paths = sorted(folder.glob(f"{prefix}_*.safetensors"))
    if not paths:
        raise SystemExit(f"{folder} holds no {prefix}_*.safetensors.")
    for path in paths:
        tensors = load_file(path)
        if tensors["ids"].dim() == 2:
            yield tensors
        else:
            yield from ({name: tensor[step] for name, tensor in tensors.items()} for step in range(len(tensors["ids"])))


def windows(folder: Path, epochs: int, size: int) -> Iterator[list[Batch]]:
    """The batches of each optimizer step."""
    for _ in range(epochs):
        window: list[Batch] = []
        for tensors in read_batches(folder, "train"):
            window.append(Batch.of(tensors))
            if len(window) == size:
                yield window
                window = []
        if window:
            yield window


def schedule_of(recipe: dict, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rate's course, as transformers defines it."""
    warmup, total = recipe["warmup_steps"], recipe["total_steps"]
    if recipe["schedule"] == "linear":
        return get_linear_schedule_with_warmup(optimizer, warmup, total)
    if recipe["schedule"] == "cosine":
        return get_cosine_schedule_with_warmup(optimizer, warmup, total)
    if recipe["schedule"] == "constant":
        return get_constant_schedule_with_warmup(optimizer, warmup)
    raise SystemExit(f"Expected schedule to be linear, cosine or constant but found {recipe['schedule']!r}.")


def train(model: DualAgent, folder: Path, recipe: dict, max_steps: int) -> dict[str, list[float]]:
    """Trains in place; one number per optimizer step in each list."""
    parameters = model.canonical_parameters()
    optimizer = adamw(
        parameters, recipe["learning_rate"], recipe["weight_decay"], tuple(recipe["betas"]), recipe["eps"]
    )
    schedule = schedule_of(recipe, optimizer)
    history: dict[str, list[float]] = {
        key: [] for key in ("loss", "criteria_loss", "span_loss", "grad_norm", "learning_rate")
    }
    model.train()
    for step, window in enumerate(windows(folder, recipe["epochs"], recipe["accumulation_steps"])):
        if step == max_steps:
            break
        optimizer.zero_grad()
        sums = [0.0, 0.0, 0.0]
        for batch in window:
            loss = losses(model(batch), batch, recipe["lambda_class"], recipe["lambda_span"])
            (loss.total / len(window)).backward()
            sums = [sum_ + part.item() for sum_, part in zip(sums, (loss.total, loss.criteria, loss.span))]
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), recipe["max_grad_norm"])
        for key, value in zip(("loss", "criteria_loss", "span_loss"), sums):
            history[key].append(value / len(window))
        history["grad_norm"].append(norm.item())
        history["learning_rate"].append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return history


def predict(model: DualAgent, folder: Path, out: Path) -> int:
    """Writes the predictions for every test batch and returns their number."""
    model.eval()
    count = 0
    for tensors in read_batches(folder, "test"):
        rows, _ = tensors["ids"].shape
        placeholders = {name: torch.zeros(rows) for name in (*BATCH_FLOATS, "spanStart", "spanEnd")}
        with torch.no_grad():
            output = model(Batch.of(placeholders | tensors))
        predictions = {
            "criteriaLogits": output.criteria_logits,
            "criteriaProbabilities": torch.sigmoid(output.criteria_logits),
            "evidenceLogits": output.evidence_logits,
        }
        predictions = {name: tensor.contiguous() for name, tensor in predictions.items()}
        save_file(predictions, out / f"predictions_{count:05}.safetensors")
        count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--max-steps", type=int, default=-1, help="stop after this many optimizer steps")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = read_recipe(arguments.folder)
    torch.manual_seed(recipe["seed"])
    started = time.monotonic()
    model = build(arguments.folder, recipe)
    history = train(model, arguments.folder, recipe, arguments.max_steps)
    arguments.out.mkdir(parents=True, exist_ok=True)
    weights = {name: parameter.detach().contiguous() for name, parameter in model.canonical_parameters().items()}
    save_file(weights, arguments.out / "model.safetensors")
    predicted = predict(model, arguments.folder, arguments.out)
    result = history | {
        "steps": len(history["loss"]),
        "test_batches": predicted,
        "seconds": time.monotonic() - started,
    }
    (arguments.out / "result.json").write_text(json.dumps(result) + "\n")
    print(json.dumps({"steps": result["steps"], "test_batches": predicted, "result": str(arguments.out / "result.json")}))


if __name__ == "__main__":
    main()
