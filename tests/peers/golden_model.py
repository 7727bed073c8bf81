"""Makes tests/golden/bert_*.safetensors + .json: what transformers and PyTorch compute for small dual agents.

    python tests/peers/golden_model.py            writes the files
    python tests/peers/golden_model.py --check    computes them again and compares with the committed files

The numbers are float32 PyTorch. A float64 copy runs beside it, and the script fails when the two disagree (1e-5; 1e-4
after ten steps): a golden number that PyTorch itself cannot reproduce would be no yardstick. Names and tolerances:
docs/numerics.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import get_constant_schedule_with_warmup

from dual_agent import Batch, DualAgent, adamw, decays, encoder_from_config, losses
from golden_cases import CASES, Case, make_batch, make_weights

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
FLOAT32_LIMIT = 1e-5
AFTER_LIMIT = 1e-4  # Adam divides by the size of the gradient, so an element near 0 steps by its rounding error


def is_invariant(name: str) -> bool:
    """Parameters whose true gradient is 0 and whose computed one is noise.

    A softmax does not change when one constant is added to all its scores. The key bias adds a constant to all scores
    of a query, the evidence head's bias one to all logits of a boundary.
    """
    return name.endswith(("attention.self.key.bias", "attention.k_lin.bias")) or name == "evidence_head.bias"


def build(case: Case, dtype: torch.dtype) -> DualAgent:
    """The case's model with its weights, in the given precision."""
    model = DualAgent(encoder_from_config(case.config), case.criteria, case.pooling)
    parameters = model.canonical_parameters()
    weights = make_weights(case, {name: parameter.shape for name, parameter in parameters.items()})
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    return model.to(dtype).eval()


def compute(case: Case, dtype: torch.dtype) -> tuple[dict[str, Tensor], list[float]]:
    """Everything a golden file holds beside the batch, and the learning rate of each step."""
    model = build(case, dtype)
    batch = Batch.of(make_batch(case), dtype)
    parameters = model.canonical_parameters()
    tensors = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    output = model(batch)
    loss = losses(output, batch, case.lambda_class, case.lambda_span)
    loss.total.backward()
    for layer, hidden in enumerate(output.hidden):
        tensors[f"hidden.{layer}"] = hidden.detach()
    tensors["logits.criteria"] = output.criteria_logits.detach()
    tensors["logits.evidence"] = output.evidence_logits.detach()
    tensors["loss"] = torch.stack([loss.total, loss.criteria, loss.span]).detach()
    for name, parameter in parameters.items():
        tensors[f"grad.{name}"] = parameter.grad.clone()
    tensors["gradientNorm"] = torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(parameter.grad) for parameter in parameters.values()])
    ).reshape(1)

    trained = train(case, model, batch)
    tensors |= trained[0]
    for name, parameter in parameters.items():
        tensors[f"after.{name}"] = parameter.detach().flatten()[:: case.after_stride].clone()
    return tensors, trained[1]


def train(case: Case, model: DualAgent, batch: Batch) -> tuple[dict[str, Tensor], list[float]]:
    """AdamW steps on one batch: `losses` [steps + 1] (before each step, and once after the last) and `gradientNorms`."""
    recipe = case.optimizer
    parameters = model.canonical_parameters()
    optimizer = adamw(
        parameters, recipe["learningRate"], recipe["weightDecay"], tuple(recipe["betas"]), recipe["eps"]
    )
    schedule = get_constant_schedule_with_warmup(optimizer, recipe["warmupSteps"])
    curve, norms, rates = [], [], []
    for _ in range(recipe["steps"]):
        optimizer.zero_grad()
        loss = losses(model(batch), batch, case.lambda_class, case.lambda_span)
        loss.total.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), recipe["maxGradNorm"]))
        curve.append(loss.total.detach())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        curve.append(losses(model(batch), batch, case.lambda_class, case.lambda_span).total)
    return {"losses": torch.stack(curve), "gradientNorms": torch.stack(norms)}, rates


def relative(actual: Tensor, reference: Tensor) -> float:
    """‖actual − reference‖ / ‖reference‖, or the absolute norm where the reference is 0."""
    reference = reference.double()
    size = torch.linalg.vector_norm(reference).item()
    return torch.linalg.vector_norm(actual.double() - reference).item() / (size or 1.0)


