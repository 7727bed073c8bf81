"""Searches with Optuna's TPE: the functions of bench/search_objectives.ts, best values after 25, 50 and 100 trials.

Reads {"objective": name, "seeds": [..], "sampler": {options of TPESampler}} as JSON, prints {"optuna": version,
"best": [[at 25, at 50, at 100], one per seed]}.
"""

import json
import math
import sys
import warnings

import optuna

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def branin(trial):
    x, y = trial.suggest_float("x", -5, 10), trial.suggest_float("y", 0, 15)
    bowl = (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
    return bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def sphere5(trial):
    return sum((i + 1) * (trial.suggest_float(f"x{i}", -5, 5) - (i - 2)) ** 2 for i in range(5))


ENCODERS = ["minilm", "bert", "roberta", "mental"]


def conditional(trial):
    encoder = ENCODERS.index(trial.suggest_categorical("encoder", ENCODERS))
    head = trial.suggest_categorical("head", ["linear", "mlp", "gated"])
    rate = math.log10(trial.suggest_float("learning_rate", 1e-6, 1e-3, log=True))
    dropout = trial.suggest_float("dropout", 0, 0.5, step=0.05)
    batch = trial.suggest_int("batch_size", 4, 64, log=True)
    loss = [0.3, 0.15, 0.05, 0][encoder] + (rate - [-3.6, -4.3, -4.7, -4.5][encoder]) ** 2
    loss += 4 * (dropout - 0.15) ** 2 + 0.05 * math.log2(batch / 16) ** 2
    if head == "linear":
        loss += 0.25
    if head == "mlp":
        hidden = trial.suggest_int("mlp.hidden_dim", 32, 1024, log=True)
        activation = trial.suggest_categorical("mlp.activation", ["relu", "gelu", "tanh"])
        loss += 0.08 * math.log2(hidden / 256) ** 2 + (0 if activation == "gelu" else 0.1)
    if head == "gated":
        layers = trial.suggest_int("gated.layers", 1, 4)
        loss += 0.1 + 0.05 * (layers - 2) ** 2 + (trial.suggest_float("gated.bias", -3, 3) - 1) ** 2 / 10
    return loss


def best_of(objective, seed, options):
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, **options))
    study.optimize(objective, n_trials=100)
    values = [trial.value for trial in study.trials]
    return [min(values[:count]) for count in (25, 50, 100)]


request = json.load(sys.stdin)
objective = globals()[request["objective"]]
best = [best_of(objective, seed, request["sampler"]) for seed in request["seeds"]]
json.dump({"optuna": optuna.__version__, "best": best}, sys.stdout)
