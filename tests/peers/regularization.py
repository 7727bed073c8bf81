"""Ten steps of small dual agents with every regularization, in float64: what tests/interop/regularization_test.ts compares.

stdin: {config, parameters: {name: {shape, data}}, cases: [case]}; a case has batches [steps][micro-batches], optimizer
{name, learningRate, weightDecay, momentum, betas, eps, clip}, schedule, warmup, ratio, decay, epsilon, average (or null),
lambdaClass, lambdaSpan. stdout: for every case {losses, norms, rates, scales: {name: scale}, gradients: {name: values of
the first step before clipping}, parameters, averages: {name: values}, averageLoss}.

Rates by depth are parameter groups as in BEiT's fine-tuning; the attack is Miyato, Dai & Goodfellow 2017 as PyTorch code
usually writes it (backward, attack, backward, restore), but on the gradient of the micro-batch alone; the average is
torch.optim.swa_utils.AveragedModel, filled before the first step.
"""

from __future__ import annotations

import json
import sys

import torch
from lion_pytorch import Lion
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import get_scheduler

from dual_agent import Batch, DualAgent, decays, encoder_from_config, losses

OPTIMIZERS = {
    "adamw": lambda groups, o: torch.optim.AdamW(groups, betas=o["betas"], eps=o["eps"]),
    "adam": lambda groups, o: torch.optim.Adam(groups, betas=o["betas"], eps=o["eps"]),
    "sgd": lambda groups, o: torch.optim.SGD(groups, momentum=o["momentum"]),
    "lion": lambda groups, o: Lion(groups, betas=o["betas"]),
}
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
PAIRS = ("labels", "spanStart", "spanEnd", "spanWeight")


def batch_of(sent: dict, criteria: int) -> Batch:
    """A batch from flat lists."""
    rows, tokens = sent["size"], sent["length"]
    shapes = {name: (rows, tokens) for name in ("ids", "mask", "types")} | {name: (rows, criteria) for name in PAIRS}
    shapes["sampleWeight"] = (rows,)
    return Batch.of({n: torch.tensor(sent[n], dtype=torch.float64).reshape(s) for n, s in shapes.items()}, torch.float64)


def build(request: dict) -> DualAgent:
    """The model with the weights sent."""
    criteria = request["parameters"]["criteria_head.bias"]["shape"][0]
    model = DualAgent(encoder_from_config(request["config"]), criteria, "cls").double().eval()
    with torch.no_grad():
        for name, parameter in model.canonical_parameters().items():
            sent = request["parameters"][name]
            parameter.copy_(torch.tensor(sent["data"], dtype=torch.float64).reshape(sent["shape"]))
    return model


def scales(model: DualAgent, ratio: float, decay: float) -> dict[Tensor, float]:
    """The factor on each parameter's learning rate: layers counted from the heads down."""
    factor = {parameter: 1.0 for parameter in model.parameters()}
    for depth, module in enumerate([*reversed(model.encoder.encoder.layer), model.encoder.embeddings], start=1):
        factor |= {parameter: ratio * decay**depth for parameter in module.parameters()}
    return factor


def backward(model: DualAgent, window: list[Batch], case: dict) -> float:
    """Adds the gradients of a step, those of the attacked words included, and returns the clean loss."""
    rows = sum(batch.sampleWeight.sum() for batch in window)
    pairs = sum(batch.spanWeight.sum() for batch in window)
    words = model.encoder.embeddings.word_embeddings.weight
    total = 0.0
    for batch in window:

        def loss() -> Tensor:
            parts = losses(model(batch), batch, 1.0, 1.0)
            criteria = parts.criteria * batch.sampleWeight.sum() / rows
            return case["lambdaClass"] * criteria + case["lambdaSpan"] * parts.span * batch.spanWeight.sum() / pairs

        before = 0.0 if words.grad is None else words.grad.clone()
        clean = loss()
        clean.backward()
        total += clean.item()
        if case["epsilon"] == 0:
            continue
        gradient = words.grad - before
        backup = words.data.clone()
        words.data.add_(case["epsilon"] * gradient / torch.linalg.vector_norm(gradient))
        loss().backward()
        words.data = backup
    return total


def run(request: dict, case: dict) -> dict:
    """One case."""
    model = build(request)
    parameters = model.canonical_parameters()
    options = case["optimizer"]
    factor = scales(model, case["ratio"], case["decay"])
    groups = [
        {
            "params": [parameter],
            "lr": options["learningRate"] * factor[parameter],
            "weight_decay": options["weightDecay"] if decays(name) else 0.0,
        }
        for name, parameter in parameters.items()
    ]
    optimizer = OPTIMIZERS[options["name"]](groups, options)
    schedule = get_scheduler(SCHEDULES[case["schedule"]], optimizer, case["warmup"], len(case["batches"]))
    average = None
    if case["average"] is not None:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(case["average"]))
        average.update_parameters(model)  # the first update copies
    head = list(parameters).index("criteria_head.weight")
    result: dict = {"losses": [], "norms": [], "rates": [], "scales": {n: factor[p] for n, p in parameters.items()}}
    windows = [[batch_of(sent, model.criteria_head.out_features) for sent in step] for step in case["batches"]]
    for step, window in enumerate(windows):
        optimizer.zero_grad()
        result["losses"].append(backward(model, window, case))
        if step == 0:
            result["gradients"] = {name: p.grad.flatten().tolist() for name, p in parameters.items()}
        result["norms"].append(torch.nn.utils.clip_grad_norm_(parameters.values(), options["clip"]).item())
        result["rates"].append(optimizer.param_groups[head]["lr"])
        optimizer.step()
        schedule.step()
        if average is not None:
            average.update_parameters(model)
    result["parameters"] = {name: p.detach().flatten().tolist() for name, p in parameters.items()}
    if average is not None:
        averaged = average.module.canonical_parameters()
        result["averages"] = {name: p.detach().flatten().tolist() for name, p in averaged.items()}
        with torch.no_grad():
            result["averageLoss"] = loss_of(average.module, windows[0][0], case)
    return result


def loss_of(model: DualAgent, batch: Batch, case: dict) -> float:
    """The loss of a batch."""
    return losses(model(batch), batch, case["lambdaClass"], case["lambdaSpan"]).total.item()


if __name__ == "__main__":
    torch.set_num_threads(1)
    asked = json.load(sys.stdin)
    json.dump([run(asked, case) for case in asked["cases"]], sys.stdout)