def disagreements(single: dict[str, Tensor], double: dict[str, Tensor]) -> dict[str, float]:
    """Per tensor, how far float32 is from float64; an invariant parameter is measured against the whole gradient."""
    errors = {}
    for name, reference in double.items():
        owner = name.removeprefix("grad.").removeprefix("after.")
        if name.startswith("after.") and is_invariant(owner):
            continue  # Adam turns the noise of its gradient into steps of full size: nothing to compare
        if name.startswith("grad.") and is_invariant(owner):
            noise = torch.linalg.vector_norm(single[name].double() - reference)
            errors[name] = (noise / double["gradientNorm"]).item()
        elif name.startswith(("hidden.", "logits.", "loss")):
            errors[name] = (single[name].double() - reference).abs().max().item()
        else:
            errors[name] = relative(single[name], reference)
    return errors


def limit(name: str) -> float:
    """How far two computations of a tensor may lie apart."""
    return AFTER_LIMIT if name.startswith("after.") else FLOAT32_LIMIT


def describe(case: Case, single: dict[str, Tensor], errors: dict[str, float], rates: list[float]) -> dict:
    """The JSON beside the tensors."""
    names = [name.removeprefix("grad.") for name in single if name.startswith("grad.")]
    return {
        "name": case.name,
        "description": case.description,
        "seed": case.seed,
        "config": case.config,
        "criteria": case.criteria,
        "pooling": case.pooling,
        "lambdaClass": case.lambda_class,
        "lambdaSpan": case.lambda_span,
        "rows": len(case.lengths),
        "tokens": case.tokens,
        "fullyPaddedRows": [row for row, length in enumerate(case.lengths) if length == 0],
        "loss": dict(zip(("total", "criteria", "span"), single["loss"].tolist())),
        "gradientNorm": single["gradientNorm"].item(),
        "optimizer": case.optimizer | {"learningRates": rates},
        "losses": single["losses"].tolist(),
        "afterStride": case.after_stride,
        "parameters": {
            name: {
                "shape": list(single[name].shape),
                "decays": decays(name),
                "invariant": is_invariant(name),
                "gradientNorm": torch.linalg.vector_norm(single[f"grad.{name}"].double()).item(),
            }
            for name in names
        },
        "float32Error": {
            "hidden": max(value for key, value in errors.items() if key.startswith("hidden.")),
            "logits": max(value for key, value in errors.items() if key.startswith("logits.")),
            "losses": max(value for key, value in errors.items() if key.startswith("loss")),
            "gradients": max(value for key, value in errors.items() if key.startswith("grad.")),
            "after": max(value for key, value in errors.items() if key.startswith("after.")),
        },
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def make(case: Case) -> tuple[dict[str, Tensor], dict]:
    """The tensors of a golden file and its JSON."""
    single, rates = compute(case, torch.float32)
    double, _ = compute(case, torch.float64)
    errors = disagreements(single, double)
    bad = {name: error for name, error in errors.items() if not error <= limit(name)}
    if bad:
        sys.exit(f"{case.name}: float32 PyTorch is too far from float64 in {bad}")
    tensors = {f"batch.{name}": value for name, value in make_batch(case).items()} | single
    return {name: value.contiguous() for name, value in tensors.items()}, describe(case, single, errors, rates)


def check(case: Case, tensors: dict[str, Tensor]) -> dict[str, float]:
    """The relative difference of each tensor to the committed file; CPUs differ in the last bits, so bits may too."""
    stored = load_file(GOLDEN / f"{case.name}.safetensors")
    if stored.keys() != tensors.keys():
        sys.exit(f"{case.name}: the committed file holds other tensors: {sorted(stored.keys() ^ tensors.keys())}")
    compared = [name for name in stored if not is_invariant(name.removeprefix("grad.").removeprefix("after."))]
    return {name: relative(tensors[name], stored[name]) for name in compared}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for case in CASES:
        tensors, description = make(case)
        if arguments.check:
            differences = check(case, tensors)
            print(f"{case.name}: largest relative difference {max(differences.values()):.2e}")
            bad = {name: value for name, value in differences.items() if not value <= limit(name)}
            if bad:
                sys.exit(f"{case.name}: the committed file differs in {bad}; find out what changed.")
            continue
        GOLDEN.mkdir(exist_ok=True)
        path = GOLDEN / f"{case.name}.safetensors"
        save_file(tensors, path)
        path.with_suffix(".json").write_text(json.dumps(description, indent=1) + "\n")
        print(f"{case.name}: {path.stat().st_size / 1e3:.0f} kB, loss {description['loss']}, {description['float32Error']}")


if __name__ == "__main__":
    main()
