"""Makes tests/golden/optimizers.safetensors + optimizers.json: five steps of each optimizer on given gradients.

    python tests/peers/golden_optimizers.py            writes the files
    python tests/peers/golden_optimizers.py --check    computes them again and compares with the committed files

torch.optim.AdamW, Adam and SGD and the package lion-pytorch, in float64, with parameter groups of their own learning rate
and weight decay, clip_grad_norm_ over all groups, a frozen parameter, and torch.optim.swa_utils' exponential moving
average. The format is that of golden_ops.py; row i of an output is after step i + 1.
"""

from __future__ import annotations

import torch
from lion_pytorch import Lion
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from golden_ops import Book, normal, publish

RATES = (1e-2, 5e-3, 2e-3, 2e-3, 1e-3)
#             decay, scale, trained, elements
PARAMETERS = {
    "head.weight": (True, 1.0, True, 67),
    "top.weight": (True, 0.5, True, 33),
    "top.bias": (False, 0.5, True, 5),
    "low.weight": (True, 0.25, True, 130),
    "frozen.weight": (True, 1.0, False, 12),
}
WEIGHT_DECAY, CLIP, AVERAGE = 0.05, 20.0, 0.9
OPTIMIZERS = {
    "adamw": lambda groups: torch.optim.AdamW(groups, betas=(0.9, 0.99), eps=1e-8),
    "adam": lambda groups: torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-8),
    "sgd": lambda groups: torch.optim.SGD(groups, momentum=0.9),
    "lion": lambda groups: Lion(groups, betas=(0.9, 0.99)),
}


class Bag(torch.nn.Module):
    """A module with the parameters given."""

    def __init__(self, values: dict[str, Tensor]) -> None:
        super().__init__()
        for name, value in values.items():
            self.register_parameter(name.replace(".", "_"), torch.nn.Parameter(value.double()))


def optimizers(book: Book) -> None:
    """Every optimizer on the same parameters and gradients."""
    start = {name: normal(size) for name, (_, _, _, size) in PARAMETERS.items()}
    trained = [name for name, (_, _, is_trained, _) in PARAMETERS.items() if is_trained]
    gradients = {name: normal(len(RATES), PARAMETERS[name][3], scale=3.0) for name in trained}
    gradients["head.weight"][:, :4] = torch.tensor([0.0, 1e-12, 1e3, -1e3])
    for kind, make in OPTIMIZERS.items():
        bag = Bag(start)
        leaves = {name: getattr(bag, name.replace(".", "_")) for name in PARAMETERS}
        bag.frozen_weight.requires_grad_(False)
        average = AveragedModel(bag, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE))
        average.update_parameters(bag)  # the first update copies
        optimizer = make(
            [
                {"params": [leaves[name]], "lr": 1.0, "weight_decay": WEIGHT_DECAY if PARAMETERS[name][0] else 0.0}
                for name in trained
            ]
        )
        outputs: dict[str, list[Tensor]] = {name: [] for name in PARAMETERS} | {"norm": []}
        averages: dict[str, list[Tensor]] = {f"average.{name}": [] for name in trained}
        for step, rate in enumerate(RATES):
            for name, group in zip(trained, optimizer.param_groups):
                group["lr"] = rate * PARAMETERS[name][1]
                leaves[name].grad = gradients[name][step].double()
            outputs["norm"].append(torch.nn.utils.clip_grad_norm_([leaves[name] for name in trained], CLIP))
            optimizer.step()
            average.update_parameters(bag)
            for name in PARAMETERS:
                outputs[name].append(leaves[name].detach().clone())
            for name in trained:
                averages[f"average.{name}"].append(getattr(average.module, name.replace(".", "_")).detach().clone())
        book.add(
            kind, kind, "five steps", {f"start.{name}": value for name, value in start.items()}
            | {f"gradient.{name}": value for name, value in gradients.items()},
            {name: torch.stack(values) for name, values in (outputs | averages).items()},
            learningRates=list(RATES), weightDecay=WEIGHT_DECAY, clip=CLIP, averageDecay=AVERAGE,
            betas=[0.9, 0.99], eps=1e-8,
            parameters={name: dict(zip(("decay", "scale", "trained"), row)) for name, row in PARAMETERS.items()},
        )  # fmt: skip


if __name__ == "__main__":
    book = Book()
    optimizers(book)
    publish(book, "optimizers")
